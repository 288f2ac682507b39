/* test_inflight.c - open proposals: who is told what, and what is proposed again when. */
#include <criterion/criterion.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/limits.h"
#include "tests/unit/gateway/writes.h"

TestSuite(inflight, .init = writes_start, .fini = writes_stop);

/* ---- the way of a write ---- */

Test(inflight, a_write_is_proposed_at_once_and_ends_with_its_result)
{
    struct told told;
    writes_serve();
    uint64_t ticket = writes_add(&told);
    cr_assert_eq(writes_last()->sequence, ticket);
    cr_assert_eq(writes_last()->session, SESSION);
    const struct inflight_outcome outcome = {0, 42, slice_text("7")};
    inflight_on_result(writes.inflight, PROC_STORAGE, SESSION, ticket, &outcome);
    writes_expect_told(&told, 0);
    cr_assert_eq(told.index, 42);
    cr_assert_str_eq(told.detail, "7");
    cr_assert_eq(inflight_open_count(writes.inflight), 0);
    cr_assert_eq(inflight_due_ns(writes.inflight), UINT64_MAX);
}

Test(inflight, a_workers_refusal_is_the_outcome)
{
    struct told told;
    writes_serve();
    writes_result(PROC_STORAGE, writes_add(&told), 42, E_CONFLICT);
    writes_expect_told(&told, E_CONFLICT);
}

Test(inflight, a_result_that_comes_twice_or_of_nothing_is_ignored)
{
    struct told told;
    writes_serve();
    uint64_t ticket = writes_add(&told);
    writes_result(PROC_STORAGE, ticket + 1, 1, 0);
    writes_result(PROC_STORAGE, 0, 1, 0);
    writes_result(PROC_CACHEQ, ticket, 1, 0);
    cr_assert_eq(told.count, 0);
    writes_result(PROC_STORAGE, ticket, 5, 0);
    writes_result(PROC_STORAGE, ticket, 6, E_CONFLICT);
    writes_expect_told(&told, 0);
    cr_assert_eq(told.index, 5);
}

Test(inflight, a_client_that_left_is_not_called)
{
    struct told told;
    writes_serve();
    uint64_t ticket = writes_add(&told);
    inflight_detach(writes.inflight, ticket);
    writes_result(PROC_STORAGE, ticket, 5, 0);
    cr_assert_eq(told.count, 0);
    cr_assert_eq(inflight_open_count(writes.inflight), 0);
    inflight_detach(writes.inflight, ticket);
}

Test(inflight, floor_is_the_smallest_open_sequence)
{
    struct told told[4];
    uint64_t tickets[3];
    writes_serve();
    for (unsigned i = 0; i < 3; i++)
        tickets[i] = writes_add(&told[i]);
    cr_assert_eq(writes_last()->floor, tickets[0]);
    writes_result(PROC_STORAGE, tickets[1], 5, 0);
    writes_result(PROC_STORAGE, tickets[0], 6, 0);
    writes_add(&told[3]);
    cr_assert_eq(writes_last()->floor, tickets[2]);
}

/* ---- the session ---- */

Test(inflight, nothing_is_proposed_before_the_session_is_confirmed)
{
    struct told told;
    uint64_t ticket = writes_add(&told);
    cr_assert_eq(writes.sent_count, 0);
    inflight_on_leader(writes.inflight, true);
    cr_assert_eq(writes.sent_count, 1);
    cr_assert_eq(writes_last()->operation, COMMAND_SESSION_OPEN);
    writes_result(PROC_CACHEQ, writes_last()->sequence, 1, 0);
    cr_assert_eq(writes.sent_count, 1);
    writes_result(PROC_STORAGE, writes.sent[0].sequence, 1,
                  0); /* events has not answered, and need not have */
    cr_assert_eq(writes.sent_count, 2);
    cr_assert_eq(writes_last()->sequence, ticket);
}

Test(inflight, a_worker_that_does_not_answer_is_asked_again_and_holds_up_nobody)
{
    struct told told;
    inflight_on_leader(writes.inflight, true);
    uint64_t opening = writes_last()->sequence;
    writes_result(PROC_STORAGE, opening, 1, 0);
    writes_result(PROC_EVENTS, opening, 1, 0);
    writes_result(PROC_STORAGE, writes_add(&told), 2, 0);
    writes_expect_told(&told, 0);
    for (uint64_t interval_ms = INFLIGHT_OPEN_MIN_MS; interval_ms < 60000;
         interval_ms = interval_ms * 2 < INFLIGHT_OPEN_MAX_MS ? interval_ms * 2
                                                              : INFLIGHT_OPEN_MAX_MS) {
        unsigned before = writes.sent_count;
        uint64_t due_ns = writes.now_ns + interval_ms * NS_PER_MS;
        while (writes.now_ns < due_ns) {
            cr_assert_eq(writes.sent_count, before);
            writes_pass(inflight_due_ns(writes.inflight) - writes.now_ns);
        }
        cr_assert_eq(writes.now_ns, due_ns);
        cr_assert_eq(writes.sent_count, before + 1);
        cr_assert_eq(writes_last()->operation, COMMAND_SESSION_OPEN);
        cr_assert_eq(writes_last()->parts, 1);
        cr_assert_eq(writes_last()->sequence, opening + 1); /* below all that is open */
        if (interval_ms == INFLIGHT_OPEN_MAX_MS)
            break;
    }
}

Test(inflight, an_opening_is_numbered_below_what_waits_for_it)
{
    struct told told[2];
    uint64_t first = writes_add(&told[0]); /* before there is a leader */
    writes_add(&told[1]);
    inflight_on_leader(writes.inflight, true);
    cr_assert_eq(writes_last()->operation, COMMAND_SESSION_OPEN);
    cr_assert_lt(writes_last()->sequence, first); /* a worker applies nothing below it */
    cr_assert_leq(writes_last()->floor, writes_last()->sequence);
}

Test(inflight, any_result_says_that_the_worker_knows_the_session)
{
    struct told told;
    inflight_on_leader(writes.inflight, true);
    writes_result(PROC_STORAGE, writes_last()->sequence, 4,
                  E_OUTCOME_UNKNOWN); /* below its floor: it has one */
    uint64_t ticket = writes_add(&told);
    cr_assert_eq(writes_last()->sequence, ticket);
}

Test(inflight, a_worker_that_comes_late_is_asked_at_once)
{
    inflight_on_leader(writes.inflight, true);
    inflight_on_worker_up(writes.inflight, PROC_STORAGE); /* it may have had nobody to tell */
    cr_assert_eq(writes.sent_count, 2);
    cr_assert_eq(writes_last()->operation, COMMAND_SESSION_OPEN);
    writes_result(PROC_STORAGE, writes_last()->sequence, 3, 0);
    inflight_on_worker_up(writes.inflight, PROC_STORAGE);
    cr_assert_eq(writes.sent_count, 2); /* it knows us now */
}

Test(inflight, when_the_session_cannot_be_opened_for_lack_of_room_writes_are_told_so)
{
    struct told told;
    writes_add(&told);
    inflight_on_leader(writes.inflight, true);
    inflight_on_refuse(writes.inflight, SESSION, writes_last()->sequence, E_STORAGE_FULL);
    writes_expect_told(&told, E_STORAGE_FULL);
    writes_pass(INFLIGHT_OPEN_MIN_MS * NS_PER_MS);
    cr_assert_eq(writes.sent_count, 2); /* and it is tried again */
}

Test(inflight, a_forgotten_session_is_followed_by_a_new_one_that_does_the_work)
{
    struct told first, second, never_sent;
    writes_serve();
    uint64_t tickets[2] = {writes_add(&first), writes_add(&second)};
    writes_result(PROC_STORAGE, tickets[0], 9, E_SESSION_EXPIRED);
    writes_add(&never_sent);
    cr_assert_eq(writes.sent_count, 3); /* nothing more under the old one */
    cr_assert_not(inflight_wants_renewal(writes.inflight));
    writes_result(PROC_STORAGE, tickets[1], 9, E_SESSION_EXPIRED);
    cr_assert(inflight_wants_renewal(writes.inflight));
    inflight_renew(writes.inflight, ++writes.session);
    cr_assert_eq(inflight_session(writes.inflight), SESSION + 1);
    cr_assert_not(inflight_wants_renewal(writes.inflight));
    cr_assert_eq(writes.sent_count, 4); /* the leader is still there */
    cr_assert_eq(writes_last()->session, SESSION + 1);
    writes_confirm();
    cr_assert_eq(writes.sent_count, 7);
    for (unsigned i = 4; i < 7; i++) {
        cr_assert_eq(writes.sent[i].session, SESSION + 1);
        writes_result(PROC_STORAGE, writes.sent[i].sequence, 20 + i, 0);
    }
    writes_expect_told(&first, 0);
    writes_expect_told(&second, 0);
    writes_expect_told(&never_sent, 0);
}

Test(inflight, a_forgotten_session_leaves_unknown_what_may_have_been_applied_before)
{
    struct told twice, recalled_one;
    writes_serve();
    uint64_t ticket = writes_add(&twice);
    inflight_on_leader(writes.inflight, true); /* a second copy */
    writes_result(PROC_STORAGE, ticket, 9, E_SESSION_EXPIRED);
    writes_expect_told(&twice, E_OUTCOME_UNKNOWN);
    inflight_renew(writes.inflight, ++writes.session);
    writes_confirm();
    ticket = writes_add(&recalled_one);
    writes_pass(INFLIGHT_RECALL_MS * NS_PER_MS); /* its result may have been lost */
    cr_assert_eq(writes.recall_count, 1);
    writes_result(PROC_STORAGE, ticket, 9, E_SESSION_EXPIRED);
    writes_expect_told(&recalled_one, E_OUTCOME_UNKNOWN);
}

Test(inflight, a_result_of_an_earlier_session_is_ignored)
{
    struct told told;
    writes_serve();
    uint64_t ticket = writes_add(&told);
    writes_result(PROC_STORAGE, ticket, 9, E_SESSION_EXPIRED);
    inflight_renew(writes.inflight, SESSION + 1);
    writes_result(PROC_STORAGE, writes_last()->sequence, 10, 0); /* confirms nothing */
    cr_assert_eq(writes_last()->operation, COMMAND_SESSION_OPEN);
    writes_result(PROC_STORAGE, ticket, 10, E_CONFLICT);
    cr_assert_eq(told.count, 0);
    writes.session = SESSION + 1;
    writes_confirm();
    cr_assert_eq(writes_last()->sequence, ticket);
    writes_result(PROC_STORAGE, ticket, 11, 0);
    writes_expect_told(&told, 0);
}

/* ---- a worker comes and goes ---- */

Test(inflight, a_worker_that_is_back_tells_by_itself)
{
    struct told told[2];
    writes_serve();
    uint64_t first = writes_add(&told[0]);
    writes_add(&told[1]);
    unsigned before = writes.sent_count;
    inflight_on_worker_up(writes.inflight, PROC_STORAGE); /* it has been told our session */
    cr_assert_eq(writes.recall_count, 0);
    cr_assert_eq(writes.sent_count, before);
    writes_result(PROC_STORAGE, first, 4, 0);
    writes_expect_told(&told[0], 0);
}

Test(inflight, a_worker_that_owes_a_result_for_long_is_asked_for_it)
{
    struct told told[2];
    writes_serve();
    uint64_t ticket = writes_add(&told[0]);
    cr_assert_eq(inflight_due_ns(writes.inflight), writes.now_ns + INFLIGHT_RECALL_MS * NS_PER_MS);
    writes.now_ns += INFLIGHT_RECALL_MS * NS_PER_MS - 1;
    writes_add(&told[1]); /* not for long yet */
    writes_pass(1);
    cr_assert_eq(writes.recall_count, 1);
    cr_assert_eq(writes.recalled[0], ticket);
    writes_result(PROC_STORAGE, ticket, 9, 0);
    writes_expect_told(&told[0], 0);
    writes_result(PROC_STORAGE, ticket + 1, 9, 0);
    cr_assert_eq(inflight_due_ns(writes.inflight), UINT64_MAX); /* nothing open, nothing to do */
}

/* ---- bounds ---- */

Test(inflight, the_window_is_bounded)
{
    static struct told told;
    uint64_t ticket, origin = 1;
    writes_serve();
    unsigned taken = 0;
    while (taken < 2 * LIMIT_SESSION_WINDOW && writes_add_from(origin++, &told, &ticket) == 0)
        taken++;
    cr_assert_eq(taken, LIMIT_SESSION_WINDOW);
    cr_assert_eq(writes_add_from(origin, &told, &ticket), E_BUSY);
    writes_result(PROC_STORAGE, 2, 1, 0); /* the oldest: 1 opened the session */
    cr_assert_eq(writes_add_from(origin, &told, &ticket), 0);
}

Test(inflight, one_connection_cannot_fill_the_window)
{
    static struct told told;
    uint64_t ticket;
    writes_serve();
    unsigned taken = 0;
    while (taken < LIMIT_SESSION_WINDOW && writes_add_from(5, &told, &ticket) == 0)
        inflight_detach(writes.inflight, ticket), taken++;
    cr_assert_eq(taken, INFLIGHT_PER_ORIGIN);
    cr_assert_eq(writes_add_from(6, &told, &ticket), 0);
    writes_result(PROC_STORAGE, 2, 1, 0);
    cr_assert_eq(writes_add_from(5, &told, &ticket), 0);
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
    writes_serve();
    buf_init(&bytes, 2 * size);
    cr_assert_eq(command_encode(&bytes, &command), 0);
    const struct entry_part part = {PROC_STORAGE, buf_slice(&bytes)};
    const struct inflight_write write = {.parts = &part,
                                         .part_count = 1,
                                         .deadline_ns = writes.now_ns + PATIENCE_NS,
                                         .done = writes_on_done,
                                         .arg = &told};
    cr_assert_eq(inflight_add(writes.inflight, &write, &ticket), 0);
    uint64_t first = ticket;
    cr_assert_eq(inflight_add(writes.inflight, &write, &ticket), E_BUSY);
    writes_result(PROC_STORAGE, first, 1, 0);
    cr_assert_eq(inflight_add(writes.inflight, &write, &ticket), 0);
    buf_fini(&bytes);
    free(value);
}
