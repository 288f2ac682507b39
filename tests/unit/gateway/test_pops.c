/* Pops that wait: proposed in sessions of their own, renewed, cancelled, fed, and told once. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/limits.h"
#include "ipc/command.h"
#include "procs/gateway/pops.h"

#define SENT_MAX 20000
#define PATIENCE_MS 5000

struct sent {
    uint64_t session, sequence, floor;
    enum command_operation operation;
    uint64_t wait_ms, cancelled;
};

static struct {
    struct pops *pops;
    struct sent sent[SENT_MAX];
    unsigned sent_count, recalls;
    uint64_t sessions[64]; /* that were begun */
    unsigned session_count;
    uint64_t now_ns, index;
    unsigned served; /* of sent: looked at for openings */
} rig;

struct client {
    unsigned told;
    int error;
    uint64_t index;
    char item[16];
    struct pop *pop;
};

/* ---- the wire ---- */

static int on_propose(void *arg, struct slice bytes)
{
    struct entry entry;
    struct command command;
    (void)arg;
    cr_assert_eq(entry_decode(&entry, bytes), 0);
    cr_assert_eq(command_decode(&command, entry.parts[0].command), 0);
    cr_assert_lt(rig.sent_count, SENT_MAX);
    rig.sent[rig.sent_count++] =
        (struct sent){entry.session,     entry.sequence,  entry.floor,
                      command.operation, command.wait_ms, command.sequence};
    return 0;
}

static int on_recall(void *arg, enum proc worker, uint64_t session, uint64_t sequence)
{
    (void)arg;
    (void)session;
    (void)sequence;
    cr_assert_eq(worker, PROC_CACHEQ);
    rig.recalls++;
    return 0;
}

static uint64_t on_now(void *arg)
{
    (void)arg;
    return rig.now_ns;
}

static void on_begin_session(void *arg, uint64_t session)
{
    (void)arg;
    rig.sessions[rig.session_count++] = session;
}

static void on_done(void *arg, const struct inflight_outcome *outcome)
{
    struct client *client = arg;
    client->told++;
    client->error = outcome->error;
    client->index = outcome->index;
    if (outcome->detail.len > 0 && outcome->detail.len < sizeof(client->item))
        memcpy(client->item, outcome->detail.data, outcome->detail.len);
    client->pop = NULL;
}

static void start(void)
{
    const struct pops_wire wire = {
        .writes = {.propose = on_propose, .recall = on_recall, .now_ns = on_now},
        .begin_session = on_begin_session};
    rig.now_ns = 1000 * NS_PER_S;
    rig.pops = pops_new(&wire);
    pops_on_leader(rig.pops, true);
}

static void stop(void)
{
    pops_free(&rig.pops);
}

TestSuite(pops, .init = start, .fini = stop);

static void result(const struct sent *sent, int error, const char *item)
{
    const struct inflight_outcome outcome = {error, ++rig.index, slice_text(item)};
    pops_on_result(rig.pops, PROC_CACHEQ, sent->session, sent->sequence, &outcome);
}

/* Sessions open by themselves. */
static void serve(void)
{
    for (; rig.served < rig.sent_count; rig.served++) {
        const struct sent sent = rig.sent[rig.served];
        const struct inflight_outcome opened = {0, 1, slice_of(NULL, 0)};
        if (sent.operation != COMMAND_SESSION_OPEN)
            continue;
        for (int worker = PROC_FIRST_WORKER; worker <= PROC_LAST_WORKER; worker++)
            pops_on_result(rig.pops, (enum proc)worker, sent.session, sent.sequence, &opened);
    }
}

static struct sent *find_last(enum command_operation operation)
{
    for (unsigned i = rig.sent_count; i > 0; i--) {
        if (rig.sent[i - 1].operation == operation)
            return &rig.sent[i - 1];
    }
    return NULL;
}

static unsigned count_of(enum command_operation operation)
{
    unsigned count = 0;
    for (unsigned i = 0; i < rig.sent_count; i++)
        count += rig.sent[i].operation == operation;
    return count;
}

static int begin_from(struct client *client, uint64_t wait_ms, uint64_t origin)
{
    const struct pop_wish wish = {.key = slice_text("jobs"),
                                  .wait_ms = wait_ms,
                                  .patience_ms = PATIENCE_MS,
                                  .origin = origin,
                                  .done = on_done,
                                  .arg = client};
    *client = (struct client){0};
    int error = pop_begin(rig.pops, &wish, &client->pop);
    serve();
    return error;
}

static int begin(struct client *client, uint64_t wait_ms)
{
    return begin_from(client, wait_ms, rig.sent_count);
}

/* A client whose pop is in the log; what was sent for it. */
static struct sent begin_waiting(struct client *client, uint64_t wait_ms)
{
    cr_assert_eq(begin(client, wait_ms), 0);
    struct sent sent = *find_last(COMMAND_QUEUE_POP);
    result(&sent, E_QUEUE_WAITING, "");
    cr_assert_eq(client->told, 0);
    return sent;
}

static void pass_ms(uint64_t ms)
{
    rig.now_ns += ms * NS_PER_MS;
    pops_tick(rig.pops);
    serve();
}

static void expect(const struct client *client, int error)
{
    cr_assert_eq(client->told, 1);
    cr_assert_eq(client->error, error, "%s", error_name(client->error));
}

/* ---- items ---- */

Test(pops, a_pop_that_need_not_wait_is_answered_at_once)
{
    struct client client;
    cr_assert_eq(begin(&client, 1500), 0);
    const struct sent *sent = find_last(COMMAND_QUEUE_POP);
    cr_assert_eq(sent->wait_ms, 1500);
    cr_assert_eq(sent->session, rig.sessions[0]);
    result(sent, 0, "item");
    expect(&client, 0);
    cr_assert_str_eq(client.item, "item");
    cr_assert_eq(client.index, rig.index);
    cr_assert_eq(pops_count(rig.pops), 0);
}

Test(pops, an_item_that_comes_while_it_waits_is_its_answer)
{
    struct client client;
    struct sent sent = begin_waiting(&client, 30000);
    pass_ms(100);
    result(&sent, 0, "late");
    expect(&client, 0);
    cr_assert_str_eq(client.item, "late");
    result(&sent, 0, "late"); /* told twice by the worker: not to the client */
    expect(&client, 0);
}

Test(pops, a_wait_outlasts_the_request_timeout)
{
    struct client client;
    struct sent sent = begin_waiting(&client, 60000);
    for (unsigned i = 0; i < 59; i++) {
        pass_ms(1000);
        const struct sent *renewal = find_last(COMMAND_QUEUE_WAIT_RENEW);
        result(renewal, 0, "");
    }
    cr_assert_eq(client.told, 0);
    result(&sent, 0, "item");
    expect(&client, 0);
}

Test(pops, other_errors_are_told_as_they_are)
{
    struct client client;
    struct sent sent = begin_waiting(&client, 30000);
    result(&sent, E_QUEUE_NOT_FOUND, ""); /* deleted under it */
    expect(&client, E_QUEUE_NOT_FOUND);
    cr_assert_eq(begin(&client, 1000), 0);
    result(find_last(COMMAND_QUEUE_POP), E_SCOPE_GONE, "");
    expect(&client, E_SCOPE_GONE);
}

/* ---- renewal ---- */

Test(pops, one_renewal_every_half_second_serves_all_that_wait)
{
    struct client clients[3];
    for (unsigned i = 0; i < 3; i++)
        begin_waiting(&clients[i], 60000);
    cr_assert_eq(count_of(COMMAND_QUEUE_WAIT_RENEW), 0);
    for (unsigned i = 1; i <= 4; i++) {
        cr_assert_leq(pops_due_ns(rig.pops), rig.now_ns + POPS_RENEW_MS * NS_PER_MS);
        pass_ms(POPS_RENEW_MS);
        cr_assert_eq(count_of(COMMAND_QUEUE_WAIT_RENEW), i);
        cr_assert_eq(find_last(COMMAND_QUEUE_WAIT_RENEW)->session, rig.sessions[0]);
        result(find_last(COMMAND_QUEUE_WAIT_RENEW), 0, "");
    }
}

Test(pops, nothing_is_renewed_when_nobody_waits)
{
    struct client client;
    struct sent sent = begin_waiting(&client, 30000);
    result(&sent, 0, "item");
    pass_ms(5000);
    pass_ms(30000);
    cr_assert_eq(count_of(COMMAND_QUEUE_WAIT_RENEW), 0);
    cr_assert_eq(pops_due_ns(rig.pops), UINT64_MAX);
}

Test(pops, a_pop_that_the_worker_gave_up_pops_again_with_what_is_left)
{
    struct client client;
    struct sent first = begin_waiting(&client, 10000);
    pass_ms(4000);
    result(&first, E_QUEUE_EMPTY, "");
    cr_assert_eq(client.told, 0);
    struct sent second = *find_last(COMMAND_QUEUE_POP);
    cr_assert_gt(second.sequence, first.sequence);
    cr_assert_eq(second.wait_ms, 6000);
    result(&second, 0, "item");
    expect(&client, 0);
}

Test(pops, a_pop_that_may_not_wait_because_too_many_do_is_told_so_and_does_not_ask_again)
{
    struct client client;
    cr_assert_eq(begin(&client, 10000), 0);
    pass_ms(5);
    result(find_last(COMMAND_QUEUE_POP), E_QUEUE_EMPTY, "");
    expect(&client, E_QUEUE_EMPTY);
    cr_assert_eq(count_of(COMMAND_QUEUE_POP), 1);
}

Test(pops, a_pop_whose_first_result_got_lost_pops_again_when_it_was_given_up)
{
    struct client client;
    cr_assert_eq(begin(&client, 10000), 0);
    struct sent first = *find_last(COMMAND_QUEUE_POP);
    pass_ms(QUEUE_WAIT_LEASE_MS);
    result(&first, E_QUEUE_EMPTY, "");
    cr_assert_eq(client.told, 0);
    cr_assert_eq(find_last(COMMAND_QUEUE_POP)->wait_ms, 10000 - QUEUE_WAIT_LEASE_MS);
}

/* ---- the end of a wait ---- */

Test(pops, at_the_end_of_its_wait_it_is_cancelled_and_only_then_empty)
{
    struct client client;
    struct sent sent = begin_waiting(&client, 400);
    cr_assert_leq(pops_due_ns(rig.pops), rig.now_ns + 400 * NS_PER_MS);
    pass_ms(399);
    cr_assert_null(find_last(COMMAND_QUEUE_POP_CANCEL));
    pass_ms(1);
    const struct sent *cancel = find_last(COMMAND_QUEUE_POP_CANCEL);
    cr_assert(cancel != NULL && cancel->cancelled == sent.sequence);
    cr_assert_eq(cancel->session, sent.session);
    cr_assert_eq(client.told, 0);
    result(cancel, 0, "");
    expect(&client, E_QUEUE_EMPTY);
    cr_assert_eq(pops_count(rig.pops), 0);
}

Test(pops, an_item_that_was_handed_over_before_the_cancel_is_not_lost)
{
    struct client client;
    struct sent sent = begin_waiting(&client, 400);
    pass_ms(400);
    result(find_last(COMMAND_QUEUE_POP_CANCEL), E_NOT_FOUND, "");
    cr_assert_eq(client.told, 0);
    cr_assert_eq(rig.recalls, 1); /* the item is there: it is asked for */
    result(&sent, 0, "item");
    expect(&client, 0);
    cr_assert_str_eq(client.item, "item");
}

Test(pops, an_item_beats_the_cancel_that_is_under_way)
{
    struct client client;
    struct sent sent = begin_waiting(&client, 400);
    pass_ms(400);
    struct sent cancel = *find_last(COMMAND_QUEUE_POP_CANCEL);
    result(&sent, 0, "item");
    expect(&client, 0);
    result(&cancel, E_NOT_FOUND, ""); /* of one that is gone */
    expect(&client, 0);
}

Test(pops, a_wait_that_is_over_before_it_began_is_cancelled_when_it_begins)
{
    struct client client;
    cr_assert_eq(begin(&client, 100), 0);
    struct sent sent = *find_last(COMMAND_QUEUE_POP);
    pass_ms(1000);
    cr_assert_null(find_last(COMMAND_QUEUE_POP_CANCEL));
    result(&sent, E_QUEUE_WAITING, "");
    result(find_last(COMMAND_QUEUE_POP_CANCEL), 0, "");
    expect(&client, E_QUEUE_EMPTY);
}

Test(pops, of_a_client_that_leaves_the_pop_is_cancelled)
{
    struct client client;
    struct sent sent = begin_waiting(&client, 30000);
    pop_leave(client.pop);
    cr_assert_eq(find_last(COMMAND_QUEUE_POP_CANCEL)->cancelled, sent.sequence);
    result(find_last(COMMAND_QUEUE_POP_CANCEL), 0, "");
    cr_assert_eq(client.told, 0);
    cr_assert_eq(pops_count(rig.pops), 0);
    /* also before it is known whether it waits */
    cr_assert_eq(begin(&client, 30000), 0);
    sent = *find_last(COMMAND_QUEUE_POP);
    pop_leave(client.pop);
    cr_assert_eq(find_last(COMMAND_QUEUE_POP_CANCEL)->cancelled, sent.sequence);
    result(&sent, 0, "nobody's");
    cr_assert_eq(client.told, 0);
    cr_assert_eq(pops_count(rig.pops), 0);
}

static bool everybody_has_left(void *arg)
{
    (void)arg;
    return true;
}

Test(pops, a_client_that_closed_its_end_is_noticed_when_it_is_looked_for)
{
    struct client client;
    begin_waiting(&client, 30000);
    pops_end_left(rig.pops, everybody_has_left);
    pops_end_left(rig.pops, everybody_has_left);
    cr_assert_eq(count_of(COMMAND_QUEUE_POP_CANCEL), 1);
    result(find_last(COMMAND_QUEUE_POP_CANCEL), 0, "");
    expect(&client, E_QUEUE_EMPTY); /* the answer goes nowhere, which h2o finds out */
}

Test(pops, when_the_process_is_to_end_nobody_waits_any_more)
{
    struct client waiting, placing;
    begin_waiting(&waiting, 30000);
    cr_assert_eq(begin(&placing, 30000), 0);
    struct sent sent = *find_last(COMMAND_QUEUE_POP);
    pops_stop(rig.pops);
    result(find_last(COMMAND_QUEUE_POP_CANCEL), 0, "");
    expect(&waiting, E_QUEUE_EMPTY);
    result(&sent, E_QUEUE_WAITING, "");
    result(find_last(COMMAND_QUEUE_POP_CANCEL), 0, "");
    expect(&placing, E_QUEUE_EMPTY);
}

/* ---- when nothing can be applied ---- */

Test(pops, without_a_leader_for_too_long_nobody_can_tell_what_becomes_of_it)
{
    struct client client;
    begin_waiting(&client, 60000);
    pass_ms(POPS_RENEW_MS - 1);
    pops_on_leader(rig.pops, false);
    pass_ms(1);
    pass_ms(PATIENCE_MS - 1);
    cr_assert_eq(client.told, 0);
    pass_ms(1);
    pass_ms(0);
    expect(&client, E_OUTCOME_UNKNOWN);
    /* what comes next has nothing to do with the session that is lost */
    pops_on_leader(rig.pops, true);
    struct sent next = begin_waiting(&client, 60000);
    cr_assert_eq(rig.session_count, 2);
    cr_assert_eq(next.session, rig.sessions[1]);
    pass_ms(POPS_RENEW_MS);
    cr_assert_eq(find_last(COMMAND_QUEUE_WAIT_RENEW)->session, rig.sessions[1]);
    uint64_t sessions[POPS_SESSIONS];
    cr_assert_eq(pops_sessions(rig.pops, sessions), 1);
    cr_assert_eq(sessions[0], rig.sessions[1]);
}

Test(pops, one_that_was_never_proposed_is_surely_not_done)
{
    struct client client;
    pops_on_leader(rig.pops, false);
    cr_assert_eq(begin(&client, 60000), 0);
    pass_ms(PATIENCE_MS);
    expect(&client, E_NO_LEADER);
}

Test(pops, a_change_of_leader_repeats_what_is_open_but_not_what_waits)
{
    struct client waiting, placing;
    struct sent first = begin_waiting(&waiting, 60000);
    cr_assert_eq(begin(&placing, 60000), 0);
    struct sent second = *find_last(COMMAND_QUEUE_POP);
    unsigned before = rig.sent_count;
    pops_on_raft_down(rig.pops);
    pops_on_leader(rig.pops, true);
    cr_assert_eq(rig.sent_count, before + 1);
    cr_assert_eq(rig.sent[before].sequence, second.sequence);
    result(&first, 0, "a");
    result(&second, 0, "b");
    expect(&waiting, 0);
    expect(&placing, 0);
}

Test(pops, a_session_that_was_forgotten_loses_its_pops_and_begins_anew)
{
    struct client client;
    begin_waiting(&client, 60000);
    pass_ms(POPS_RENEW_MS);
    result(find_last(COMMAND_QUEUE_WAIT_RENEW), E_SESSION_EXPIRED, "");
    expect(&client, E_OUTCOME_UNKNOWN);
    pass_ms(0);
    struct sent sent = begin_waiting(&client, 60000);
    cr_assert_neq(sent.session, rig.sessions[0]);
    result(&sent, 0, "item");
    expect(&client, 0);
}

/* ---- bounds ---- */

Test(pops, a_long_wait_does_not_use_up_the_window_for_others)
{
    struct client patient, other;
    struct sent sent = begin_waiting(&patient, 60000);
    for (unsigned i = 0; i < LIMIT_SESSION_WINDOW + 100; i++) {
        cr_assert_eq(begin(&other, 1000), 0, "%u", i);
        result(find_last(COMMAND_QUEUE_POP), 0, "item");
        expect(&other, 0);
    }
    cr_assert_eq(patient.told, 0);
    cr_assert_gt(rig.session_count, 1);
    result(&sent, 0, "mine");
    expect(&patient, 0);
    pass_ms(1);
    uint64_t sessions[POPS_SESSIONS];
    cr_assert_leq(pops_sessions(rig.pops, sessions), 2); /* the first one has gone */
}

/* A worker keeps what was popped until the floor has passed it, which a pop that waits prevents. */
Test(pops, a_long_wait_does_not_have_the_worker_keep_what_others_pop)
{
    static char item[1 << 20];
    const struct inflight_outcome large = {0, 1, slice_of(item, sizeof(item))};
    struct client patient, other;
    uint64_t waits_in = begin_waiting(&patient, 60000).session, there = 0;
    for (unsigned i = 0; i < 100; i++) {
        cr_assert_eq(begin(&other, 1000), 0);
        struct sent sent = *find_last(COMMAND_QUEUE_POP);
        there += sent.session == waits_in ? large.detail.len : 0;
        pops_on_result(rig.pops, PROC_CACHEQ, sent.session, sent.sequence, &large);
    }
    cr_assert_leq(there, POPS_HEAVY_BYTES);
    cr_assert_eq(rig.session_count, 2, "one in which nothing waits does for all");
    cr_assert_eq(patient.told, 0);
}

/* Cancels and renewals are nobody's: a connection that has all the pops it may does not hold up those
 * of others. */
Test(pops, a_connection_that_is_full_keeps_no_other_from_its_end_nor_from_its_renewal)
{
    static struct client greedy[2 * INFLIGHT_PER_ORIGIN];
    struct client client;
    cr_assert_eq(begin_from(&client, 400, 1000), 0);
    struct sent sent = *find_last(COMMAND_QUEUE_POP);
    result(&sent, E_QUEUE_WAITING, "");
    for (unsigned i = 0; i < 2 * INFLIGHT_PER_ORIGIN; i++)
        cr_assert_eq(begin_from(&greedy[i], 60000, i % 2 == 0 ? 0 : sent.sequence), 0);
    cr_assert_eq(begin_from(&greedy[0], 60000, 0), E_BUSY);
    pass_ms(400);
    const struct sent *cancel = find_last(COMMAND_QUEUE_POP_CANCEL);
    cr_assert(cancel != NULL && cancel->cancelled == sent.sequence);
    result(cancel, 0, "");
    expect(&client, E_QUEUE_EMPTY);
    begin_waiting(&client, 60000);
    pass_ms(POPS_RENEW_MS);
    cr_assert_eq(count_of(COMMAND_QUEUE_WAIT_RENEW), 1);
}

Test(pops, so_many_wait_and_no_more)
{
    static struct client clients[POPS_MAX + 1];
    for (unsigned i = 0; i < POPS_MAX; i++)
        cr_assert_eq(begin(&clients[i], 60000), 0);
    cr_assert_eq(begin(&clients[POPS_MAX], 60000), E_BUSY);
    cr_assert_eq(pops_count(rig.pops), POPS_MAX);
}
