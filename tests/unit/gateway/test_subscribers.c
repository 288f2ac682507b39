/* Events over HTTP, with an events worker that is played: what the gateway asks of it, and what its
 * answers become for WebSockets and streams. */
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "fake_events.h"
#include "ipc/command.h"
#include "ipc/entry.h"

#define BASE "/db/api/v1"
#define SUBSCRIBE BASE "/events/subscribe"
#define STREAM BASE "/events/stream"
#define EMITTED ",\"emitted_at\":\"2026-01-02T03:04:05.678Z\"}"

static struct fake fake;
static char text[1 << 20];

static void stop(void)
{
    fake_stop(&fake);
}

TestSuite(subscribers, .fini = stop, .timeout = 60);

static int subscribe(const char *query)
{
    char target[1024];
    snprintf(target, sizeof(target), SUBSCRIBE "?%s", query);
    return client_handshake(&fake, target, fake_root(), "", 101);
}

static int stream_with(const char *query, const char *headers)
{
    char bytes[4096];
    int fd = client_connect(&fake);
    int len = snprintf(bytes, sizeof(bytes),
                       "GET " STREAM "?%s HTTP/1.1\r\nHost: localhost\r\n"
                       "Authorization: Bearer %s\r\n%s\r\n",
                       query, fake_root(), headers);
    client_send(fd, bytes, (size_t)len);
    return fd;
}

static int stream(const char *query)
{
    int fd = stream_with(query, "");
    client_read_until(&fake, fd, "retry: 1000\n\n\r\n", text, sizeof(text));
    cr_assert_not_null(strstr(text, "HTTP/1.1 200 OK"));
    cr_assert_not_null(strstr(text, "content-type: text/event-stream\r\n"));
    return fd;
}

static void expect_text(int fd, const char *expected)
{
    cr_assert_eq(client_read_frame(&fake, fd, text, sizeof(text)), 0x1);
    cr_assert_str_eq(text, expected);
}

static void expect_refusal(const char *method, const char *target, const char *token, int status,
                           const char *type)
{
    struct answer answer = client_call(&fake, method, target, token, NULL);
    cr_assert_eq(answer.status, status, "%s: %s%s", target, answer.head, answer.body);
    answer_expect(&answer, status, type);
    answer_fini(&answer);
}

/* ---- publishing ------------------------------------------------------------------------------ */

static void expect_published(const char *body, const char *topic, const char *data)
{
    struct entry entry;
    struct command command;
    char bytes[4096];
    int fd = client_connect(&fake);
    fake.mode = FAKE_HOLD;
    client_send(fd, bytes,
                client_format(bytes, sizeof(bytes), "POST", BASE "/events", fake_root(), body));
    FAKE_WAIT(&fake, fake.held_count > 0);
    cr_assert_eq(entry_decode(&entry, buf_slice(&fake.held[0])), 0);
    cr_assert_eq(entry.parts[0].worker, PROC_EVENTS);
    cr_assert_eq(command_decode(&command, entry.parts[0].command), 0);
    cr_assert_eq(command.operation, COMMAND_EVENT_PUBLISH);
    cr_assert(slice_equal(command.key, slice_text(topic)));
    cr_assert(slice_equal(command.value, slice_text(data)), "%.*s", (int)command.value.len,
              (const char *)command.value.data);
    buf_fini(&fake.held[0]);
    fake.held_count = 0;
    close(fd);
}

static void open_log_session(void)
{
    struct answer answer =
        client_call(&fake, "POST", BASE "/set", fake_root(), "{\"key\":\"k\",\"value\":\"v\"}");
    answer_expect(&answer, 200, NULL);
    answer_fini(&answer);
}

Test(subscribers, data_is_published_as_it_was_written_without_its_blanks)
{
    fake_start(&fake, NULL);
    open_log_session();
    expect_published("{\"topic\":\"t\",\"data\":null}", "t", "null");
    expect_published("{\"topic\":\"a*b\",\"data\":1.10e+400}", "a*b", "1.10e+400");
    expect_published("{\"data\" : [ 1 , 12345678901234567890123 ], \"topic\" : \"\\u00fc\\n\"}",
                     "\xc3\xbc\n", "[1,12345678901234567890123]");
    expect_published("{\"topic\":\"t\",\"x\":{},\"data\":{ \"a b\" : \" \\\" \" , \"c\":\n[]}}",
                     "t", "{\"a b\":\" \\\" \",\"c\":[]}");
}

Test(subscribers, what_cannot_be_published_is_400)
{
    static const struct {
        const char *body, *type;
    } cases[] = {{"{\"topic\":\"t\"}", "BAD_REQUEST"},
                 {"{\"data\":1}", "BAD_REQUEST"},
                 {"{\"topic\":7,\"data\":1}", "BAD_REQUEST"},
                 {"{\"topic\":\"\",\"data\":1}", "BAD_REQUEST"},
                 {"{\"topic\":\"a*\",\"data\":1}", "BAD_REQUEST"},
                 {"{\"topic\":\"a\\u0000\",\"data\":1}", "BAD_REQUEST"},
                 {"{\"topic\":\"t\",\"data\":1,\"data\":2}", "BAD_REQUEST"},
                 {"{\"topic\":\"t\",\"data\":01}", "BAD_REQUEST"},
                 {"[]", "BAD_REQUEST"},
                 {"", "BAD_REQUEST"}};
    char *body;
    fake_start(&fake, "limits: {maxValue: 1KiB}\n");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct answer answer =
            client_call(&fake, "POST", BASE "/events", fake_root(), cases[i].body);
        cr_expect_eq(answer.status, 400, "%s: %s", cases[i].body, answer.body);
        answer_expect(&answer, 400, cases[i].type);
        answer_fini(&answer);
    }
    cr_assert(asprintf(&body, "{\"topic\":\"%0481d\",\"data\":1}", 1) > 0);
    struct answer answer = client_call(&fake, "POST", BASE "/events", fake_root(), body);
    answer_expect(&answer, 400, "KEY_TOO_LONG");
    answer_fini(&answer);
    free(body);
    cr_assert(asprintf(&body, "{\"topic\":\"t\",\"data\":\"%01024d\"}", 1) > 0);
    answer = client_call(&fake, "POST", BASE "/events", fake_root(), body);
    answer_expect(&answer, 400, "VALUE_TOO_LARGE");
    answer_fini(&answer);
    free(body);
}

/* ---- delivery -------------------------------------------------------------------------------- */

Test(subscribers, websockets_and_streams_get_the_same_event)
{
    fake_start(&fake, NULL);
    int socket = subscribe("topic=a*");
    const struct fake_subscription *asked = fake_last_subscription();
    cr_assert_str_eq(asked->topic, "a*");
    cr_assert(asked->msg.from_now && asked->msg.window == 256 << 10 && asked->msg.unpaid == 0);
    int source = stream("topic=a%20b");
    cr_assert_str_eq(fake_last_subscription()->topic, "a b");
    fake.index = 40;
    fake_emit(&fake, "a b", "{\"n\":1}");
    expect_text(socket, "{\"topic\":\"a b\",\"data\":{\"n\":1},\"index\":41" EMITTED);
    client_read_until(&fake, source,
                      "id: 41\ndata: {\"topic\":\"a b\",\"data\":{\"n\":1},\"index\":41" EMITTED
                      "\n\n\r\n",
                      text, sizeof(text));
    close(socket);
    close(source);
    FAKE_WAIT(&fake, fake_events()->open == 0); /* whoever leaves is subscribed no more */
}

Test(subscribers, resuming_says_after_which_index)
{
    fake_start(&fake, NULL);
    int fd = subscribe("topic=t&after=17");
    const struct fake_subscription *asked = fake_last_subscription();
    cr_assert(!asked->msg.from_now && asked->msg.after == 17);
    fake_send_gap(&fake, asked->msg.connection, 18, 30);
    fake_emit_to(&fake, asked->msg.connection, 31, "t", slice_text("true"));
    expect_text(fd, "{\"gap\":{\"from\":18,\"to\":30}}");
    expect_text(fd, "{\"topic\":\"t\",\"data\":true,\"index\":31" EMITTED);
    close(fd);
    fd = stream_with("topic=t&after=5", "Last-Event-ID: 99\r\n");
    client_read_until(&fake, fd, "\r\nid: 99\nretry: 1000\n\n\r\n", text, sizeof(text));
    FAKE_WAIT(&fake, fake_events()->open == 1 && fake_events()->count == 2);
    cr_assert_eq(fake_last_subscription()->msg.after, 99); /* the header wins */
    fake_send_gap(&fake, fake_last_subscription()->msg.connection, 100, 200);
    client_read_until(&fake, fd, "id: 200\ndata: {\"gap\":{\"from\":100,\"to\":200}}\n\n\r\n", text,
                      sizeof(text));
    close(fd);
}

/* Whatever a session knows when the worker goes away is where it goes on. */
Test(subscribers, the_workers_restart_is_a_pause)
{
    fake_start(&fake, NULL);
    fake.index = 10;
    int told = subscribe("topic=told"), quiet = subscribe("topic=quiet");
    int behind = subscribe("topic=behind&after=3");
    FAKE_WAIT(&fake, fake_events()->open == 3);
    uint64_t told_number = fake_events()->list[0].msg.connection;
    fake_emit_to(&fake, told_number, 12, "told", slice_text("1"));
    expect_text(told, "{\"topic\":\"told\",\"data\":1,\"index\":12" EMITTED);
    fake_send_reached(&fake, 25);
    fake_pass_ms(&fake, 50);
    fake_restart_events(&fake);
    FAKE_WAIT(&fake, fake_events()->count == 6);
    const struct fake_subscription *again = &fake_events()->list[3];
    for (unsigned i = 0; i < 3; i++) {
        uint64_t after = strcmp(again[i].topic, "behind") == 0 ? 3 : 25;
        cr_assert(!again[i].msg.from_now && again[i].msg.after == after, "%s: %llu", again[i].topic,
                  (unsigned long long)again[i].msg.after);
    }
    fake.index = 30;
    fake_emit(&fake, "x", "2");
    expect_text(quiet, "{\"topic\":\"x\",\"data\":2,\"index\":31" EMITTED);
    expect_text(told, "{\"topic\":\"x\",\"data\":2,\"index\":31" EMITTED);
    expect_text(behind, "{\"topic\":\"x\",\"data\":2,\"index\":31" EMITTED);
    close(told);
    close(quiet);
    close(behind);
}

/* ---- refusals -------------------------------------------------------------------------------- */

Test(subscribers, what_a_subscription_may_not_ask_for)
{
    char target[1024];
    fake_start(&fake, NULL);
    expect_refusal("GET", STREAM, fake_root(), 400, "BAD_REQUEST");
    expect_refusal("GET", STREAM "?topic=", fake_root(), 400, "BAD_REQUEST");
    expect_refusal("GET", STREAM "?topic=t&after=x", fake_root(), 400, "BAD_REQUEST");
    expect_refusal("GET", STREAM "?topic=t&after=-1", fake_root(), 400, "BAD_REQUEST");
    expect_refusal("GET", STREAM "?topic=t", NULL, 401, "AUTHENTICATION_FAILED");
    expect_refusal("GET", STREAM "?topic=t&token=insi_nobodys", NULL, 401, "AUTHENTICATION_FAILED");
    expect_refusal("GET", SUBSCRIBE "?topic=t", fake_root(), 426, "UPGRADE_REQUIRED");
    expect_refusal("POST", SUBSCRIBE, fake_root(), 405, "METHOD_NOT_ALLOWED");
    snprintf(target, sizeof(target), STREAM "?topic=%0481d", 1);
    expect_refusal("GET", target, fake_root(), 400, "KEY_TOO_LONG");
    struct answer answer = client_call(&fake, "HEAD", STREAM "?topic=t", fake_root(), NULL);
    cr_assert_eq(answer.status, 405);
    cr_assert_not_null(strstr(answer.head, "allow: GET\r\n"));
    answer_fini(&answer);
    answer = client_call(&fake, "GET", SUBSCRIBE "?topic=t", fake_root(), NULL);
    cr_assert_not_null(strstr(answer.head, "upgrade: websocket\r\n"));
    cr_assert_not_null(strstr(answer.head, "sec-websocket-version: 13\r\n"));
    answer_fini(&answer);
    cr_assert_eq(fake_events()->count, 0);
}

Test(subscribers, a_last_event_id_is_an_index_like_after)
{
    fake_start(&fake, NULL);
    for (const char *const *id = (const char *const[]){"x", "-1", "9223372036854775808", NULL};
         *id != NULL; id++) {
        char header[64];
        snprintf(header, sizeof(header), "Last-Event-ID: %s\r\n", *id);
        int fd = stream_with("topic=t", header);
        client_read_until(&fake, fd, "must be the index of an event\"}", text, sizeof(text));
        cr_assert_not_null(strstr(text, "HTTP/1.1 400 "));
        close(fd);
    }
    cr_assert_eq(fake_events()->count, 0);
}

Test(subscribers, the_longest_topic_is_a_prefix_of_480_bytes)
{
    char target[1024];
    fake_start(&fake, NULL);
    snprintf(target, sizeof(target), SUBSCRIBE "?topic=%0480d*", 1);
    close(client_handshake(&fake, target, fake_root(), "", 101));
    snprintf(target, sizeof(target), SUBSCRIBE "?topic=%0481d*", 1);
    close(client_handshake(&fake, target, fake_root(), "", 400));
    close(client_handshake(&fake, SUBSCRIBE "?topic=*", fake_root(), "", 101));
}

Test(subscribers, pages_of_other_hosts_are_refused)
{
    fake_start(&fake, NULL);
    close(client_handshake(&fake, SUBSCRIBE "?topic=t", fake_root(),
                           "Origin: http://localhost:8443\r\n", 101));
    close(client_handshake(&fake, SUBSCRIBE "?topic=t", fake_root(),
                           "Origin: http://localhost:8444\r\n", 403));
    fake_reload(&fake, "sessions: {allowedOrigins: [\"https://app.example.org\"]}\n");
    close(client_handshake(&fake, SUBSCRIBE "?topic=t", fake_root(),
                           "Origin: https://app.example.org\r\n", 101));
    close(client_handshake(&fake, SUBSCRIBE "?topic=t", fake_root(),
                           "Origin: http://localhost:8443\r\n", 403));
    int fd = stream_with("topic=t", "Origin: https://app.example.org\r\n");
    client_read_until(&fake, fd, "retry: 1000\n\n\r\n", text, sizeof(text));
    cr_assert_not_null(strstr(text, "access-control-allow-origin: https://app.example.org\r\n"),
                       "%s", text);
    close(fd);
}

Test(subscribers, a_token_in_the_query_is_good_for_subscriptions_only_and_in_no_log)
{
    char token[TOKEN_APIKEY_BYTES], target[256];
    fake_start(&fake, "logging: {level: debug}\n");
    fake_add_key(&fake, "tenant", token);
    snprintf(target, sizeof(target), SUBSCRIBE "?topic=t&token=%s", token);
    close(client_handshake(&fake, target, NULL, "", 101));
    close(client_handshake(&fake, target, "insi_wrong", "", 401)); /* the header wins */
    snprintf(target, sizeof(target), STREAM "?topic=t&after=x&token=%s", token);
    struct answer answer = client_call(&fake, "GET", target, NULL, NULL);
    answer_expect(&answer, 400, "BAD_REQUEST");
    cr_assert_null(strstr(answer.body, token));
    answer_fini(&answer);
    snprintf(target, sizeof(target), BASE "/get?key=k&token=%s", token);
    expect_refusal("GET", target, NULL, 401, "AUTHENTICATION_FAILED");
    cr_assert(!fake_log_contains(&fake, token));
}

Test(subscribers, no_more_than_the_limit_and_a_place_is_free_again_at_once)
{
    fake_start(&fake, "sessions: {maxConnections: 2}\n");
    int socket = subscribe("topic=t"), source = stream("topic=t");
    expect_refusal("GET", STREAM "?topic=t", fake_root(), 503, "TOO_MANY_SESSIONS");
    close(socket);
    FAKE_WAIT(&fake, fake_events()->open == 1);
    socket = stream("topic=t");
    expect_refusal("GET", STREAM "?topic=t", fake_root(), 503, "TOO_MANY_SESSIONS");
    fake_reload(&fake, "sessions: {maxConnections: 3}\n");
    close(stream("topic=t"));
    close(socket);
    close(source);
}

Test(subscribers, without_a_worker_they_wait_and_are_503_in_the_end)
{
    fake_start(&fake, "limits: {requestTimeout: 300ms}\n");
    fake_events()->is_silent = true;
    expect_refusal("GET", STREAM "?topic=t", fake_root(), 503, "NO_LEADER");
    FAKE_WAIT(&fake, fake_events()->count == 1 && !fake_events()->list[0].is_open);
    fake_events()->is_silent = false;
    fake_events()->is_full = true;
    expect_refusal("GET", STREAM "?topic=t", fake_root(), 503, "TOO_MANY_SESSIONS");
}

/* ---- the end --------------------------------------------------------------------------------- */

Test(subscribers, a_planned_stop_says_1012_and_ends_streams)
{
    int status;
    fake_start(&fake, NULL);
    int socket = subscribe("topic=t"), source = stream("topic=t");
    fake_supervisor_says(&fake, PROC_CONTROL_STOP);
    cr_assert_eq(client_read_close(&fake, socket), 1012);
    client_send_frame(socket, 0x88, "\x03\xf4", 2);
    cr_assert(client_is_closed(&fake, socket, 1000));
    client_read_until(&fake, source, "0\r\n\r\n", text, sizeof(text));
    FAKE_WAIT(&fake, fake_gateway_has_ended(&fake, &status));
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(socket);
    close(source);
}

Test(subscribers, a_deleted_key_ends_its_subscribers_and_no_others)
{
    char token[TOKEN_APIKEY_BYTES], body[256];
    fake_start(&fake, NULL);
    fake_add_key(&fake, "tenant", token);
    int theirs = client_handshake(&fake, SUBSCRIBE "?topic=t", token, "", 101);
    int ours = subscribe("topic=t");
    snprintf(body, sizeof(body), "{\"key\":\"%s\"}", token);
    struct answer answer = client_call(&fake, "POST", BASE "/admin/api/delete", fake_root(), body);
    answer_expect(&answer, 200, NULL);
    answer_fini(&answer);
    cr_assert_eq(client_read_close(&fake, theirs), 1008);
    fake_emit(&fake, "t", "1");
    cr_assert_eq(client_read_frame(&fake, ours, text, sizeof(text)), 0x1);
    close(theirs);
    close(ours);
}

Test(subscribers, who_was_outrun_is_told_4008)
{
    fake_start(&fake, NULL);
    int socket = subscribe("topic=t");
    fake_send_outrun(&fake, fake_last_subscription()->msg.connection, 9);
    cr_assert_eq(client_read_close(&fake, socket), 4008);
    client_send_frame(socket, 0x88, "", 0);
    cr_assert(client_is_closed(&fake, socket, 5000));
    close(socket);
}

/* As the worker would: no more than the window that is not paid. */
Test(subscribers, who_reads_nothing_is_closed_with_4008_and_skipped_nothing)
{
    char *data = malloc(60000);
    const struct fake_subscription *slow;
    unsigned sent = 0, received = 0;
    int small = 4096, opcode;
    fake_start(&fake, "sessions: {sendBuffer: 128KiB}\n");
    int socket = subscribe("topic=t");
    setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    slow = fake_last_subscription();
    memset(data, '7', 60000);
    while (slow->is_open) {
        uint64_t cost = event_cost(1, 60000) * sent;
        if (cost - slow->paid < slow->msg.window)
            fake_emit_to(&fake, slow->msg.connection, ++sent, "t", slice_of(data, 60000));
        fake_turn(&fake, 5);
    }
    cr_assert_gt(sent, 2);
    while ((opcode = client_read_frame(&fake, socket, text, sizeof(text))) == 0x1) {
        char expected[32];
        snprintf(expected, sizeof(expected), "\"index\":%u,", ++received);
        cr_assert_not_null(strstr(text, expected));
    }
    cr_assert_eq(opcode, 0x8);
    cr_assert_eq((uint8_t)text[0] << 8 | (uint8_t)text[1], 4008);
    cr_assert_lt(received, sent); /* the others it may ask for */
    close(socket);
    free(data);
}

/* ---- windows --------------------------------------------------------------------------------- */

Test(subscribers, what_has_left_is_paid_in_quarters_of_the_window)
{
    fake_start(&fake, "sessions: {sendBuffer: 1KiB}\n");
    int socket = subscribe("topic=t");
    const struct fake_subscription *one = fake_last_subscription();
    const uint64_t cost = event_cost(1, 1);
    for (uint64_t i = 1; i <= 7; i++) {
        fake_emit(&fake, "t", "1");
        cr_assert_eq(client_read_frame(&fake, socket, text, sizeof(text)), 0x1);
        FAKE_WAIT(&fake, one->paid >= i / 2 * 2 * cost); /* two are more than a quarter */
        fake_pass_ms(&fake, 5);
        cr_assert_eq(one->paid, i / 2 * 2 * cost);
    }
    close(socket);
}

/* Whoever the events were for: these are for a connection that has gone. */
Test(subscribers, the_link_is_paid_when_an_eighth_of_its_window_is_due)
{
    const uint64_t cost = event_cost(1, 400000) + EVENT_CONNECTION_BYTES;
    char *data = malloc(400000);
    fake_start(&fake, NULL);
    int socket = subscribe("topic=t");
    memset(data, '7', 400000);
    for (uint64_t i = 1; i <= 7; i++) {
        fake_emit_to(&fake, fake_last_subscription()->msg.connection + 1, i, "t",
                     slice_of(data, 400000));
        FAKE_WAIT(&fake, fake_events()->link_paid >= i / 3 * 3 * cost); /* 1.2 of 1.05 MB */
        fake_pass_ms(&fake, 5);
        cr_assert_eq(fake_events()->link_paid, i / 3 * 3 * cost);
    }
    close(socket);
    free(data);
}

/* ---- protocol -------------------------------------------------------------------------------- */

Test(subscribers, pings_are_answered_both_ways)
{
    fake_start(&fake, "sessions: {pingInterval: 200ms}\n");
    int socket = subscribe("topic=t");
    client_send_frame(socket, 0x89, "are you there", 13);
    cr_assert_eq(client_read_frame(&fake, socket, text, sizeof(text)), 0xa);
    cr_assert_str_eq(text, "are you there");
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_eq(client_read_frame(&fake, socket, text, sizeof(text)), 0x9);
        client_send_frame(socket, 0x8a, "", 0);
    }
    cr_assert_eq(client_read_frame(&fake, socket, text, sizeof(text)), 0x9);
    cr_assert_eq(client_read_frame(&fake, socket, text, sizeof(text)), -1); /* it stayed silent */
    close(socket);
    int source = stream("topic=t");
    for (unsigned i = 0; i < 3; i++)
        client_read_until(&fake, source, ": ping\n\n\r\n", text, sizeof(text));
    close(source);
}

Test(subscribers, a_close_is_answered_with_its_code)
{
    fake_start(&fake, NULL);
    int socket = subscribe("topic=t");
    client_send_frame(socket, 0x88, "\x03\xe8good bye", 10);
    cr_assert_eq(client_read_close(&fake, socket), 1000);
    cr_assert(client_is_closed(&fake, socket, 5000));
    close(socket);
    socket = subscribe("topic=t");
    client_send_frame(socket, 0x88, "", 0);
    cr_assert_eq(client_read_frame(&fake, socket, text, sizeof(text)), 0x8);
    cr_assert_str_eq(text, "");
    close(socket);
}

Test(subscribers, a_stream_ends_when_its_client_has_left)
{
    fake_start(&fake, NULL);
    int source = stream("topic=t");
    FAKE_WAIT(&fake, fake_events()->open == 1);
    shutdown(source, SHUT_WR);
    FAKE_WAIT(&fake, fake_events()->open == 0);
    cr_assert(client_is_closed(&fake, source, 5000));
    close(source);
}
