/* publishers.c - so many publishes in flight, each on a connection of its own: the next is sent
 * when the last was answered or, at a given rate, when it is due. An event's data carries the stamp
 * of that moment (client.h).
 *
 * Arguments: protocol (insi, redis, nats), ports (connections take them in turn), connections,
 * bytes of an event's data, events a second (0: as fast as answers come), topic, token. Prints
 * "ready" when it may begin. Then commands on standard input: "start" publishes, and counts anew;
 * "stop" ends that, waits for what is in flight and prints one line of JSON; the end of the input
 * ends it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "tests/bench/client.h"
#include "tests/bench/wire.h"

#define EVENT_BYTES_MIN 32
#define RECEIVE_BYTES 4096

struct publisher {
    int fd;
    bool greeted;      /* the protocol's own */
    uint64_t sent_ns;  /* 0: idle */
    struct buf answer; /* what has come of it */
};

struct bench {
    const struct wire *wire;
    struct wire_words words;
    struct client_ports ports;
    struct publisher *publishers;
    unsigned count, ready, in_flight;
    size_t event_bytes;
    uint64_t interval_ns, due_ns; /* 0: no rate */
    int epoll;
    bool publishing, stopping;
    struct buf commands, request;
    char *data;
    uint64_t started_ns, answered, all; /* since "start"; ever */
    struct histogram latencies;
};

/* ---- publishing ---- */

static void publish(struct bench *bench, struct publisher *publisher, uint64_t now_ns)
{
    stamp_write(bench->data + 1, now_ns);
    buf_clear(&bench->request);
    bench->wire->publish(&bench->request, &bench->words, slice_of(bench->data, bench->event_bytes));
    CHECK(client_send(publisher->fd, buf_slice(&bench->request)));
    publisher->sent_ns = now_ns;
    bench->in_flight++;
}

/* Whether the rate allows one more now; its stamp is the moment when it was due. */
static bool is_due(struct bench *bench, uint64_t *stamp_ns)
{
    *stamp_ns = clock_boot_ns();
    if (!bench->publishing || bench->interval_ns == 0)
        return bench->publishing;
    if (bench->due_ns > *stamp_ns)
        return false;
    *stamp_ns = bench->due_ns;
    bench->due_ns += bench->interval_ns;
    return true;
}

static void publish_what_is_due(struct bench *bench)
{
    uint64_t stamp_ns;

    for (unsigned i = 0; i < bench->count && bench->in_flight < bench->count; i++)
        if (bench->publishers[i].sent_ns == 0) {
            if (!is_due(bench, &stamp_ns))
                return;
            publish(bench, &bench->publishers[i], stamp_ns);
        }
}

/* Until the next publish is due; NULL: until something happens. */
static const struct timespec *wait_time(const struct bench *bench, struct timespec *time)
{
    uint64_t now_ns = clock_boot_ns();

    if (!bench->publishing || bench->interval_ns == 0 || bench->in_flight == bench->count)
        return NULL;
    uint64_t ns = bench->due_ns > now_ns ? bench->due_ns - now_ns : 0;
    *time = (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
    return time;
}

/* ---- answers ---- */

static void print_report(const struct bench *bench)
{
    printf("{\"seconds\":%.6f,\"published\":%llu,\"all\":%llu,\"p50\":%.4f,\"p99\":%.4f,"
           "\"max\":%.4f}\n",
           (double)(clock_boot_ns() - bench->started_ns) / 1e9, (unsigned long long)bench->answered,
           (unsigned long long)bench->all, histogram_ms(&bench->latencies, 0.5),
           histogram_ms(&bench->latencies, 0.99), (double)bench->latencies.max / 1e6);
    fflush(stdout);
}

static void answered(struct bench *bench, struct publisher *publisher)
{
    histogram_add(&bench->latencies, clock_boot_ns() - publisher->sent_ns);
    publisher->sent_ns = 0;
    bench->in_flight--;
    bench->answered++;
    bench->all++;
    if (!bench->publishing && bench->in_flight == 0)
        print_report(bench);
}

static void is_ready(struct bench *bench)
{
    if (++bench->ready == bench->count) {
        printf("ready\n");
        fflush(stdout);
    }
}

static void take_units(struct bench *bench, struct publisher *publisher)
{
    size_t used;

    while (publisher->answer.len > 0) {
        struct slice bytes = buf_slice(&publisher->answer);
        switch (bench->wire->answer(bytes, &publisher->greeted, &used)) {
        case WIRE_PART:
            return;
        case WIRE_READY:
            is_ready(bench);
            break;
        case WIRE_DONE:
            answered(bench, publisher);
            break;
        case WIRE_ALIVE:
            (void)client_send(publisher->fd, bench->wire->pong);
            break;
        case WIRE_OTHER:
        case WIRE_EVENT:
            break;
        case WIRE_REFUSED:
            fprintf(stderr, "refused: %.*s\n", (int)bytes.len, (const char *)bytes.data);
            exit(1);
        }
        buf_consume(&publisher->answer, used);
    }
}

static void receive(struct bench *bench, struct publisher *publisher)
{
    uint8_t *room = buf_reserve(&publisher->answer, RECEIVE_BYTES);
    ssize_t got;

    CHECK(room != NULL);
    got = recv(publisher->fd, room, RECEIVE_BYTES, 0);
    if (got <= 0) {
        fprintf(stderr, "%s closed the connection of a publisher\n", bench->wire->name);
        exit(1);
    }
    publisher->answer.len += (size_t)got;
    take_units(bench, publisher);
}

/* ---- commands ---- */

static void run_command(struct bench *bench, const char *command)
{
    if (strcmp(command, "start") == 0) {
        bench->publishing = true;
        bench->started_ns = bench->due_ns = clock_boot_ns();
        bench->answered = 0;
        memset(&bench->latencies, 0, sizeof(bench->latencies));
        return;
    }
    bench->publishing = false;
    if (bench->in_flight == 0)
        print_report(bench);
}

static void run_commands(struct bench *bench)
{
    char command[CLIENT_COMMAND_BYTES];

    bench->stopping = !client_read_commands(&bench->commands);
    while (client_next_command(&bench->commands, command))
        run_command(bench, command);
}

static void open_all(struct bench *bench)
{
    for (unsigned i = 0; i < bench->count; i++) {
        struct publisher *publisher = &bench->publishers[i];
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = publisher};
        publisher->fd = client_connect(&bench->ports, i);
        buf_init(&publisher->answer, 4ul * RECEIVE_BYTES);
        CHECK(epoll_ctl(bench->epoll, EPOLL_CTL_ADD, publisher->fd, &event) == 0);
        if (bench->wire->greet) {
            buf_clear(&bench->request);
            bench->wire->greet(&bench->request);
            CHECK(client_send(publisher->fd, buf_slice(&bench->request)));
        } else {
            is_ready(bench);
        }
    }
}

static void run(struct bench *bench)
{
    struct epoll_event events[64], input = {.events = EPOLLIN, .data.ptr = NULL};

    CHECK(epoll_ctl(bench->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &input) == 0);
    open_all(bench);
    while (!bench->stopping) {
        struct timespec time;
        int count = epoll_pwait2(bench->epoll, events, 64, wait_time(bench, &time), NULL);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr)
                receive(bench, events[i].data.ptr);
            else
                run_commands(bench);
        }
        publish_what_is_due(bench);
    }
}

/* A JSON string of so many bytes, with room for a stamp. */
static char *make_data(size_t len)
{
    char *data = mem_alloc(len + 1);

    memset(data, 'x', len);
    data[0] = data[len - 1] = '"';
    return data;
}

int main(int argc, char **argv)
{
    static struct bench bench;
    unsigned long rate;

    if (argc != 8 || !(bench.wire = wire_find(argv[1])) ||
        !client_parse_ports(&bench.ports, argv[2]) ||
        (bench.count = (unsigned)strtoul(argv[3], NULL, 10)) == 0 ||
        (bench.event_bytes = strtoul(argv[4], NULL, 10)) < EVENT_BYTES_MIN) {
        fprintf(stderr,
                "usage: %s <insi|redis|nats> <ports> <connections> <bytes> <rate> <topic> "
                "<token>\n",
                argv[0]);
        return 2;
    }
    rate = strtoul(argv[5], NULL, 10);
    bench.interval_ns = rate ? NS_PER_S / rate : 0;
    bench.words = (struct wire_words){.topic = argv[6], .token = argv[7]};
    client_allow_files(bench.count + 64);
    bench.publishers = mem_alloc(bench.count * sizeof(bench.publishers[0]));
    bench.data = make_data(bench.event_bytes);
    bench.epoll = epoll_create1(EPOLL_CLOEXEC);
    CHECK(bench.epoll >= 0);
    buf_init(&bench.commands, 4096);
    buf_init(&bench.request, bench.event_bytes + 4096);
    run(&bench);
    return 0;
}
