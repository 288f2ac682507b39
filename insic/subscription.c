/* subscription.c - follows a topic across streams and servers. */
#include "insic/subscription.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/limits.h"
#include "insic/json_text.h"
#include "insic/print.h"
#include "insic/sse.h"
#include "insic/url.h"

#define SUBSCRIPTION_QUERY_BYTES_MAX (1u << 20)
/* The largest data with every byte escaped, and what stands around it. */
#define SUBSCRIPTION_FRAME_BYTES_MAX (6ull * LIMIT_BODY_MAX + (1u << 20))

/* A stream that lived so long, or brought something, counts as one that worked. */
#define SUBSCRIPTION_WORKED_MS 1000
#define SUBSCRIPTION_PAUSE_MS 100
#define SUBSCRIPTION_PAUSE_MAX_MS 2000

/* A server says something every pingInterval; without a configuration that is not known. */
#define SUBSCRIPTION_SILENCE_MS 300000
#define SUBSCRIPTION_LATE_PINGS 2
#define SUBSCRIPTION_LATE_MS 2000

struct subscription {
    struct client *client;
    struct buf query;
    struct sse sse;
    uint64_t printed;  /* what has an index up to this one was printed, or was not asked for */
    uint64_t position; /* up to where the servers have said all there is; may be ahead of that */
    bool resumes;      /* there is a position */
    bool has_after;    /* the query has one */
    unsigned next;     /* target that is asked next */
    unsigned failed;   /* attempts in a row */
    const struct target *target; /* of this attempt */
    bool was_open;               /* ever */
    bool is_lost;                /* and that was told */
    bool is_open;                /* the stream of this attempt ... */
    bool has_moved;              /* ... brought something new */
    uint64_t open_ms;
};

/* ---- frames ---- */

static void subscription_reach(struct subscription *subscription, uint64_t index)
{
    subscription->position = index;
    subscription->resumes = true;
}

static void subscription_printed(struct subscription *subscription, uint64_t index)
{
    subscription->printed = index;
    subscription->has_moved = true;
    subscription_reach(subscription, index);
}

/* A string's bytes; any other JSON as it was sent, but on one line. */
static void subscription_print_value(struct slice value)
{
    struct buf text;
    json_t *string = NULL;
    if (json_text_is_string(value))
        string = json_loadb(value.data, value.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (string) {
        print_json_value(stdout, string);
        json_decref(string);
        return;
    }
    buf_init(&text, value.len);
    CHECK(json_text_compact(&text, value) == 0);
    fwrite(text.data, 1, text.len, stdout);
    buf_fini(&text);
}

static int subscription_take_gap(struct subscription *subscription, struct slice frame,
                                 struct slice gap)
{
    struct slice from_text, to_text;
    uint64_t from, to;
    if (!json_text_member(gap, "from", &from_text) || !json_text_u64(from_text, &from) ||
        !json_text_member(gap, "to", &to_text) || !json_text_u64(to_text, &to))
        return client_refuse_answer();
    if (to <= subscription->printed)
        return 0;
    if (subscription->client->options->json)
        print_json_line(stdout, frame);
    print_error("Gap", "events with index %" PRIu64 " to %" PRIu64 " are no longer kept.", from,
                to);
    subscription_printed(subscription, to);
    return 0;
}

static int subscription_take_frame(struct subscription *subscription, struct slice frame)
{
    struct slice gap, topic, data, number;
    uint64_t index;
    if (json_text_member(frame, "gap", &gap))
        return subscription_take_gap(subscription, frame, gap);
    if (!json_text_member(frame, "topic", &topic) || !json_text_member(frame, "data", &data) ||
        !json_text_member(frame, "index", &number) || !json_text_u64(number, &index))
        return client_refuse_answer();
    if (index <= subscription->printed)
        return 0;
    if (subscription->client->options->json) {
        print_json_line(stdout, frame);
    } else {
        fputs("Received event on topic '", stdout);
        subscription_print_value(topic);
        fputs("': ", stdout);
        subscription_print_value(data);
        putchar('\n');
    }
    subscription_printed(subscription, index);
    return 0;
}

static int subscription_on_event(void *arg, const struct sse_event *event)
{
    struct subscription *subscription = arg;
    uint64_t index;
    if (event->has_data && slice_equal(event->type, slice_text("message")))
        return subscription_take_frame(subscription, event->data);
    if (!event->has_data && json_text_u64(event->id, &index))
        subscription_reach(subscription, index);
    return 0;
}

/* ---- one attempt ---- */

static void subscription_begin(struct subscription *subscription)
{
    sse_restart(&subscription->sse);
    subscription->is_open = true;
    subscription->was_open = true;
    subscription->open_ms = clock_boot_ms();
    if (subscription->is_lost)
        print_note("Connected again, to %s.", subscription->target->name);
    if (subscription->is_lost && !subscription->resumes && !subscription->has_after)
        print_error("Gap", "events of the time in between may be missing.");
    subscription->is_lost = false;
}

/* What arrived together is written together, and nothing waits for what comes later. */
static int subscription_on_bytes(void *arg, struct slice bytes)
{
    struct subscription *subscription = arg;
    if (!subscription->is_open)
        subscription_begin(subscription);
    int error = sse_feed(&subscription->sse, bytes);
    if (error == E_TOO_LARGE)
        print_error("Error", "an event of %s is larger than %llu MiB.", subscription->target->name,
                    SUBSCRIPTION_FRAME_BYTES_MAX >> 20);
    return print_finish() != 0 || error ? E_IO : 0;
}

static uint64_t subscription_silence_ms(const struct client *client)
{
    if (!client->configured)
        return SUBSCRIPTION_SILENCE_MS;
    return SUBSCRIPTION_LATE_PINGS * client->config.sessions.ping_interval_ms +
           SUBSCRIPTION_LATE_MS;
}

static void subscription_request(struct subscription *subscription, struct client_attempt *attempt)
{
    struct client *client = subscription->client;
    uint64_t share_ms = client->options->timeout_ms / client->targets.count;
    char position[32];
    snprintf(position, sizeof(position), "%" PRIu64, subscription->position);
    share_ms = share_ms > 0 ? share_ms : 1;
    const struct http_request request = {.target = attempt->target,
                                         .path = CLIENT_API "/events/stream",
                                         .query = (const char *)subscription->query.data,
                                         .token = client->token,
                                         .last_event_id = subscription->resumes ? position : NULL,
                                         .timeout_ms = share_ms,
                                         .connect_ms = share_ms};
    const struct http_stream stream = {.on_bytes = subscription_on_bytes,
                                       .arg = subscription,
                                       .silence_ms = subscription_silence_ms(client)};
    attempt->error = http_stream(client->http, &request, &stream, &attempt->answer);
}

/* Whether after this one no other may help. */
static bool subscription_is_final(const struct client_attempt *attempt)
{
    if (attempt->error == 0)
        return attempt->answer.status < 500 && attempt->answer.status != 429;
    return attempt->error == E_IO || attempt->error == E_CLOSED;
}

/* At the next server. True: no other may help. */
static bool subscription_try(struct subscription *subscription, struct client_attempt *attempt)
{
    const struct targets *targets = &subscription->client->targets;
    attempt->target = &targets->list[subscription->next];
    subscription->next = (subscription->next + 1) % targets->count;
    subscription->target = attempt->target;
    subscription->is_open = false;
    subscription->has_moved = false;
    subscription_request(subscription, attempt);
    if (subscription_is_final(attempt))
        return true;
    subscription->failed++;
    if (!subscription->is_open)
        return false;
    if (subscription->has_moved ||
        clock_boot_ms() - subscription->open_ms >= SUBSCRIPTION_WORKED_MS)
        subscription->failed = 0;
    print_note("Lost %s: %s. Connecting again.", attempt->target->name, attempt->answer.problem);
    subscription->is_lost = true;
    return false;
}

/* ---- all of them ---- */

/* What the last attempt of several comes to: what a server said counts more than that others cannot
 * be reached. */
static int subscription_report(struct client *client, const struct client_attempt *attempts,
                               unsigned made)
{
    int error = attempts[made - 1].error;
    if (error == E_IO || error == E_CLOSED)
        return error;
    for (unsigned i = made; i > 0; i--)
        if (attempts[i - 1].error == 0)
            return client_report_answer(client, &attempts[i - 1]);
    return client_report_unreachable(attempts, made);
}

/* Asks each server once. 0 when one took the subscription, and its stream has ended. */
static int subscription_open(struct subscription *subscription)
{
    struct client_attempt attempts[LIMIT_NODES];
    unsigned made = 0, count = subscription->client->targets.count;
    bool final = false;
    while (!final && !subscription->was_open && made < count)
        final = subscription_try(subscription, &attempts[made++]);
    int error = 0;
    CHECK(made > 0); /* there is a server to ask, always */
    if (final || !subscription->was_open)
        error = subscription_report(subscription->client, attempts, made);
    while (made > 0)
        http_answer_fini(&attempts[--made].answer);
    return error;
}

/* Each server gets its chance at once, then pauses grow. E_CLOSED when the reader goes away. */
static int subscription_pause(const struct subscription *subscription)
{
    unsigned count = subscription->client->targets.count;
    struct pollfd reader = {.fd = STDOUT_FILENO}; /* no events: errors are told always */
    if (subscription->failed < count)
        return 0;
    int pause_ms = SUBSCRIPTION_PAUSE_MS;
    for (unsigned i = count; i < subscription->failed && pause_ms < SUBSCRIPTION_PAUSE_MAX_MS; i++)
        pause_ms *= 2;
    pause_ms = pause_ms < SUBSCRIPTION_PAUSE_MAX_MS ? pause_ms : SUBSCRIPTION_PAUSE_MAX_MS;
    return poll(&reader, 1, pause_ms) > 0 && print_reader_is_gone() ? E_CLOSED : 0;
}

/* One attempt more. */
static int subscription_go_on(struct subscription *subscription)
{
    struct client_attempt attempt;
    int error = subscription_pause(subscription);
    if (error)
        return error;
    if (subscription_try(subscription, &attempt))
        error = subscription_report(subscription->client, &attempt, 1);
    http_answer_fini(&attempt.answer);
    return error;
}

int subscription_follow(struct client *client, const char *topic, const uint64_t *after)
{
    struct subscription subscription = {.client = client, .next = client->first};
    buf_init(&subscription.query, SUBSCRIPTION_QUERY_BYTES_MAX);
    sse_init(&subscription.sse, SUBSCRIPTION_FRAME_BYTES_MAX, subscription_on_event, &subscription);
    url_add_text(&subscription.query, "topic", topic);
    if (after) {
        url_add_number(&subscription.query, "after", *after);
        subscription.printed = *after;
        subscription.has_after = true;
    }
    CHECK(buf_append_byte(&subscription.query, '\0') == 0);
    int error = subscription_open(&subscription);
    while (!error)
        error = subscription_go_on(&subscription);
    sse_fini(&subscription.sse);
    buf_fini(&subscription.query);
    return error;
}
