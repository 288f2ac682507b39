/* test_cluster.c - a real gateway asked about its cluster, with raft played by the test. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "base/path.h"
#include "fake_node.h"
#include "fake_storage.h"
#include "ipc/gateway_raft.h"

#define BASE "/db/api/v1"
#define CLUSTER BASE "/admin/cluster"

static struct fake fake;

static void stop(void)
{
    fake_stop(&fake);
}

TestSuite(cluster, .fini = stop, .timeout = 60);

static int begin(const char *method, const char *target, const char *body)
{
    char bytes[4096];
    int fd = client_connect(&fake);
    client_send(fd, bytes, client_format(bytes, sizeof(bytes), method, target, fake_root(), body));
    return fd;
}

static struct answer finish(int fd)
{
    struct answer answer;
    cr_assert(client_read(&fake, fd, &answer, true));
    close(fd);
    return answer;
}

static void finish_with(int fd, int status, const char *error_type, const char *message)
{
    struct answer answer = finish(fd);
    answer_expect(&answer, status, error_type);
    if (message != NULL)
        cr_assert_not_null(strstr(answer_text(&answer, "message"), message), "%s", answer.body);
    answer_fini(&answer);
}

static void expect_call(const char *method, const char *target, const char *body, int status,
                        const char *error_type)
{
    finish_with(begin(method, target, body), status, error_type, NULL);
}

/* ---- who belongs to it ---- */

static void answer_cluster(uint64_t id)
{
    const struct msg_cluster_answer msg = {
        .id = id,
        .cluster_id = slice_text("0123456789abcdef"),
        .leader = slice_text("node1"),
        .term = 7,
        .is_of_leader = true,
        .member_count = 3,
        .members = {{slice_text("node0"), slice_text("127.0.0.1:1"), slice_text("127.0.0.1:2"),
                     true, MSG_MEMBER_FOLLOWER, 90, 10},
                    {slice_text("node1"), slice_text("host:3"), slice_text("host:4"), true,
                     MSG_MEMBER_LEADER, 100, 0},
                    {slice_text("node2"), slice_text("host:5"), slice_text("host:6"), false,
                     MSG_MEMBER_UNREACHABLE, 0, 100}},
        .commit_index = 95};
    cr_assert_eq(msg_cluster_answer_send(fake.raft, &msg), 0);
}

static const json_t *member(const struct answer *answer, size_t number)
{
    return json_array_get(json_object_get(answer->json, "members"), number);
}

static void expect_text(const json_t *object, const char *name, const char *text)
{
    cr_assert_str_eq(json_string_value(json_object_get(object, name)), text, "%s", name);
}

static void expect_number(const json_t *object, const char *name, int64_t number)
{
    cr_assert(json_is_integer(json_object_get(object, name)), "%s", name);
    cr_assert_eq(json_integer_value(json_object_get(object, name)), number, "%s", name);
}

Test(cluster, it_is_shown_as_raft_knows_it_and_this_nodes_workers_as_they_are)
{
    fake_start(&fake, NULL);
    expect_call("POST", BASE "/set", "{\"key\":\"k\",\"value\":\"v\"}", 200, NULL);
    int fd = begin("GET", CLUSTER, NULL);
    FAKE_WAIT(&fake, fake.cluster_ask_count == 1);
    answer_cluster(fake.cluster_asks[0] + 1); /* not this one */
    answer_cluster(fake.cluster_asks[0]);
    struct answer answer = finish(fd);
    answer_expect(&answer, 200, NULL);
    cr_assert_str_eq(answer_text(&answer, "cluster_id"), "30313233343536373839616263646566");
    cr_assert_str_eq(answer_text(&answer, "leader"), "node1");
    cr_assert_eq(answer_number(&answer, "term"), 7);
    cr_assert_eq(json_array_size(json_object_get(answer.json, "members")), 3);
    expect_text(member(&answer, 0), "id", "node0");
    expect_text(member(&answer, 0), "raft_address", "127.0.0.1:1");
    expect_text(member(&answer, 0), "http_address", "127.0.0.1:2");
    expect_text(member(&answer, 0), "role", "voter");
    expect_text(member(&answer, 0), "state", "follower");
    expect_number(member(&answer, 0), "match_index", 90);
    expect_number(member(&answer, 0), "lag", 10);
    expect_text(member(&answer, 1), "state", "leader");
    expect_text(member(&answer, 2), "state", "unreachable");
    expect_text(member(&answer, 2), "role", "learner");
    const json_t *node = json_object_get(answer.json, "node");
    expect_text(node, "id", "node0");
    expect_number(node, "commit_index", 95);
    const json_t *workers = json_object_get(node, "workers");
    expect_number(json_object_get(workers, "storage"), "applied_index", (int64_t)fake.index);
    expect_text(json_object_get(workers, "storage"), "state_hash", "0000000000000000");
    expect_number(json_object_get(workers, "cacheq"), "applied_index", (int64_t)fake.index);
    expect_text(json_object_get(workers, "events"), "state_hash", "0000000000000000");
    answer_fini(&answer);
}

Test(cluster, a_workers_hash_goes_with_the_index_that_it_has_reached)
{
    MDB_txn *txn;
    fake_start(&fake, NULL);
    expect_call("POST", BASE "/set", "{\"key\":\"k\",\"value\":\"v\"}", 200, NULL);
    fake.index = 60;
    cr_assert_eq(map_write_begin(fake.map, &txn), 0);
    cr_assert_eq(map_meta_put(fake.map, txn, MAP_META_STATE_HASH, 0xabcdef), 0);
    cr_assert_eq(map_write_commit(fake.map, 50), 0);
    board_write_applied(fake.board, PROC_STORAGE, 60); /* of other workers' entries */
    int fd = begin("GET", CLUSTER, NULL);
    FAKE_WAIT(&fake, fake.cluster_ask_count == 1);
    answer_cluster(fake.cluster_asks[0]);
    struct answer answer = finish(fd);
    const json_t *storage = json_object_get(
        json_object_get(json_object_get(answer.json, "node"), "workers"), "storage");
    expect_number(storage, "applied_index", 60);
    expect_text(storage, "state_hash", "0000000000abcdef");
    answer_fini(&answer);
}

Test(cluster, a_node_of_no_cluster_shows_what_it_knows)
{
    fake_start(&fake, NULL);
    int fd = begin("GET", CLUSTER, NULL);
    FAKE_WAIT(&fake, fake.cluster_ask_count == 1);
    cr_assert_eq(msg_cluster_answer_send(fake.raft,
                                         &(struct msg_cluster_answer){.id = fake.cluster_asks[0]}),
                 0);
    struct answer answer = finish(fd);
    answer_expect(&answer, 200, NULL);
    cr_assert_str_eq(answer_text(&answer, "cluster_id"), "");
    cr_assert_str_eq(answer_text(&answer, "leader"), "");
    cr_assert_eq(json_array_size(json_object_get(answer.json, "members")), 0);
    answer_fini(&answer);
}

Test(cluster, a_question_outlives_a_restart_of_raft)
{
    fake_start(&fake, NULL);
    int fd = begin("GET", CLUSTER, NULL);
    FAKE_WAIT(&fake, fake.cluster_ask_count == 1);
    fake_restart_raft(&fake);
    FAKE_WAIT(&fake, fake.cluster_ask_count == 2);
    answer_cluster(fake.cluster_asks[1]);
    finish_with(fd, 200, NULL, NULL);
}

Test(cluster, a_raft_that_says_nothing_is_503)
{
    fake_start(&fake, "limits: {requestTimeout: 500ms}\n");
    finish_with(begin("GET", CLUSTER, NULL), 503, "NO_LEADER", "does not answer");
}

Test(cluster, it_is_shown_to_the_root_token_only)
{
    char key[TOKEN_APIKEY_BYTES];
    fake_start(&fake, NULL);
    fake_add_key(&fake, "tenant", key);
    static const char *const paths[] = {CLUSTER, CLUSTER "/join", CLUSTER "/remove",
                                        CLUSTER "/transfer"};
    for (unsigned i = 0; i < 4; i++) {
        const char *method = i == 0 ? "GET" : "POST";
        struct answer answer = client_call(&fake, method, paths[i], key, i == 0 ? NULL : "{}");
        answer_expect(&answer, 403, "FORBIDDEN");
        answer_fini(&answer);
        answer = client_call(&fake, method, paths[i], NULL, NULL);
        answer_expect(&answer, 401, "AUTHENTICATION_FAILED");
        answer_fini(&answer);
        answer = client_call(&fake, i == 0 ? "POST" : "GET", paths[i], fake_root(), NULL);
        answer_expect(&answer, 405, "METHOD_NOT_ALLOWED");
        answer_fini(&answer);
    }
    cr_assert_eq(fake.cluster_ask_count + fake.changes, 0);
}

/* ---- changes ---- */

static void answer_change(int error, const char *detail)
{
    const struct msg_change_answer msg = {fake.change.id, (uint64_t)error, slice_text(detail)};
    cr_assert_eq(msg_change_answer_send(fake.raft, &msg), 0);
}

Test(cluster, changes_are_passed_on_and_answered_when_they_are_done)
{
    fake_start(&fake, NULL);
    int fd = begin("POST", CLUSTER "/join", "{\"id\":\"node3\",\"raft_address\":\"[::1]:2225\"}");
    FAKE_WAIT(&fake, fake.changes == 1);
    cr_assert_eq(fake.change.kind, MSG_CHANGE_JOIN);
    cr_assert_str_eq(fake.change.name, "node3");
    cr_assert_str_eq(fake.change.raft_address, "[::1]:2225");
    fake_pass_ms(&fake, 50);
    answer_change(0, "");
    finish_with(fd, 200, NULL, NULL);
    fd = begin("POST", CLUSTER "/remove", "{\"id\":\"node2\"}");
    FAKE_WAIT(&fake, fake.changes == 2);
    cr_assert_eq(fake.change.kind, MSG_CHANGE_REMOVE);
    cr_assert_str_eq(fake.change.name, "node2");
    cr_assert_str_eq(fake.change.raft_address, "");
    answer_change(0, "");
    finish_with(fd, 200, NULL, NULL);
    fd = begin("POST", CLUSTER "/transfer", "{\"id\":\"node1\"}");
    FAKE_WAIT(&fake, fake.changes == 3);
    cr_assert_eq(fake.change.kind, MSG_CHANGE_TRANSFER);
    answer_change(0, "");
    finish_with(fd, 200, NULL, NULL);
}

Test(cluster, refused_changes_say_why)
{
    static const struct {
        int error;
        const char *detail;
        int status;
        const char *error_type, *message;
    } cases[] = {
        {E_NOT_FOUND, "", 404, "NOT_FOUND", "no such member"},
        {E_NOT_FOUND, "there is no node9", 404, "NOT_FOUND", "there is no node9"},
        {E_CONFLICT, "node3 is a member already", 409, "CONFLICT", "node3 is a member already"},
        {E_BUSY, "", 409, "CONFLICT", "under way"},
        {E_BAD_COMMAND, "", 400, "BAD_REQUEST", "raft_address"},
        {E_NO_LEADER, "node3 cannot be reached", 503, "NO_LEADER", "cannot be reached"},
        {E_OUTCOME_UNKNOWN, "", 503, "OUTCOME_UNKNOWN", "may or may not"},
        {200, "\xff", 503, "OUTCOME_UNKNOWN", "may or may not"},
    };
    fake_start(&fake, NULL);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int fd = begin("POST", CLUSTER "/transfer", "{\"id\":\"node3\"}");
        FAKE_WAIT(&fake, fake.changes == i + 1);
        answer_change(cases[i].error, cases[i].detail);
        finish_with(fd, cases[i].status, cases[i].error_type, cases[i].message);
    }
}

Test(cluster, a_change_that_was_lost_with_raft_is_of_unknown_outcome)
{
    fake_start(&fake, NULL);
    int fd = begin("POST", CLUSTER "/remove", "{\"id\":\"node2\"}");
    FAKE_WAIT(&fake, fake.changes == 1);
    fake_restart_raft(&fake);
    finish_with(fd, 503, "OUTCOME_UNKNOWN", NULL);
    fake_pass_ms(&fake, 100);
    cr_assert_eq(fake.changes, 1); /* never repeated */
}

Test(cluster, a_client_that_leaves_leaves_its_question)
{
    fake_start(&fake, NULL);
    close(begin("GET", CLUSTER, NULL));
    FAKE_WAIT(&fake, fake.cluster_ask_count == 1);
    fake_pass_ms(&fake, 50);
    answer_cluster(fake.cluster_asks[0]);
    expect_call("GET", BASE "/ping", NULL, 200, NULL);
}

Test(cluster, wrong_changes_are_refused_here)
{
    char body[512];
    char long_name[80];
    memset(long_name, 'n', sizeof(long_name));
    long_name[64] = '\0';
    static const char *const bodies[] = {
        "",
        "[]",
        "{}",
        "{\"id\":3,\"raft_address\":\"h:1\"}",
        "{\"id\":\"\",\"raft_address\":\"h:1\"}",
        "{\"id\":\"n\\u0000\",\"raft_address\":\"h:1\"}",
        "{\"id\":\"n\"}",
        "{\"id\":\"n\",\"raft_address\":\"\"}",
        "{\"id\":\"n\",\"raft_address\":7}",
    };
    fake_start(&fake, NULL);
    for (unsigned i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
        expect_call("POST", CLUSTER "/join", bodies[i], 400, "BAD_REQUEST");
    snprintf(body, sizeof(body), "{\"id\":\"%s\",\"raft_address\":\"h:1\"}", long_name);
    expect_call("POST", CLUSTER "/join", body, 400, "BAD_REQUEST");
    expect_call("POST", CLUSTER "/remove", "{\"id\":\"\"}", 400, "BAD_REQUEST");
    cr_assert_eq(fake.changes, 0);
}

/* ---- a node that has no leader ---- */

static void start_as(uint32_t standing)
{
    fake_prepare(&fake, &(struct fake_options){.settings = "limits: {requestTimeout: 700ms}\n"});
    fake.standing = standing;
    fake_set_lease(&fake, false);
    fake_launch(&fake);
    fake_say_leader(&fake, false);
    fake_pass_ms(&fake, 50);
}

static void expect_no_leader(const char *message)
{
    static const char *const reads[] = {BASE "/get?key=k", "/readyz"};
    for (unsigned i = 0; i < 2; i++)
        finish_with(begin("GET", reads[i], NULL), 503, "NO_LEADER", message);
    finish_with(begin("POST", BASE "/set", "{\"key\":\"k\",\"value\":\"v\"}"), 503, "NO_LEADER",
                message);
}

Test(cluster, without_a_leader_requests_are_told_what_is_missing)
{
    start_as(BOARD_STANDING_MEMBER);
    uint64_t start_ms = clock_boot_ms();
    expect_no_leader("no leader is known");
    cr_assert_geq(clock_boot_ms() - start_ms, 700 + 500 + 700); /* readyz is less patient */
}

Test(cluster, a_node_that_waits_to_be_let_in_says_so_and_serves_when_it_is)
{
    start_as(BOARD_STANDING_WAITING);
    expect_no_leader("waits to be let in");
    int fd = begin("POST", BASE "/set", "{\"key\":\"k\",\"value\":\"v\"}");
    fake.standing = BOARD_STANDING_MEMBER;
    fake_say_leader(&fake, true);
    fake_set_lease(&fake, false);
    finish_with(fd, 200, NULL, NULL);
    expect_call("GET", BASE "/get?key=k", NULL, 200, NULL);
    expect_call("GET", "/readyz", NULL, 200, NULL);
}

Test(cluster, a_removed_node_refuses_at_once_and_still_shows_its_own_view)
{
    start_as(BOARD_STANDING_REMOVED);
    uint64_t start_ms = clock_boot_ms();
    expect_no_leader("was removed from its cluster");
    cr_expect_lt(clock_boot_ms() - start_ms, 600);
    expect_call("GET", BASE "/get?key=k&consistency=stale", NULL, 404, "NOT_FOUND");
    expect_call("GET", BASE "/ping", NULL, 200, NULL);
    expect_call("GET", "/healthz", NULL, 200, NULL);
    cr_assert_eq(fake.proposals + fake.questions, 0);
}

Test(cluster, a_node_of_another_cluster_refuses_at_once)
{
    start_as(BOARD_STANDING_FOREIGN);
    uint64_t start_ms = clock_boot_ms();
    expect_no_leader("of another cluster");
    cr_expect_lt(clock_boot_ms() - start_ms, 600);
}
