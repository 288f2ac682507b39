/* test_outcomes.c - a real gateway in a node whose parts fail: what its clients are told. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/path.h"
#include "fake_node.h"
#include "fake_storage.h"

#define BASE "/db/api/v1"
#define SET "{\"key\":\"k\",\"value\":\"v\"}"
#define SHORT "limits: {requestTimeout: 1s}\n"

static struct fake fake;

static void stop(void)
{
    fake_stop(&fake);
}

TestSuite(outcomes, .fini = stop, .timeout = 60);

/* A request that is not answered at once: send, do something, read. */
static int begin(const char *method, const char *target, const char *token, const char *body)
{
    char bytes[4096];
    int fd = client_connect(&fake);
    client_send(fd, bytes, client_format(bytes, sizeof(bytes), method, target, token, body));
    return fd;
}

static int begin_set(void)
{
    return begin("POST", BASE "/set", fake_root(), SET);
}

static void finish(int fd, int status, const char *error_type)
{
    struct answer answer;
    cr_assert(client_read(&fake, fd, &answer, true));
    answer_expect(&answer, status, error_type);
    answer_fini(&answer);
    close(fd);
}

static void expect_call(const char *method, const char *target, const char *body, int status,
                        const char *error_type)
{
    finish(begin(method, target, fake_root(), body), status, error_type);
}

/* ---- writes ---- */

Test(outcomes, a_write_waits_for_a_leader_and_succeeds)
{
    fake_prepare(&fake, &(struct fake_options){0});
    fake_launch(&fake);
    int fd = begin_set();
    fake_pass_ms(&fake, 200);
    cr_assert_eq(fake.proposals, 0);
    fake_say_leader(&fake, true);
    finish(fd, 200, NULL);
}

Test(outcomes, without_a_leader_in_time_nothing_was_written)
{
    fake_prepare(&fake, &(struct fake_options){.settings = SHORT});
    fake_launch(&fake);
    expect_call("POST", BASE "/set", SET, 503, "NO_LEADER");
    expect_call("GET", BASE "/get?key=k", NULL, 503, "NO_LEADER");
    cr_assert_eq(fake.proposals, 0);
}

Test(outcomes, refused_by_raft_in_all_copies_nothing_was_written)
{
    fake_start(&fake, SHORT);
    expect_call("POST", BASE "/set", SET, 200, NULL);
    fake.mode = FAKE_REFUSE;
    fake.refusal = E_NO_LEADER;
    expect_call("POST", BASE "/set", SET, 503, "NO_LEADER");
}

Test(outcomes, a_proposal_that_is_lost_is_of_unknown_outcome)
{
    fake_start(&fake, SHORT);
    expect_call("POST", BASE "/set", SET, 200, NULL);
    fake.mode = FAKE_LOSE;
    expect_call("POST", BASE "/set", SET, 503, "OUTCOME_UNKNOWN");
}

Test(outcomes, a_full_disk_is_507)
{
    fake_start(&fake, NULL);
    expect_call("POST", BASE "/set", SET, 200, NULL);
    fake.mode = FAKE_REFUSE;
    fake.refusal = E_STORAGE_FULL;
    expect_call("POST", BASE "/set", SET, 507, "STORAGE_FULL");
}

Test(outcomes, a_busy_raft_is_waited_for)
{
    fake_start(&fake, NULL);
    expect_call("POST", BASE "/set", SET, 200, NULL);
    fake.mode = FAKE_REFUSE;
    fake.refusal = E_BUSY;
    int fd = begin_set();
    fake_pass_ms(&fake, 100);
    cr_assert_gt(fake.proposals, 3);
    fake.mode = FAKE_APPLY;
    finish(fd, 200, NULL);
}

Test(outcomes, a_raft_that_stays_busy_is_429_with_a_time_to_come_back)
{
    fake_start(&fake, SHORT);
    expect_call("POST", BASE "/set", SET, 200, NULL);
    fake.mode = FAKE_REFUSE;
    fake.refusal = E_BUSY;
    struct answer answer = client_call(&fake, "POST", BASE "/set", fake_root(), SET);
    answer_expect(&answer, 429, "RATE_LIMITED");
    cr_assert_not_null(strstr(answer.head, "retry-after: 1\r\n"), "%s", answer.head);
    answer_fini(&answer);
}

Test(outcomes, a_restart_of_raft_is_a_pause_and_nothing_is_done_twice)
{
    fake_start(&fake, NULL);
    expect_call("POST", BASE "/bump", "{\"key\":\"n\",\"value\":1}", 200, NULL);
    fake.mode = FAKE_HOLD;
    int fds[10];
    for (unsigned i = 0; i < 10; i++)
        fds[i] = begin("POST", BASE "/bump", fake_root(), "{\"key\":\"n\",\"value\":1}");
    FAKE_WAIT(&fake, fake.held_count == 10);
    /* Half of them reach the log before raft dies, and are proposed again like the others. */
    fake.results_are_lost = true;
    unsigned kept = fake.held_count / 2;
    while (fake.held_count > kept)
        buf_fini(&fake.held[--fake.held_count]);
    fake_apply_held(&fake);
    fake.results_are_lost = false;
    fake_restart_raft(&fake);
    fake.mode = FAKE_APPLY;
    for (unsigned i = 0; i < 10; i++)
        finish(fds[i], 200, NULL);
    struct answer answer = client_call(&fake, "GET", BASE "/get?key=n", fake_root(), NULL);
    cr_assert_str_eq(answer_text(&answer, "data"), "11");
    answer_fini(&answer);
}

Test(outcomes, a_result_that_was_lost_with_its_worker_is_told_when_that_is_back)
{
    fake_start(&fake, NULL);
    expect_call("POST", BASE "/set", SET, 200, NULL);
    fake.results_are_lost = true;
    fake.recalls_are_ignored = true; /* it is told without being asked */
    int fd = begin_set();
    FAKE_WAIT(&fake, fake.applied == 2);
    fake.results_are_lost = false;
    fake_restart_storage(&fake);
    finish(fd, 200, NULL);
    cr_assert_eq(fake.applied, 2);
}

Test(outcomes, a_result_that_does_not_come_is_recalled)
{
    fake_start(&fake, NULL);
    expect_call("POST", BASE "/set", SET, 200, NULL);
    fake.results_are_lost = true;
    int fd = begin_set();
    FAKE_WAIT(&fake, fake.applied == 2);
    finish(fd, 200, NULL);
    cr_assert_geq(fake.recalls, 1);
    cr_assert_eq(fake.applied, 2);
}

Test(outcomes, a_session_that_was_forgotten_is_opened_anew_and_no_write_is_lost)
{
    fake_start(&fake, NULL);
    expect_call("POST", BASE "/set", SET, 200, NULL);
    fake.session_count = 0;
    fake.result_count = 0;
    uint64_t session = fake.session;
    unsigned links_up = fake_log_count(&fake, "event=link_up");
    expect_call("POST", BASE "/bump", "{\"key\":\"n\",\"value\":1}", 200, NULL);
    expect_call("POST", BASE "/bump", "{\"key\":\"n\",\"value\":1}", 200, NULL);
    struct answer answer = client_call(&fake, "GET", BASE "/get?key=n", fake_root(), NULL);
    cr_assert_str_eq(answer_text(&answer, "data"), "2");
    answer_fini(&answer);
    cr_assert_neq(fake.session, session);
    cr_assert_eq(fake.announced, 2);
    cr_assert_eq(fake_log_count(&fake, "event=link_up"), links_up, "the links are the same");
}

Test(outcomes, a_client_that_leaves_frees_its_request)
{
    fake_start(&fake, NULL);
    expect_call("POST", BASE "/set", SET, 200, NULL);
    fake.mode = FAKE_HOLD;
    for (unsigned i = 0; i < 20; i++)
        close(begin_set());
    FAKE_WAIT(&fake, fake.held_count == 20);
    fake.mode = FAKE_APPLY;
    fake_apply_held(&fake);
    expect_call("POST", BASE "/set", SET, 200, NULL);
    cr_assert_eq(fake.applied, 22);
}

Test(outcomes, answered_writes_are_given_back_to_the_workers_by_the_floor)
{
    fake_start(&fake, NULL);
    for (unsigned i = 0; i < 5; i++)
        expect_call("POST", BASE "/set", SET, 200, NULL);
    cr_assert_geq(fake.last_floor, 6); /* the session's opening and four writes */
}

/* ---- reads ---- */

Test(outcomes, without_a_lease_reads_ask_for_an_index)
{
    fake_start(&fake, NULL);
    expect_call("POST", BASE "/set", SET, 200, NULL);
    fake_set_lease(&fake, false);
    expect_call("GET", BASE "/get?key=k", NULL, 200, NULL);
    cr_assert_eq(fake.questions, 1);
    expect_call("GET", BASE "/get?key=k&consistency=stale", NULL, 200, NULL);
    expect_call("GET", BASE "/get?key=k&consistency=linearizable", NULL, 200, NULL);
    cr_assert_eq(fake.questions, 2);
}

Test(outcomes, reads_that_wait_together_share_a_question)
{
    fake_start(&fake, NULL);
    expect_call("POST", BASE "/set", SET, 200, NULL);
    fake_set_lease(&fake, false);
    fake.answers_reads = false;
    int fds[20];
    for (unsigned i = 0; i < 20; i++)
        fds[i] = begin("GET", BASE "/get?key=k", fake_root(), NULL);
    FAKE_WAIT(&fake, fake.questions > 0);
    fake_pass_ms(&fake, 50);
    cr_assert_lt(fake.questions, 20);
    fake.answers_reads = true;
    fake_answer_reads(&fake);
    for (unsigned i = 0; i < 20; i++)
        finish(fds[i], 200, NULL);
}

Test(outcomes, a_read_waits_for_the_worker_to_catch_up)
{
    fake_start(&fake, NULL);
    expect_call("POST", BASE "/set", SET, 200, NULL);
    fake_set_lease(&fake, false);
    fake.mode = FAKE_HOLD;
    int writer = begin("POST", BASE "/set", fake_root(), "{\"key\":\"k\",\"value\":\"new\"}");
    FAKE_WAIT(&fake, fake.held_count == 1);
    fake.index++; /* committed, told by raft, and not yet applied */
    int reader = begin("GET", BASE "/get?key=k", fake_root(), NULL);
    FAKE_WAIT(&fake, fake.questions == 1);
    fake_pass_ms(&fake, 50);
    fake.index--;
    fake_apply_held(&fake);
    struct answer answer;
    cr_assert(client_read(&fake, reader, &answer, true));
    cr_assert_str_eq(answer_text(&answer, "data"), "new");
    answer_fini(&answer);
    close(reader);
    finish(writer, 200, NULL);
}

Test(outcomes, a_lost_question_is_asked_again_when_raft_is_back)
{
    fake_start(&fake, NULL);
    expect_call("POST", BASE "/set", SET, 200, NULL);
    fake_set_lease(&fake, false);
    fake.answers_reads = false;
    int fd = begin("GET", BASE "/get?key=k", fake_root(), NULL);
    FAKE_WAIT(&fake, fake.questions == 1);
    fake.answers_reads = true;
    fake_restart_raft(&fake);
    finish(fd, 200, NULL);
}

Test(outcomes, a_key_made_a_moment_ago_elsewhere_is_not_called_unknown)
{
    char key[TOKEN_APIKEY_BYTES];
    fake_start(&fake, NULL);
    fake_set_lease(&fake, false);
    fake.answers_reads = false;
    token_apikey_new(key);
    int fd = begin("GET", BASE "/ping", key, NULL);
    FAKE_WAIT(&fake, fake.questions == 1); /* not there: a linearizable look first */
    fake.answers_reads = true;
    fake_answer_reads(&fake);
    finish(fd, 401, "AUTHENTICATION_FAILED");

    fake_add_key(&fake, "shop", key);
    finish(begin("GET", BASE "/ping", key, NULL), 200, NULL);
    cr_assert_eq(fake.questions, 1); /* and a known one costs nothing */
}

Test(outcomes, a_stale_read_never_waits_for_a_leader)
{
    fake_prepare(&fake, &(struct fake_options){0});
    fake_launch(&fake);
    expect_call("GET", BASE "/get?key=k&consistency=stale", NULL, 404, "NOT_FOUND");
    finish(begin("GET", BASE "/get?key=k&consistency=stale", "insi_unknown", NULL), 401,
           "AUTHENTICATION_FAILED");
}

Test(outcomes, ping_and_health_need_no_leader)
{
    fake_prepare(&fake, &(struct fake_options){0});
    fake_launch(&fake);
    struct answer answer = client_call(&fake, "GET", BASE "/ping", fake_root(), NULL);
    answer_expect(&answer, 200, NULL);
    cr_assert_str_eq(answer_text(&answer, "leader"), "");
    answer_fini(&answer);
    finish(begin("GET", "/healthz", NULL, NULL), 200, NULL);
    finish(begin("GET", "/readyz", NULL, NULL), 503, "NO_LEADER");
    fake_say_leader(&fake, true);
    finish(begin("GET", "/readyz", NULL, NULL), 200, NULL);
}

Test(outcomes, a_map_that_is_replaced_fails_no_read)
{
    char folder[128];
    fake_start(&fake, NULL);
    expect_call("POST", BASE "/set", SET, 200, NULL);
    expect_call("GET", BASE "/get?key=k", NULL, 200, NULL);
    map_close(&fake.map);
    snprintf(folder, sizeof(folder), "%s/data/node0/values", fake.dir);
    cr_assert_eq(path_remove_tree(folder), 0);
    board_write_applied(fake.board, PROC_STORAGE, 0);
    board_raise_generation(fake.board, PROC_STORAGE);
    int fd = begin("GET", BASE "/get?key=k", fake_root(), NULL);
    fake_pass_ms(&fake, 100); /* no map at all */
    cr_assert_eq(map_open_writer(&fake.map, folder, MAP_VALUES), 0);
    fake_pass_ms(&fake, 100); /* one that has not caught up */
    fake_storage_reach(&fake);
    finish(fd, 404, "NOT_FOUND");
}

/* ---- the limiter ---- */

Test(outcomes, requests_beyond_the_rate_are_429_and_a_reload_changes_it)
{
    fake_start(&fake, "rateLimiters: {values: {limit: 1, burst: 3}}\n");
    unsigned passed = 0;
    uint64_t started_ms = clock_boot_ms();
    for (unsigned i = 0; i < 10; i++) {
        struct answer answer = client_call(&fake, "GET", BASE "/get?key=k", fake_root(), NULL);
        passed += answer.status == 404;
        if (answer.status != 404) {
            answer_expect(&answer, 429, "RATE_LIMITED");
            cr_assert_not_null(strstr(answer.head, "retry-after: "), "%s", answer.head);
        }
        answer_fini(&answer);
    }
    uint64_t seconds = (clock_boot_ms() - started_ms) / 1000;
    cr_assert(passed >= 3 && passed <= 4 + seconds, "%u", passed);
    expect_call("GET", BASE "/ping", NULL, 200, NULL); /* another class */
    finish(begin("GET", BASE "/get?key=k", "insi_unknown", NULL), 401, "AUTHENTICATION_FAILED");
    fake_reload(&fake, NULL);
    for (unsigned i = 0; i < 10; i++)
        expect_call("GET", BASE "/get?key=k", NULL, 404, "NOT_FOUND");
}
