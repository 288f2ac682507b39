/* test_connections.c - a real gateway and its connections: pipelines, bad framing, and the end. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_node.h"

#define BASE "/db/api/v1"
#define SET "{\"key\":\"k\",\"value\":\"v\"}"

static struct fake fake;

static void start(void)
{
    fake_start(&fake, NULL);
}

static void stop(void)
{
    fake_stop(&fake);
}

TestSuite(connections, .init = start, .fini = stop, .timeout = 60);

static void expect_answer(int fd, int status, const char *error_type)
{
    struct answer answer;
    cr_assert(client_read(&fake, fd, &answer, true));
    answer_expect(&answer, status, error_type);
    answer_fini(&answer);
}

static void send_text(int fd, const char *text)
{
    client_send(fd, text, strlen(text));
}

Test(connections, a_pipeline_is_answered_in_order)
{
    char bytes[512], expected[16];
    int fd = client_connect(&fake);
    for (unsigned i = 0; i < 100; i++) {
        char body[64];
        snprintf(body, sizeof(body), "{\"key\":\"k\",\"value\":\"%u\"}", i);
        client_send(fd, bytes,
                    client_format(bytes, sizeof(bytes), "POST", BASE "/set", fake_root(), body));
        client_send(
            fd, bytes,
            client_format(bytes, sizeof(bytes), "GET", BASE "/get?key=k", fake_root(), NULL));
    }
    for (unsigned i = 0; i < 100; i++) {
        struct answer answer;
        expect_answer(fd, 200, NULL);
        cr_assert(client_read(&fake, fd, &answer, true));
        snprintf(expected, sizeof(expected), "%u", i);
        cr_assert_str_eq(answer_text(&answer, "data"), expected);
        answer_fini(&answer);
    }
    close(fd);
}

Test(connections, a_long_pipeline_lets_others_in)
{
    char bytes[512];
    size_t len = client_format(bytes, sizeof(bytes), "GET", BASE "/ping", fake_root(), NULL);
    char *all = malloc(1000 * len);
    int greedy = client_connect(&fake);
    for (unsigned i = 0; i < 1000; i++)
        memcpy(all + i * len, bytes, len);
    client_send(greedy, all, 1000 * len);
    struct answer other = client_call(&fake, "GET", BASE "/ping", fake_root(), NULL);
    answer_expect(&other, 200, NULL);
    answer_fini(&other);
    for (unsigned i = 0; i < 1000; i++)
        expect_answer(greedy, 200, NULL);
    close(greedy);
    free(all);
}

Test(connections, an_error_in_a_pipeline_hits_only_its_request)
{
    char bytes[512];
    int fd = client_connect(&fake);
    client_send(fd, bytes,
                client_format(bytes, sizeof(bytes), "POST", BASE "/set", fake_root(), "{bad"));
    client_send(fd, bytes,
                client_format(bytes, sizeof(bytes), "GET", BASE "/ping", fake_root(), NULL));
    expect_answer(fd, 400, "BAD_REQUEST");
    expect_answer(fd, 200, NULL);
    close(fd);
}

Test(connections, ambiguous_framing_is_refused_and_nothing_is_smuggled)
{
    static const char *const framings[] = {
        "Content-Length: 5\r\nContent-Length: 50\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "transfer-encoding: chunked\r\nTRANSFER-ENCODING: chunked\r\n",
    };
    char hidden[512], head[512];
    client_format(hidden, sizeof(hidden), "POST", BASE "/set", fake_root(), SET);
    for (size_t i = 0; i < sizeof(framings) / sizeof(framings[0]); i++) {
        int fd = client_connect(&fake);
        snprintf(head, sizeof(head),
                 "POST " BASE "/delete HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\n%s\r\n"
                 "0\r\n\r\n",
                 fake_root(), framings[i]);
        send_text(fd, head);
        send_text(fd, hidden);
        expect_answer(fd, 400, "BAD_REQUEST");
        cr_expect(client_is_closed(&fake, fd, 5000), "%s", framings[i]);
        close(fd);
    }
    cr_assert_eq(fake.applied, 0);
}

Test(connections, what_h2o_refuses_by_itself_has_our_error_body)
{
    static const struct {
        const char *rest;
        int status;
        const char *error_type;
    } bad[] = {
        {"Content-Length: 99999999999\r\n\r\n{", 413, "PAYLOAD_TOO_LARGE"},
        {"Content-Length: x\r\n\r\n{", 400, "BAD_REQUEST"},
        {"Content-Length: -1\r\n\r\n{", 400, "BAD_REQUEST"},
        {"Transfer-Encoding: gzip\r\n\r\n{", 400, "BAD_REQUEST"},
        {"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "BAD_REQUEST"},
        {"Content-Length: 5\r\nExpect: a miracle\r\n\r\n{", 400, "BAD_REQUEST"},
    };
    char head[512];
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct answer answer;
        int fd = client_connect(&fake);
        snprintf(head, sizeof(head),
                 "POST " BASE "/set HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\n%s", fake_root(),
                 bad[i].rest);
        send_text(fd, head);
        cr_assert(client_read(&fake, fd, &answer, true), "%s", bad[i].rest);
        answer_expect(&answer, bad[i].status, bad[i].error_type);
        cr_expect_not_null(strcasestr(answer.head, "content-type: application/json"));
        answer_fini(&answer);
        close(fd);
    }
}

Test(connections, chunked_bodies_work_and_have_the_same_limit)
{
    char head[512], chunk[70000];
    struct answer answer;
    int fd = client_connect(&fake);
    snprintf(head, sizeof(head),
             "POST " BASE "/set HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\n"
             "Transfer-Encoding: chunked\r\n\r\n",
             fake_root());
    send_text(fd, head);
    send_text(fd, "a\r\n{\"key\":\"k\"\r\nc\r\n,\"value\":\"v\"\r\n1\r\n}\r\n0\r\n\r\n");
    expect_answer(fd, 200, NULL);
    close(fd);

    fd = client_connect(&fake);
    send_text(fd, head);
    size_t len = (size_t)sprintf(chunk, "10000\r\n");
    memset(chunk + len, ' ', 0x10000);
    stpcpy(chunk + len + 0x10000, "\r\n");
    for (unsigned i = 0; i < 100; i++)
        client_send(fd, chunk, len + 0x10000 + 2);
    cr_assert(client_read(&fake, fd, &answer, true));
    answer_expect(&answer, 413, "PAYLOAD_TOO_LARGE");
    answer_fini(&answer);
    close(fd);
}

Test(connections, headers_have_their_limit)
{
    char *head = malloc(40000);
    int len =
        sprintf(head, "GET " BASE "/ping HTTP/1.1\r\nAuthorization: %s\r\nX-Large: ", fake_root());
    memset(head + len, 'x', 17 << 10);
    stpcpy(head + len + (17 << 10), "\r\n\r\n");
    int fd = client_connect(&fake);
    send_text(fd, head);
    expect_answer(fd, 400, "BAD_REQUEST");
    close(fd);
    free(head);
}

Test(connections, http_2_is_not_spoken_in_clear_text)
{
    struct answer answer;
    int fd = client_connect(&fake);
    send_text(fd, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    cr_assert(client_read(&fake, fd, &answer, false));
    cr_assert_eq(answer.status, 400);
    answer_fini(&answer);
    close(fd);
}

Test(connections, somebody_who_never_says_anything_is_given_up)
{
    int silent = client_connect(&fake), slow = client_connect(&fake);
    send_text(slow, "GET /heal");
    cr_assert(client_is_closed(&fake, silent, 20000));
    cr_assert(client_is_closed(&fake, slow, 10000));
    close(silent);
    close(slow);
}

/* ---- too many ---- */

static uint64_t cpu_ms(void)
{
    char path[64], line[1024];
    unsigned long user = 0, kernel = 0;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)fake.pid);
    FILE *file = fopen(path, "r");
    cr_assert_not_null(fgets(line, sizeof(line), file));
    fclose(file);
    char *at = strrchr(line, ')');
    for (unsigned field = 2; field < 14; field++)
        at = strchr(at, ' ') + 1;
    user = strtoul(at, &at, 10);
    kernel = strtoul(at, NULL, 10);
    return (user + kernel) * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

static void start_with_few_descriptors(unsigned descriptors)
{
    fake_prepare(&fake, &(struct fake_options){.descriptors = descriptors});
    fake.leader_is_known = true;
    fake_set_lease(&fake, true);
    fake_launch(&fake);
}

/* 200 clients, of which the gateway has room for some. All are served in the end, and meanwhile
 * nobody burns time on those that wait. */
static void serve_more_than_fit(void)
{
    char bytes[512];
    int fds[200];
    size_t len = client_format(bytes, sizeof(bytes), "GET", "/healthz", NULL, NULL);
    for (unsigned i = 0; i < 200; i++) {
        fds[i] = client_connect(&fake);
        client_send(fds[i], bytes, len);
    }
    fake_pass_ms(&fake, 300);
    uint64_t before_ms = cpu_ms();
    fake_pass_ms(&fake, 1000);
    cr_expect_lt(cpu_ms() - before_ms, 300);
    for (unsigned i = 0; i < 200; i++) {
        expect_answer(fds[i], 200, NULL);
        close(fds[i]);
    }
    cr_assert_eq(fake_log_count(&fake, "accept_paused"), 1, "told again and again");
}

Test(limits, more_connections_than_are_allowed_wait_their_turn, .fini = stop, .timeout = 60)
{
    start_with_few_descriptors(300); /* 128 are kept back */
    serve_more_than_fit();
}

Test(limits, running_out_of_descriptors_is_survived, .fini = stop, .timeout = 60)
{
    start_with_few_descriptors(130);
    serve_more_than_fit();
}

/* Without a token, too: it is looked at when the request is complete. */
Test(limits, requests_that_never_become_complete_do_not_fill_the_memory, .fini = stop,
     .timeout = 60)
{
    enum { CLIENTS = 200, FIT = 139, SENT = 60000 };
    int fds[CLIENTS];
    unsigned closed = 0;
    char *part = malloc(SENT);
    memset(part, ' ', SENT);
    fake_start(&fake, "limits: {maxBody: 64KiB, maxValue: 32KiB}\n");
    for (unsigned i = 0; i < CLIENTS; i++) {
        fds[i] = client_connect(&fake);
        send_text(fds[i], "POST " BASE "/set HTTP/1.1\r\nContent-Length: 60002\r\n\r\n");
        client_send(fds[i], part, SENT);
    }
    for (unsigned i = FIT; i < CLIENTS; i++)
        closed += client_is_closed(&fake, fds[i], 5000);
    cr_assert_eq(closed, CLIENTS - FIT);
    cr_assert(fake_log_contains(&fake, "requests_dropped"));
    send_text(fds[0], "{}"); /* the others keep what they have */
    expect_answer(fds[0], 401, NULL);
    for (unsigned i = 0; i < CLIENTS; i++)
        close(fds[i]);
    free(part);
}

Test(limits, the_admin_port_answers_for_health_only, .fini = stop, .timeout = 60)
{
    static const struct {
        const char *path;
        int status;
    } paths[] = {{"/healthz", 200},   {"/readyz", 200},         {BASE "/healthz", 200},
                 {BASE "/ping", 404}, {BASE "/get?key=k", 404}, {"/metrics", 404}};
    char bytes[512];
    fake_prepare(&fake, &(struct fake_options){.has_admin = true});
    fake.leader_is_known = true;
    fake_set_lease(&fake, true);
    fake_launch(&fake);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        int fd = client_connect_to(fake.admin_port);
        client_send(fd, bytes,
                    client_format(bytes, sizeof(bytes), "GET", paths[i].path, fake_root(), NULL));
        expect_answer(fd, paths[i].status, paths[i].status == 404 ? "NOT_FOUND" : NULL);
        close(fd);
    }
}

/* ---- the end ---- */

static void expect_end(int expected)
{
    int status = 0;
    FAKE_WAIT(&fake, fake_gateway_has_ended(&fake, &status));
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == expected, "%d", status);
}

Test(connections, a_stop_without_connections_is_at_once)
{
    uint64_t started_ms = clock_boot_ms();
    fake_supervisor_says(&fake, PROC_CONTROL_STOP);
    expect_end(0);
    cr_assert_lt(clock_boot_ms() - started_ms, 4000);
}

Test(connections, a_stop_lets_requests_finish_and_idle_connections_go)
{
    char bytes[512];
    int idle = client_connect(&fake), busy = client_connect(&fake);
    size_t len = client_format(bytes, sizeof(bytes), "GET", BASE "/ping", fake_root(), NULL);
    client_send(idle, bytes, len);
    expect_answer(idle, 200, NULL);
    fake.mode = FAKE_HOLD;
    len = client_format(bytes, sizeof(bytes), "POST", BASE "/set", fake_root(), SET);
    client_send(busy, bytes, len);
    FAKE_WAIT(&fake, fake.held_count > 0);
    fake_supervisor_says(&fake, PROC_CONTROL_STOP);
    fake_pass_ms(&fake, 50);
    client_send(idle, bytes,
                client_format(bytes, sizeof(bytes), "GET", BASE "/ping", fake_root(),
                              NULL)); /* was on its way */
    struct answer answer;
    cr_assert(client_read(&fake, idle, &answer, true));
    answer_expect(&answer, 200, NULL);
    cr_assert_not_null(strstr(answer.head, "Connection: close"));
    answer_fini(&answer);
    cr_assert(client_is_closed(&fake, idle, 5000));
    fake_pass_ms(&fake, 300);
    cr_assert_not(fake_gateway_has_ended(&fake, &(int){0}));
    fake.mode = FAKE_APPLY;
    fake_apply_held(&fake); /* the session's opening, or the write itself */
    cr_assert(client_read(&fake, busy, &answer, true));
    answer_expect(&answer, 200, NULL);
    answer_fini(&answer);
    expect_end(0);
    close(idle);
    close(busy);
}

Test(connections, a_stop_does_not_wait_for_ever)
{
    char bytes[512];
    int busy = client_connect(&fake);
    fake.mode = FAKE_LOSE;
    client_send(busy, bytes,
                client_format(bytes, sizeof(bytes), "POST", BASE "/set", fake_root(), SET));
    FAKE_WAIT(&fake, fake.proposals > 0);
    fake_supervisor_says(&fake, PROC_CONTROL_STOP);
    expect_end(0);
    close(busy);
}

Test(connections, a_heartbeat_is_answered)
{
    fake_supervisor_says(&fake, PROC_CONTROL_HEARTBEAT);
    FAKE_WAIT(&fake, fake.heartbeat_echoed);
}
