/* test_inflight.c - open proposals: who is told what, and what is proposed again when. */
#include <criterion/criterion.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/limits.h"
#include "ipc/command.h"
#include "procs/gateway/inflight.h"

#define SESSION 77
#define EVERY_WORKER 3
#define SENT_MAX 20000
#define PATIENCE_NS (5 * NS_PER_S)

struct sent {
    uint64_t session, sequence, floor;
    unsigned parts;
    enum command_operation operation; /* of the first part */
};

static struct inflight *inflight;
static struct sent sent[SENT_MAX];
static unsigned sent_count, recall_count;
static uint64_t recalled[SENT_MAX];
static uint64_t now_ns;
static uint64_t session; /* of the results */
static int wire_error;   /* what the wire answers */

static int wire_propose(void *arg, struct slice bytes)
{
    struct entry entry;
    struct command command;
    (void)arg;
    if (wire_error != 0)
        return wire_error;
    cr_assert_eq(entry_decode(&entry, bytes), 0);
    cr_assert_eq(command_decode(&command, entry.parts[0].command), 0);
    cr_assert_lt(sent_count, SENT_MAX);
    sent[sent_count++] = (struct sent){entry.session, entry.sequence, entry.floor, entry.part_count,
                                       command.operation};
    return 0;
}

static int wire_recall(void *arg, enum proc worker, uint64_t sequence)
{
    (void)arg;
    cr_assert_eq(worker, PROC_STORAGE);
    recalled[recall_count++] = sequence;
    return 0;
}

static uint64_t wire_now(void *arg)
{
    (void)arg;
    return now_ns;
}

struct told {
    unsigned count;
    int error;
    uint64_t index;
    char detail[16];
};

static void on_done(void *arg, const struct inflight_outcome *outcome)
{
    struct told *told = arg;
    told->count++;
    told->error = outcome->error;
    told->index = outcome->index;
    cr_assert_lt(outcome->detail.len, sizeof(told->detail));
    if (outcome->detail.len > 0)
        memcpy(told->detail, outcome->detail.data, outcome->detail.len);
}

static void start(void)
{
    const struct inflight_wire wire = {
        .propose = wire_propose, .recall = wire_recall, .now_ns = wire_now};
    now_ns = 1000 * NS_PER_S;
    session = SESSION;
    inflight = inflight_new(SESSION, &wire);
}

static void stop(void)
{
    inflight_free(&inflight);
}

TestSuite(inflight, .init = start, .fini = stop);

static int add_from(uint64_t origin, struct told *told, uint64_t *ticket)
{
    static const struct scope scope = {{1}};
    struct command command = {.operation = COMMAND_VALUE_SET,
                              .scope = scope,
                              .key = slice_text("key"),
                              .value = slice_text("value")};
    struct buf bytes;
    buf_init(&bytes, 4096);
    cr_assert_eq(command_encode(&bytes, &command), 0);
    const struct entry_part part = {PROC_STORAGE, buf_slice(&bytes)};
    const struct inflight_write write = {.parts = &part,
                                         .part_count = 1,
                                         .origin = origin,
                                         .deadline_ns = now_ns + PATIENCE_NS,
                                         .done = on_done,
                                         .arg = told};
    int error = inflight_add(inflight, &write, ticket);
    buf_fini(&bytes);
    return error;
}

static uint64_t add(struct told *told)
{
    uint64_t ticket = 0;
    memset(told, 0, sizeof(*told));
    cr_assert_eq(add_from(0, told, &ticket), 0);
    return ticket;
}

static void result(enum proc worker, uint64_t sequence, uint64_t index, int error)
{
    const struct inflight_outcome outcome = {error, index, slice_of(NULL, 0)};
    inflight_on_result(inflight, worker, session, sequence, &outcome);
}

static const struct sent *last(void)
{
    cr_assert_gt(sent_count, 0);
    return &sent[sent_count - 1];
}

/* The session is open at every worker. */
static void confirm(void)
{
    cr_assert_eq(last()->operation, COMMAND_SESSION_OPEN);
    cr_assert_eq(last()->parts, EVERY_WORKER);
    uint64_t sequence = last()->sequence;
    for (int worker = PROC_FIRST_WORKER; worker <= PROC_LAST_WORKER; worker++)
        result((enum proc)worker, sequence, 1, 0);
}

/* A leader, and the session open. */
static void serve(void)
{
    inflight_on_leader(inflight, true);
    confirm();
}

static void pass(uint64_t ns)
{
    now_ns += ns;
    inflight_tick(inflight);
}

static void expect_told(const struct told *told, int error)
{
    cr_assert_eq(told->count, 1);
    cr_assert_eq(told->error, error, "%s", error_name(told->error));
}

/* ---- the way of a write ---- */

Test(inflight, a_write_is_proposed_at_once_and_ends_with_its_result)
{
    struct told told;
    serve();
    uint64_t ticket = add(&told);
    cr_assert_eq(last()->sequence, ticket);
    cr_assert_eq(last()->session, SESSION);
    const struct inflight_outcome outcome = {0, 42, slice_text("7")};
    inflight_on_result(inflight, PROC_STORAGE, SESSION, ticket, &outcome);
    expect_told(&told, 0);
    cr_assert_eq(told.index, 42);
    cr_assert_str_eq(told.detail, "7");
    cr_assert_eq(inflight_open_count(inflight), 0);
    cr_assert_eq(inflight_due_ns(inflight), UINT64_MAX);
}

Test(inflight, a_workers_refusal_is_the_outcome)
{
    struct told told;
    serve();
    result(PROC_STORAGE, add(&told), 42, E_CONFLICT);
    expect_told(&told, E_CONFLICT);
}

Test(inflight, a_result_that_comes_twice_or_of_nothing_is_ignored)
{
    struct told told;
    serve();
    uint64_t ticket = add(&told);
    result(PROC_STORAGE, ticket + 1, 1, 0);
    result(PROC_STORAGE, 0, 1, 0);
    result(PROC_CACHEQ, ticket, 1, 0);
    cr_assert_eq(told.count, 0);
    result(PROC_STORAGE, ticket, 5, 0);
    result(PROC_STORAGE, ticket, 6, E_CONFLICT);
    expect_told(&told, 0);
    cr_assert_eq(told.index, 5);
}

Test(inflight, a_client_that_left_is_not_called)
{
    struct told told;
    serve();
    uint64_t ticket = add(&told);
    inflight_detach(inflight, ticket);
    result(PROC_STORAGE, ticket, 5, 0);
    cr_assert_eq(told.count, 0);
    cr_assert_eq(inflight_open_count(inflight), 0);
    inflight_detach(inflight, ticket);
}

Test(inflight, floor_is_the_smallest_open_sequence)
{
    struct told told[4];
    uint64_t tickets[3];
    serve();
    for (unsigned i = 0; i < 3; i++)
        tickets[i] = add(&told[i]);
    cr_assert_eq(last()->floor, tickets[0]);
    result(PROC_STORAGE, tickets[1], 5, 0);
    result(PROC_STORAGE, tickets[0], 6, 0);
    add(&told[3]);
    cr_assert_eq(last()->floor, tickets[2]);
}

/* ---- the session ---- */

Test(inflight, nothing_is_proposed_before_the_session_is_confirmed)
{
    struct told told;
    uint64_t ticket = add(&told);
    cr_assert_eq(sent_count, 0);
    inflight_on_leader(inflight, true);
    cr_assert_eq(sent_count, 1);
    cr_assert_eq(last()->operation, COMMAND_SESSION_OPEN);
    result(PROC_CACHEQ, last()->sequence, 1, 0);
    cr_assert_eq(sent_count, 1);
    result(PROC_STORAGE, sent[0].sequence, 1, 0); /* events has not answered, and need not have */
    cr_assert_eq(sent_count, 2);
    cr_assert_eq(last()->sequence, ticket);
}

Test(inflight, a_worker_that_does_not_answer_is_asked_again_and_holds_up_nobody)
{
    struct told told;
    inflight_on_leader(inflight, true);
    uint64_t opening = last()->sequence;
    result(PROC_STORAGE, opening, 1, 0);
    result(PROC_EVENTS, opening, 1, 0);
    result(PROC_STORAGE, add(&told), 2, 0);
    expect_told(&told, 0);
    for (uint64_t interval_ms = INFLIGHT_OPEN_MIN_MS; interval_ms < 60000;
         interval_ms = interval_ms * 2 < INFLIGHT_OPEN_MAX_MS ? interval_ms * 2
                                                              : INFLIGHT_OPEN_MAX_MS) {
        unsigned before = sent_count;
        uint64_t due_ns = now_ns + interval_ms * NS_PER_MS;
        while (now_ns < due_ns) {
            cr_assert_eq(sent_count, before);
            pass(inflight_due_ns(inflight) - now_ns);
        }
        cr_assert_eq(now_ns, due_ns);
        cr_assert_eq(sent_count, before + 1);
        cr_assert_eq(last()->operation, COMMAND_SESSION_OPEN);
        cr_assert_eq(last()->parts, 1);
        cr_assert_eq(last()->sequence, opening + 1); /* below all that is open */
        if (interval_ms == INFLIGHT_OPEN_MAX_MS)
            break;
    }
}

Test(inflight, an_opening_is_numbered_below_what_waits_for_it)
{
    struct told told[2];
    uint64_t first = add(&told[0]); /* before there is a leader */
    add(&told[1]);
    inflight_on_leader(inflight, true);
    cr_assert_eq(last()->operation, COMMAND_SESSION_OPEN);
    cr_assert_lt(last()->sequence, first); /* a worker applies nothing below it */
    cr_assert_leq(last()->floor, last()->sequence);
}

Test(inflight, any_result_says_that_the_worker_knows_the_session)
{
    struct told told;
    inflight_on_leader(inflight, true);
    result(PROC_STORAGE, last()->sequence, 4, E_OUTCOME_UNKNOWN); /* below its floor: it has one */
    uint64_t ticket = add(&told);
    cr_assert_eq(last()->sequence, ticket);
}

Test(inflight, a_worker_that_comes_late_is_asked_at_once)
{
    inflight_on_leader(inflight, true);
    inflight_on_worker_up(inflight, PROC_STORAGE); /* it may have had nobody to tell */
    cr_assert_eq(sent_count, 2);
    cr_assert_eq(last()->operation, COMMAND_SESSION_OPEN);
    result(PROC_STORAGE, last()->sequence, 3, 0);
    inflight_on_worker_up(inflight, PROC_STORAGE);
    cr_assert_eq(sent_count, 2); /* it knows us now */
}

Test(inflight, when_the_session_cannot_be_opened_for_lack_of_room_writes_are_told_so)
{
    struct told told;
    add(&told);
    inflight_on_leader(inflight, true);
    inflight_on_refuse(inflight, SESSION, last()->sequence, E_STORAGE_FULL);
    expect_told(&told, E_STORAGE_FULL);
    pass(INFLIGHT_OPEN_MIN_MS * NS_PER_MS);
    cr_assert_eq(sent_count, 2); /* and it is tried again */
}

Test(inflight, a_forgotten_session_is_followed_by_a_new_one_that_does_the_work)
{
    struct told first, second, never_sent;
    serve();
    uint64_t tickets[2] = {add(&first), add(&second)};
    result(PROC_STORAGE, tickets[0], 9, E_SESSION_EXPIRED);
    add(&never_sent);
    cr_assert_eq(sent_count, 3); /* nothing more under the old one */
    cr_assert_not(inflight_wants_renewal(inflight));
    result(PROC_STORAGE, tickets[1], 9, E_SESSION_EXPIRED);
    cr_assert(inflight_wants_renewal(inflight));
    inflight_renew(inflight, ++session);
    cr_assert_eq(inflight_session(inflight), SESSION + 1);
    cr_assert_not(inflight_wants_renewal(inflight));
    cr_assert_eq(sent_count, 4); /* the leader is still there */
    cr_assert_eq(last()->session, SESSION + 1);
    confirm();
    cr_assert_eq(sent_count, 7);
    for (unsigned i = 4; i < 7; i++) {
        cr_assert_eq(sent[i].session, SESSION + 1);
        result(PROC_STORAGE, sent[i].sequence, 20 + i, 0);
    }
    expect_told(&first, 0);
    expect_told(&second, 0);
    expect_told(&never_sent, 0);
}

Test(inflight, a_forgotten_session_leaves_unknown_what_may_have_been_applied_before)
{
    struct told twice, recalled_one;
    serve();
    uint64_t ticket = add(&twice);
    inflight_on_leader(inflight, true); /* a second copy */
    result(PROC_STORAGE, ticket, 9, E_SESSION_EXPIRED);
    expect_told(&twice, E_OUTCOME_UNKNOWN);
    inflight_renew(inflight, ++session);
    confirm();
    ticket = add(&recalled_one);
    pass(INFLIGHT_RECALL_MS * NS_PER_MS); /* its result may have been lost */
    cr_assert_eq(recall_count, 1);
    result(PROC_STORAGE, ticket, 9, E_SESSION_EXPIRED);
    expect_told(&recalled_one, E_OUTCOME_UNKNOWN);
}

Test(inflight, a_result_of_an_earlier_session_is_ignored)
{
    struct told told;
    serve();
    uint64_t ticket = add(&told);
    result(PROC_STORAGE, ticket, 9, E_SESSION_EXPIRED);
    inflight_renew(inflight, SESSION + 1);
    result(PROC_STORAGE, last()->sequence, 10, 0); /* confirms nothing */
    cr_assert_eq(last()->operation, COMMAND_SESSION_OPEN);
    result(PROC_STORAGE, ticket, 10, E_CONFLICT);
    cr_assert_eq(told.count, 0);
    session = SESSION + 1;
    confirm();
    cr_assert_eq(last()->sequence, ticket);
    result(PROC_STORAGE, ticket, 11, 0);
    expect_told(&told, 0);
}

/* ---- raft comes and goes ---- */

Test(inflight, what_is_open_is_proposed_again_in_order_after_a_reconnect)
{
    struct told told[3];
    uint64_t tickets[3];
    serve();
    for (unsigned i = 0; i < 3; i++)
        tickets[i] = add(&told[i]);
    result(PROC_STORAGE, tickets[1], 5, 0);
    unsigned before = sent_count;
    inflight_on_raft_down(inflight);
    cr_assert_eq(sent_count, before);
    inflight_on_leader(inflight, true); /* of the same term: it is a new connection */
    cr_assert_eq(sent_count, before + 2);
    cr_assert_eq(sent[before].sequence, tickets[0]);
    cr_assert_eq(sent[before + 1].sequence, tickets[2]);
}

Test(inflight, everything_open_is_proposed_again_each_time_raft_says_so)
{
    struct told told[2];
    serve();
    uint64_t first = add(&told[0]);
    unsigned before = sent_count;
    inflight_on_leader(inflight, true); /* a new leader, or a way to the old one that was cut */
    cr_assert_eq(sent_count, before + 1);
    cr_assert_eq(last()->sequence, first);
    uint64_t second = add(&told[1]);
    inflight_on_leader(inflight, false);
    cr_assert_eq(sent_count, before + 2);
    inflight_on_leader(inflight, true);
    cr_assert_eq(sent_count, before + 4);
    cr_assert_eq(sent[before + 2].sequence, first);
    cr_assert_eq(last()->sequence, second);
    result(PROC_STORAGE, first, 5, 0);
    result(PROC_STORAGE, first, 5, 0); /* of a second copy */
    result(PROC_STORAGE, second, 6, 0);
    expect_told(&told[0], 0);
    expect_told(&told[1], 0);
}

Test(inflight, without_a_leader_a_write_waits_and_then_nothing_was_written)
{
    struct told told;
    add(&told);
    pass(PATIENCE_NS - 1);
    cr_assert_eq(told.count, 0);
    pass(1);
    expect_told(&told, E_NO_LEADER);
    cr_assert_eq(sent_count, 0);
}

Test(inflight, refused_for_want_of_a_leader_waits_for_one)
{
    struct told told;
    serve();
    uint64_t ticket = add(&told);
    inflight_on_leader(inflight, false);
    inflight_on_refuse(inflight, SESSION, ticket, E_NO_LEADER);
    cr_assert_eq(told.count, 0);
    unsigned before = sent_count;
    inflight_on_leader(inflight, true);
    cr_assert_eq(sent_count, before + 1);
    result(PROC_STORAGE, ticket, 5, 0);
    expect_told(&told, 0);
}

Test(inflight, when_every_copy_was_refused_nothing_was_written)
{
    struct told told;
    serve();
    uint64_t ticket = add(&told);
    inflight_on_leader(inflight, false);
    inflight_on_refuse(inflight, SESSION, ticket, E_NO_LEADER);
    pass(PATIENCE_NS);
    expect_told(&told, E_NO_LEADER);
}

Test(inflight, when_one_copy_was_not_refused_the_outcome_is_unknown)
{
    struct told told;
    serve();
    uint64_t ticket = add(&told);
    inflight_on_leader(inflight, true); /* two copies */
    inflight_on_leader(inflight, false);
    inflight_on_refuse(inflight, SESSION, ticket, E_NO_LEADER);
    pass(PATIENCE_NS);
    expect_told(&told, E_OUTCOME_UNKNOWN);
}

Test(inflight, refused_in_three_copies_a_write_is_surely_not_done)
{
    struct told told;
    serve();
    uint64_t ticket = add(&told);
    for (unsigned i = 0; i < 2; i++)
        inflight_on_leader(inflight, true);
    inflight_on_leader(inflight, false);
    for (unsigned i = 0; i < 3; i++) {
        pass(PATIENCE_NS / 10);
        inflight_on_refuse(inflight, SESSION, ticket, E_NO_LEADER);
    }
    inflight_on_refuse(inflight, SESSION, ticket, E_NO_LEADER); /* of no copy that we know */
    pass(PATIENCE_NS);
    expect_told(&told, E_NO_LEADER);
}

Test(inflight, a_full_disk_is_told_only_when_no_copy_is_left_under_way)
{
    struct told told;
    serve();
    uint64_t ticket = add(&told);
    inflight_on_leader(inflight, true); /* two copies */
    inflight_on_refuse(inflight, SESSION, ticket, E_STORAGE_FULL);
    cr_assert_eq(told.count, 0);
    inflight_on_refuse(inflight, SESSION, ticket, E_STORAGE_FULL);
    expect_told(&told, E_STORAGE_FULL);
}

Test(inflight, what_went_down_with_raft_is_unknown_even_when_its_second_copy_is_refused)
{
    struct told told;
    serve();
    uint64_t ticket = add(&told);
    inflight_on_raft_down(inflight);
    inflight_on_leader(inflight, true);
    inflight_on_refuse(inflight, SESSION, ticket, E_STORAGE_FULL);
    cr_assert_eq(told.count, 0); /* the first copy may be in the log */
    result(PROC_STORAGE, ticket, 8, 0);
    expect_told(&told, 0);

    ticket = add(&told);
    inflight_on_raft_down(inflight);
    inflight_on_leader(inflight, true);
    inflight_on_refuse(inflight, SESSION, ticket, E_STORAGE_FULL);
    pass(PATIENCE_NS);
    expect_told(&told, E_OUTCOME_UNKNOWN);
}

Test(inflight, a_write_that_never_gets_an_answer_does_not_leak)
{
    struct told told;
    serve();
    uint64_t ticket = add(&told);
    pass(PATIENCE_NS);
    expect_told(&told, E_OUTCOME_UNKNOWN);
    cr_assert_eq(inflight_open_count(inflight), 0);
    result(PROC_STORAGE, ticket, 5, 0); /* too late */
    cr_assert_eq(told.count, 1);
    struct told next;
    add(&next);
    cr_assert_gt(last()->floor, ticket); /* its copy comes to nothing now */
}

Test(inflight, a_full_disk_is_told_at_once)
{
    struct told told;
    serve();
    inflight_on_refuse(inflight, SESSION, add(&told), E_STORAGE_FULL);
    expect_told(&told, E_STORAGE_FULL);
}

Test(inflight, a_busy_raft_is_asked_again_until_it_takes_the_write)
{
    struct told told;
    serve();
    uint64_t ticket = add(&told);
    unsigned before = sent_count;
    inflight_on_refuse(inflight, SESSION, ticket, E_BUSY);
    cr_assert_eq(told.count, 0);
    cr_assert_eq(inflight_due_ns(inflight), now_ns + INFLIGHT_RETRY_MS * NS_PER_MS);
    pass(INFLIGHT_RETRY_MS * NS_PER_MS);
    cr_assert_eq(sent_count, before + 1);
    cr_assert_eq(recall_count, 0);
    result(PROC_STORAGE, ticket, 5, 0);
    expect_told(&told, 0);
}

Test(inflight, what_was_refused_is_not_proposed_again_when_no_time_is_left_to_hear_of_it)
{
    struct told told;
    serve();
    uint64_t ticket = add(&told);
    inflight_on_refuse(inflight, SESSION, ticket, E_NO_LEADER);
    pass(PATIENCE_NS - INFLIGHT_LAST_MS * NS_PER_MS);
    unsigned before = sent_count;
    inflight_on_refuse(inflight, SESSION, ticket, E_NO_LEADER);
    now_ns++;
    inflight_on_leader(inflight, true);
    cr_assert_eq(sent_count, before);
    pass(INFLIGHT_LAST_MS * NS_PER_MS);
    expect_told(&told, E_NO_LEADER);
}

Test(inflight, a_raft_that_stays_busy_is_told_as_that)
{
    struct told told;
    serve();
    uint64_t ticket = add(&told), end_ns = now_ns + PATIENCE_NS;
    while (told.count == 0 && now_ns <= end_ns) {
        inflight_on_refuse(inflight, SESSION, ticket, E_BUSY);
        pass(inflight_due_ns(inflight) - now_ns);
    }
    expect_told(&told, E_BUSY);
    cr_assert_eq(now_ns, end_ns);
}

Test(inflight, a_link_that_takes_no_more_is_tried_again)
{
    struct told told;
    serve();
    wire_error = E_BUSY;
    uint64_t ticket = add(&told);
    wire_error = 0;
    pass(INFLIGHT_RETRY_MS * NS_PER_MS);
    cr_assert_eq(last()->sequence, ticket);
}

Test(inflight, refusals_of_another_session_or_of_nothing_are_ignored)
{
    struct told told;
    serve();
    uint64_t ticket = add(&told);
    inflight_on_refuse(inflight, SESSION + 1, ticket, E_STORAGE_FULL);
    inflight_on_refuse(inflight, SESSION, ticket + 1, E_STORAGE_FULL);
    inflight_on_refuse(inflight, SESSION, 0, E_STORAGE_FULL);
    cr_assert_eq(told.count, 0);
}

/* ---- a worker comes and goes ---- */

Test(inflight, a_worker_that_is_back_tells_by_itself)
{
    struct told told[2];
    serve();
    uint64_t first = add(&told[0]);
    add(&told[1]);
    unsigned before = sent_count;
    inflight_on_worker_up(inflight, PROC_STORAGE); /* it has been told our session */
    cr_assert_eq(recall_count, 0);
    cr_assert_eq(sent_count, before);
    result(PROC_STORAGE, first, 4, 0);
    expect_told(&told[0], 0);
}

Test(inflight, a_worker_that_owes_a_result_for_long_is_asked_for_it)
{
    struct told told[2];
    serve();
    uint64_t ticket = add(&told[0]);
    cr_assert_eq(inflight_due_ns(inflight), now_ns + INFLIGHT_RECALL_MS * NS_PER_MS);
    now_ns += INFLIGHT_RECALL_MS * NS_PER_MS - 1;
    add(&told[1]); /* not for long yet */
    pass(1);
    cr_assert_eq(recall_count, 1);
    cr_assert_eq(recalled[0], ticket);
    result(PROC_STORAGE, ticket, 9, 0);
    expect_told(&told[0], 0);
    result(PROC_STORAGE, ticket + 1, 9, 0);
    cr_assert_eq(inflight_due_ns(inflight), UINT64_MAX); /* nothing open, nothing to do */
}

/* ---- bounds ---- */

Test(inflight, the_window_is_bounded)
{
    static struct told told;
    uint64_t ticket, origin = 1;
    serve();
    unsigned taken = 0;
    while (taken < 2 * LIMIT_SESSION_WINDOW && add_from(origin++, &told, &ticket) == 0)
        taken++;
    cr_assert_eq(taken, LIMIT_SESSION_WINDOW);
    cr_assert_eq(add_from(origin, &told, &ticket), E_BUSY);
    result(PROC_STORAGE, 2, 1, 0); /* the oldest: 1 opened the session */
    cr_assert_eq(add_from(origin, &told, &ticket), 0);
}

Test(inflight, one_connection_cannot_fill_the_window)
{
    static struct told told;
    uint64_t ticket;
    serve();
    unsigned taken = 0;
    while (taken < LIMIT_SESSION_WINDOW && add_from(5, &told, &ticket) == 0)
        inflight_detach(inflight, ticket), taken++;
    cr_assert_eq(taken, INFLIGHT_PER_ORIGIN);
    cr_assert_eq(add_from(6, &told, &ticket), 0);
    result(PROC_STORAGE, 2, 1, 0);
    cr_assert_eq(add_from(5, &told, &ticket), 0);
}

Test(inflight, bytes_are_bounded_but_one_large_write_always_passes)
{
    static struct told told;
    size_t size = INFLIGHT_BYTES / 2 + 1;
    char *value = calloc(1, size);
    struct command command = {
        .operation = COMMAND_VALUE_SET, .key = slice_text("key"), .value = slice_of(value, size)};
    struct buf bytes;
    uint64_t ticket;
    serve();
    buf_init(&bytes, 2 * size);
    cr_assert_eq(command_encode(&bytes, &command), 0);
    const struct entry_part part = {PROC_STORAGE, buf_slice(&bytes)};
    const struct inflight_write write = {.parts = &part,
                                         .part_count = 1,
                                         .deadline_ns = now_ns + PATIENCE_NS,
                                         .done = on_done,
                                         .arg = &told};
    cr_assert_eq(inflight_add(inflight, &write, &ticket), 0);
    uint64_t first = ticket;
    cr_assert_eq(inflight_add(inflight, &write, &ticket), E_BUSY);
    result(PROC_STORAGE, first, 1, 0);
    cr_assert_eq(inflight_add(inflight, &write, &ticket), 0);
    buf_fini(&bytes);
    free(value);
}
