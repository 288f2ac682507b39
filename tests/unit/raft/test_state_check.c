/* Whose state is the odd one out. */
#include <criterion/criterion.h>

#include "ipc/raft_worker.h"
#include "procs/raft/state_check.h"

static struct state_check *check;
static struct members members;
static struct {
    uint64_t id, index, hash;
    enum proc worker;
} told[64];
static unsigned told_count, open_count;

static void on_differs(void *arg, uint64_t id, const struct peer_state_hash *right)
{
    cr_assert_eq(arg, &members);
    told[told_count].id = id;
    told[told_count].worker = right->worker;
    told[told_count].index = right->index;
    told[told_count++].hash = right->hash;
}

static void on_open(void *arg, const struct peer_state_hash *one,
                    const struct peer_state_hash *other)
{
    cr_assert_eq(arg, &members);
    cr_assert_eq(one->index, other->index);
    cr_assert_neq(one->hash, other->hash);
    open_count++;
}

static void setup(void)
{
    const struct state_check_hooks hooks = {on_differs, on_open, &members};
    check = state_check_new(&hooks);
    for (uint64_t id = 1; id <= 3; id++)
        members.list[members.count++] = (struct member){.id = id, .voter = true};
}

static void teardown(void)
{
    state_check_free(&check);
}

TestSuite(state_check, .init = setup, .fini = teardown, .timeout = 30);

static void report(uint64_t id, uint64_t round, uint64_t hash)
{
    const struct peer_state_hash state = {PROC_STORAGE, round * RAFT_CHECKPOINT, hash};
    state_check_note(check, &members, id, &state);
}

Test(state_check, nodes_that_agree_are_left_alone)
{
    for (uint64_t round = 1; round < 200; round++)
        for (uint64_t id = 1; id <= 3; id++)
            report(id, round, round);
    cr_assert_eq(told_count, 0);
    cr_assert_eq(open_count, 0);
}

Test(state_check, the_one_that_differs_from_the_majority_is_told_once)
{
    report(1, 5, 50);
    report(2, 5, 51);
    cr_assert_eq(told_count, 0, "who of the two is right is not known yet");
    report(3, 5, 50);
    cr_assert_eq(told_count, 1);
    cr_assert_eq(told[0].id, 2);
    cr_assert_eq(told[0].worker, PROC_STORAGE);
    cr_assert_eq(told[0].index, 5ull * RAFT_CHECKPOINT);
    cr_assert_eq(told[0].hash, 50);
    report(1, 5, 50);
    report(3, 5, 50);
    cr_assert_eq(told_count, 1);
    cr_assert_eq(open_count, 0);
}

Test(state_check, a_late_one_that_differs_is_told_at_once)
{
    report(3, 5, 50);
    report(1, 5, 50);
    report(2, 5, 7);
    cr_assert_eq(told_count, 1);
    cr_assert_eq(told[0].id, 2);
    cr_assert_eq(open_count, 0);
}

Test(state_check, one_that_reports_again_after_it_was_mended_counts_as_it_is_now)
{
    report(1, 5, 50);
    report(2, 5, 51);
    report(2, 5, 50);
    report(3, 5, 51);
    cr_assert_eq(told_count, 1);
    cr_assert_eq(told[0].id, 3);
}

Test(state_check, without_a_majority_nobody_is_to_blame)
{
    report(1, 5, 1);
    report(2, 5, 2);
    report(3, 5, 3);
    cr_assert_eq(told_count, 0);
    cr_assert_eq(open_count, 1);
    members.count = 2;
    report(1, 6, 1);
    report(2, 6, 2);
    cr_assert_eq(told_count, 0, "one of two is no majority");
    cr_assert_eq(open_count, 2);
}

Test(state_check, a_difference_that_nobody_decides_is_told_when_it_is_long_over)
{
    report(1, 5, 50);
    report(2, 5, 51);
    for (uint64_t round = 6; round < 5 + STATE_CHECK_POINTS; round++)
        report(1, round, 50);
    cr_assert_eq(open_count, 0, "the third one may still say who is right");
    report(1, 5 + STATE_CHECK_POINTS, 50);
    cr_assert_eq(open_count, 1);
    cr_assert_eq(told_count, 0);
}

Test(state_check, learners_are_judged_and_do_not_judge)
{
    members.list[2].voter = false;
    report(3, 5, 9);
    report(1, 5, 50);
    cr_assert_eq(told_count, 0);
    report(2, 5, 50);
    cr_assert_eq(told_count, 1);
    cr_assert_eq(told[0].id, 3);
    report(3, 6, 9);
    report(1, 6, 9);
    report(2, 6, 8);
    cr_assert_eq(told_count, 1, "one of two voters and a learner are no majority");
}

Test(state_check, only_equal_indexes_and_equal_workers_are_compared)
{
    const struct peer_state_hash other = {PROC_CACHEQ, 5ull * RAFT_CHECKPOINT, 99};
    report(1, 5, 50);
    report(2, 6, 60);
    report(3, 7, 70);
    state_check_note(check, &members, 2, &other);
    state_check_note(check, &members, 3, &other);
    cr_assert_eq(told_count, 0);
    cr_assert_eq(open_count, 0);
}

Test(state_check, reports_that_come_too_late_are_not_compared)
{
    report(1, 1, 1);
    report(1, 1 + STATE_CHECK_POINTS, 5);
    report(2, 1, 2);
    report(3, 1, 2);
    cr_assert_eq(told_count, 0);
    cr_assert_eq(open_count, 0);
    report(2, 1 + STATE_CHECK_POINTS, 5);
    report(3, 1 + STATE_CHECK_POINTS, 6);
    cr_assert_eq(told_count, 1);
}

Test(state_check, who_is_no_member_is_not_heard_and_who_was_one_counts_no_more)
{
    report(4, 5, 1);
    report(1, 5, 50);
    report(2, 5, 51);
    cr_assert_eq(told_count, 0);
    members.list[0].id = 9; /* instead of 1 */
    report(3, 5, 51);
    cr_assert_eq(told_count, 0);
    report(9, 5, 50);
    cr_assert_eq(told_count, 1);
    cr_assert_eq(told[0].id, 9);
}

Test(state_check, what_was_reported_in_an_earlier_term_can_be_forgotten)
{
    report(1, 5, 50);
    report(2, 5, 51);
    state_check_forget(check);
    report(3, 5, 51);
    cr_assert_eq(told_count, 0);
}

Test(state_check, as_many_members_as_there_can_be_are_compared)
{
    members.count = 0;
    for (uint64_t id = 1; id <= RAFT_MEMBERS_MAX; id++)
        members.list[members.count++] = (struct member){.id = id, .voter = true};
    for (uint64_t id = 1; id <= RAFT_MEMBERS_MAX; id++)
        report(id, 5, id == 17 ? 1 : 2);
    cr_assert_eq(told_count, 1);
    cr_assert_eq(told[0].id, 17);
}
