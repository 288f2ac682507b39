/* subscribers.c - many subscribers of one topic in one thread: counts every event that each of them
 * was given whole, and how long it was on its way.
 *
 * Arguments: protocol (insi, redis, nats), ports (8001,8002,...: connections take them in turn),
 * subscribers, topic ("name/#": a topic of its own for each, with its number), token. Prints
 * "ready" when all have subscribed. Then commands on standard input: "start" counts anew, "report"
 * prints one line of JSON; the end of the input ends it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "tests/bench/client.h"
#include "tests/bench/wire.h"

#define OPENING_MAX 64 /* connections that wait for their subscription */
#define READ_BYTES (256 << 10)
#define EVENTS_PER_WAIT 256
#define TOPIC_BYTES 128

struct subscriber {
    int fd; /* -1: it was closed */
    bool greeted;
    struct buf rest;   /* a unit whose end has not come yet */
    uint64_t received; /* events since it subscribed */
};

struct bench {
    const struct wire *wire;
    struct wire_words words;
    struct client_ports ports;
    struct subscriber *subscribers;
    unsigned count, opened, ready, closed;
    int epoll;
    bool stopping;
    struct buf commands;
    uint8_t *bytes; /* READ_BYTES */
    uint64_t started_ns, deliveries, delivered_bytes, reads;
    struct histogram latencies;
};

/* ---- subscribing ---- */

/* "name/#" with this number instead of #; any other topic as it is. */
static const char *topic_of(const struct bench *bench, unsigned number, char topic[TOPIC_BYTES])
{
    size_t len = strlen(bench->words.topic);

    if (len == 0 || len > TOPIC_BYTES / 2 || bench->words.topic[len - 1] != '#')
        return bench->words.topic;
    snprintf(topic, TOPIC_BYTES, "%.*s%u", (int)len - 1, bench->words.topic, number);
    return topic;
}

static void open_one(struct bench *bench)
{
    struct subscriber *subscriber = &bench->subscribers[bench->opened];
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = subscriber};
    struct wire_words words = bench->words;
    char topic[TOPIC_BYTES];
    struct buf request;

    subscriber->fd = client_connect(&bench->ports, bench->opened++);
    buf_init(&subscriber->rest, READ_BYTES);
    buf_init(&request, 4096);
    words.topic = topic_of(bench, bench->opened, topic);
    bench->wire->subscribe(&request, &words);
    CHECK(client_send(subscriber->fd, buf_slice(&request)));
    buf_fini(&request);
    CHECK(epoll_ctl(bench->epoll, EPOLL_CTL_ADD, subscriber->fd, &event) == 0);
}

static void open_more(struct bench *bench)
{
    while (bench->opened < bench->count && bench->opened - bench->ready < OPENING_MAX)
        open_one(bench);
}

static void close_one(struct bench *bench, struct subscriber *subscriber, struct slice last)
{
    if (bench->closed++ == 0)
        fprintf(stderr, "%s closed a connection: %.*s\n", bench->wire->name,
                (int)(last.len < 300 ? last.len : 300), (const char *)last.data);
    close(subscriber->fd);
    subscriber->fd = -1;
    if (bench->ready < bench->count) /* it cannot become as many as were asked for */
        exit(1);
}

/* ---- receiving ---- */

static void event_received(struct bench *bench, struct subscriber *subscriber, struct slice event,
                           uint64_t now_ns)
{
    uint64_t sent_ns;

    subscriber->received++;
    bench->deliveries++;
    bench->delivered_bytes += event.len;
    if (stamp_find(event, &sent_ns))
        histogram_add(&bench->latencies, now_ns > sent_ns ? now_ns - sent_ns : 0);
}

static void subscribed(struct bench *bench)
{
    if (++bench->ready < bench->count) {
        open_more(bench);
        return;
    }
    printf("ready\n");
    fflush(stdout);
}

/* Every whole unit in the bytes. Returns how many bytes those were. */
static size_t take_units(struct bench *bench, struct subscriber *subscriber, struct slice bytes)
{
    uint64_t now_ns = clock_boot_ns();
    size_t taken = 0, used;
    struct slice event;

    while (taken < bytes.len) {
        struct slice rest = slice_of((const char *)bytes.data + taken, bytes.len - taken);
        switch (bench->wire->next(rest, &subscriber->greeted, &used, &event)) {
        case WIRE_PART:
            return taken;
        case WIRE_EVENT:
            event_received(bench, subscriber, event, now_ns);
            break;
        case WIRE_READY:
            subscribed(bench);
            break;
        case WIRE_ALIVE:
            (void)client_send(subscriber->fd, bench->wire->pong);
            break;
        case WIRE_OTHER:
        case WIRE_DONE:
            break;
        case WIRE_REFUSED:
            close_one(bench, subscriber, rest);
            return bytes.len;
        }
        taken += used;
    }
    return taken;
}

static void receive(struct bench *bench, struct subscriber *subscriber)
{
    size_t kept = subscriber->rest.len, taken;
    ssize_t got;

    if (subscriber->fd < 0)
        return;
    if (kept > 0)
        memcpy(bench->bytes, subscriber->rest.data, kept);
    got = recv(subscriber->fd, bench->bytes + kept, READ_BYTES - kept, 0);
    bench->reads++;
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        close_one(bench, subscriber, slice_text("end of the connection"));
        return;
    }
    kept += (size_t)got;
    taken = take_units(bench, subscriber, slice_of(bench->bytes, kept));
    buf_clear(&subscriber->rest);
    if (taken < kept)
        CHECK(buf_append(&subscriber->rest, bench->bytes + taken, kept - taken) == 0);
}

/* ---- commands ---- */

static void start(struct bench *bench)
{
    bench->started_ns = clock_boot_ns();
    bench->deliveries = bench->delivered_bytes = bench->reads = 0;
    memset(&bench->latencies, 0, sizeof(bench->latencies));
}

static void report(const struct bench *bench)
{
    uint64_t least = UINT64_MAX, most = 0;

    for (unsigned i = 0; i < bench->count; i++) {
        uint64_t received = bench->subscribers[i].received;
        least = received < least ? received : least;
        most = received > most ? received : most;
    }
    printf("{\"seconds\":%.6f,\"deliveries\":%llu,\"bytes\":%llu,\"reads\":%llu,\"closed\":%u,"
           "\"least\":%llu,\"most\":%llu,\"p50\":%.4f,\"p99\":%.4f,\"max\":%.4f}\n",
           (double)(clock_boot_ns() - bench->started_ns) / 1e9,
           (unsigned long long)bench->deliveries, (unsigned long long)bench->delivered_bytes,
           (unsigned long long)bench->reads, bench->closed, (unsigned long long)least,
           (unsigned long long)most, histogram_ms(&bench->latencies, 0.5),
           histogram_ms(&bench->latencies, 0.99), (double)bench->latencies.max / 1e6);
    fflush(stdout);
}

static void run_commands(struct bench *bench)
{
    char command[CLIENT_COMMAND_BYTES];

    bench->stopping = !client_read_commands(&bench->commands);
    while (client_next_command(&bench->commands, command)) {
        if (strcmp(command, "start") == 0)
            start(bench);
        else
            report(bench);
    }
}

static void run(struct bench *bench)
{
    struct epoll_event events[EVENTS_PER_WAIT], input = {.events = EPOLLIN, .data.ptr = NULL};

    CHECK(epoll_ctl(bench->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &input) == 0);
    open_more(bench);
    start(bench);
    while (!bench->stopping) {
        int count = epoll_wait(bench->epoll, events, EVENTS_PER_WAIT, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr)
                receive(bench, events[i].data.ptr);
            else
                run_commands(bench);
        }
    }
}

int main(int argc, char **argv)
{
    static struct bench bench;

    if (argc != 6 || !(bench.wire = wire_find(argv[1])) ||
        !client_parse_ports(&bench.ports, argv[2]) ||
        (bench.count = (unsigned)strtoul(argv[3], NULL, 10)) == 0) {
        fprintf(stderr, "usage: %s <insi|redis|nats> <ports> <subscribers> <topic> <token>\n",
                argv[0]);
        return 2;
    }
    bench.words = (struct wire_words){.topic = argv[4], .token = argv[5]};
    client_allow_files(bench.count + 64);
    bench.subscribers = mem_alloc(bench.count * sizeof(bench.subscribers[0]));
    bench.bytes = mem_alloc(READ_BYTES);
    bench.epoll = epoll_create1(EPOLL_CLOEXEC);
    CHECK(bench.epoll >= 0);
    buf_init(&bench.commands, 4096);
    run(&bench);
    return 0;
}
