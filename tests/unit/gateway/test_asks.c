/* test_asks.c - questions about the cluster: who is told what, and what is asked again. */
#include <criterion/criterion.h>

#include "base/clock.h"
#include "base/error.h"
#include "procs/gateway/asks.h"

#define PATIENCE_NS NS_PER_S

static struct asks asks;
static uint64_t now_ns;
static int wire_error;
static uint64_t sent[256]; /* ids */
static unsigned sent_count, change_count;

static int wire_ask_cluster(void *arg, const struct msg_cluster_ask *msg)
{
    (void)arg;
    if (wire_error == 0)
        sent[sent_count++] = msg->id;
    return wire_error;
}

static int wire_change(void *arg, const struct msg_change *msg)
{
    (void)arg;
    cr_assert(slice_equal(msg->name, slice_text("node3")));
    if (wire_error != 0)
        return wire_error;
    sent[sent_count++] = msg->id;
    change_count++;
    return 0;
}

static uint64_t wire_now(void *arg)
{
    (void)arg;
    return now_ns;
}

static void start(void)
{
    const struct asks_wire wire = {
        .ask_cluster = wire_ask_cluster, .change = wire_change, .now_ns = wire_now};
    now_ns = 1000 * NS_PER_S;
    asks_init(&asks, &wire);
}

TestSuite(asks, .init = start);

struct asker {
    struct ask ask;
    unsigned told;
    int error;
    bool has_cluster;
    char detail[32];
};

static void on_done(void *arg, const struct ask_answer *answer)
{
    struct asker *asker = arg;
    asker->told++;
    asker->error = answer->error;
    asker->has_cluster = answer->cluster != NULL;
    cr_assert_lt(answer->detail.len, sizeof(asker->detail));
    memset(asker->detail, 0, sizeof(asker->detail));
    if (answer->detail.len > 0)
        memcpy(asker->detail, answer->detail.data, answer->detail.len);
}

static int begin(struct asker *asker, bool is_change)
{
    *asker =
        (struct asker){.ask = {.is_change = is_change,
                               .change = {.kind = MSG_CHANGE_REMOVE, .name = slice_text("node3")},
                               .deadline_ns = now_ns + PATIENCE_NS,
                               .done = on_done}};
    asker->ask.arg = asker;
    return ask_begin(&asks, &asker->ask);
}

static void answer_cluster(uint64_t id)
{
    static struct msg_cluster_answer msg;
    msg.id = id;
    asks_on_cluster(&asks, &msg);
}

static void answer_change(uint64_t id, int error, const char *detail)
{
    asks_on_change(&asks, &(struct msg_change_answer){id, (uint64_t)error, slice_text(detail)});
}

Test(asks, each_answer_finds_its_question)
{
    struct asker cluster, change;
    cr_assert_eq(begin(&cluster, false), 0);
    cr_assert_eq(begin(&change, true), 0);
    cr_assert_eq(sent_count, 2);
    answer_cluster(sent[1]); /* not of that kind */
    answer_change(sent[0], 0, "");
    answer_cluster(sent[1] + 1);
    cr_assert_eq(cluster.told + change.told, 0);
    answer_change(sent[1], E_CONFLICT, "it is a member already");
    cr_assert_eq(change.told, 1);
    cr_assert_eq(change.error, E_CONFLICT);
    cr_assert_str_eq(change.detail, "it is a member already");
    answer_cluster(sent[0]);
    cr_assert_eq(cluster.told, 1);
    cr_assert_eq(cluster.error, 0);
    cr_assert(cluster.has_cluster);
    answer_cluster(sent[0]); /* twice */
    answer_change(sent[1], 0, "");
    cr_assert_eq(cluster.told + change.told, 2);
    cr_assert_eq(asks_due_ns(&asks), UINT64_MAX);
}

Test(asks, what_cannot_be_sent_waits_for_raft)
{
    struct asker cluster, change;
    wire_error = E_PEER_DOWN;
    begin(&cluster, false);
    begin(&change, true);
    cr_assert_eq(asks_due_ns(&asks), now_ns + PATIENCE_NS); /* nothing polls */
    wire_error = 0;
    asks_on_raft_up(&asks);
    cr_assert_eq(sent_count, 2);
    answer_cluster(sent[0]);
    answer_change(sent[1], 0, "");
    cr_assert_eq(cluster.told + change.told, 2);
    cr_assert_eq(change.error, 0);
}

Test(asks, a_busy_link_is_tried_again_after_a_moment)
{
    struct asker cluster;
    wire_error = E_BUSY;
    begin(&cluster, false);
    cr_assert_eq(asks_due_ns(&asks), now_ns + ASKS_RETRY_MS * NS_PER_MS);
    wire_error = 0;
    now_ns = asks_due_ns(&asks);
    asks_tick(&asks);
    cr_assert_eq(sent_count, 1);
    answer_cluster(sent[0]);
    cr_assert_eq(cluster.told, 1);
}

Test(asks, with_the_connection_a_change_is_lost_and_a_question_asked_again)
{
    struct asker cluster, change, unsent;
    begin(&change, true);
    begin(&cluster, false);
    wire_error = E_PEER_DOWN;
    begin(&unsent, true);
    asks_on_raft_down(&asks);
    cr_assert_eq(change.told, 1);
    cr_assert_eq(change.error, E_OUTCOME_UNKNOWN);
    cr_assert_eq(cluster.told + unsent.told, 0);
    answer_cluster(sent[1]); /* of the connection that is over */
    cr_assert_eq(cluster.told, 0);
    wire_error = 0;
    asks_on_raft_up(&asks);
    cr_assert_eq(sent_count, 4);
    answer_cluster(sent[2]);
    answer_change(sent[3], 0, "");
    cr_assert_eq(cluster.told, 1);
    cr_assert_eq(unsent.error, 0);
}

Test(asks, at_its_deadline_each_is_told_what_can_be_known)
{
    struct asker cluster, change, unsent;
    begin(&cluster, false);
    begin(&change, true);
    wire_error = E_PEER_DOWN;
    begin(&unsent, true);
    now_ns += PATIENCE_NS - 1;
    asks_tick(&asks);
    cr_assert_eq(cluster.told + change.told + unsent.told, 0);
    now_ns++;
    cr_assert_leq(asks_due_ns(&asks), now_ns);
    asks_tick(&asks);
    cr_assert_eq(cluster.error, E_NO_LEADER);
    cr_assert_not(cluster.has_cluster);
    cr_assert_eq(change.error, E_OUTCOME_UNKNOWN);
    cr_assert_eq(unsent.error, E_NO_LEADER);
    answer_change(sent[1], 0, "");
    cr_assert_eq(change.told, 1);
}

Test(asks, one_that_is_ended_is_told_nothing)
{
    struct asker asker;
    begin(&asker, false);
    ask_end(&asks, &asker.ask);
    ask_end(&asks, &asker.ask);
    answer_cluster(sent[0]);
    now_ns += PATIENCE_NS;
    asks_tick(&asks);
    cr_assert_eq(asker.told, 0);
    cr_assert_eq(asks_due_ns(&asks), UINT64_MAX);
}

Test(asks, their_number_is_bounded)
{
    static struct asker askers[ASKS_MAX + 1];
    for (unsigned i = 0; i < ASKS_MAX; i++)
        cr_assert_eq(begin(&askers[i], false), 0);
    cr_assert_eq(begin(&askers[ASKS_MAX], false), E_BUSY);
    answer_cluster(sent[ASKS_MAX / 2]);
    cr_assert_eq(begin(&askers[ASKS_MAX], false), 0);
    answer_cluster(sent[ASKS_MAX]);
    cr_assert_eq(askers[ASKS_MAX].told, 1);
}
