/* insi-raft as its neighbours see it. */
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "base/error.h"
#include "ipc/entry.h"
#include "tests/unit/raft/rig.h"

static void process_setup(void)
{
    rig_init(NULL);
}

TestSuite(process, .init = process_setup, .fini = rig_fini, .timeout = 120);

static struct board_lease process_lease(void)
{
    struct board_lease lease;
    cr_assert_eq(board_read_lease(rig.board, &lease), 0);
    return lease;
}

/* ---- start ---- */

Test(process, the_default_leader_founds_a_cluster_and_leads_it)
{
    rig_start_all();
    cr_assert_eq(rig_logged("event=cluster_founded"), 1);
    RIG_WAIT(process_lease().lease_end_ns == BOARD_LEASE_FOREVER);
    struct board_lease lease = process_lease();
    cr_assert_eq(lease.role, BOARD_ROLE_LEADER);
    cr_assert_eq(lease.epoch, 1);
    cr_assert_eq(lease.term, 1);
    cr_assert_str_eq(lease.leader, "node0");
    cr_assert_eq(lease.commit_index, 1, "its first entry is the config");
    cr_assert_eq(rig.gateway.term, 1);
    for (enum proc proc = PROC_FIRST_WORKER; proc <= PROC_LAST_WORKER; proc++) {
        cr_assert(rig_worker_of(proc)->is_leader);
        cr_assert_eq(rig_applied_index(proc), 1);
        cr_assert_eq(rig_worker_of(proc)->count, 0, "the config is no worker's business");
    }
}

/* Nothing is announced before every worker shows it. */
Test(process, there_is_no_lease_before_all_workers_have_applied)
{
    rig_start();
    rig_open_gateway();
    rig_open_worker(PROC_STORAGE);
    rig_open_worker(PROC_CACHEQ);
    RIG_WAIT(rig_applied_index(PROC_STORAGE) == 1 && rig_applied_index(PROC_CACHEQ) == 1);
    rig_ask(1);
    RIG_WAIT(rig.gateway.answered == 1); /* a turn of its own behind APPLIED */
    cr_assert_eq(process_lease().lease_end_ns, 0);
    cr_assert_eq(process_lease().commit_index, 0);
    rig_open_worker(PROC_EVENTS);
    RIG_WAIT(process_lease().lease_end_ns == BOARD_LEASE_FOREVER);
    cr_assert_eq(process_lease().commit_index, 1);
}

Test(process, each_start_raises_the_epoch_and_the_term)
{
    for (uint64_t i = 1; i <= 3; i++) {
        rig_start();
        RIG_WAIT(process_lease().role == BOARD_ROLE_LEADER);
        cr_assert_eq(process_lease().epoch, i);
        cr_assert_eq(process_lease().term, i);
        rig_kill();
    }
    cr_assert_eq(rig_logged("event=cluster_founded"), 1);
}

Test(process, cluster_time_is_near_wall_time_and_never_goes_back)
{
    rig_start_all();
    uint64_t shown = board_cluster_time_ms(rig.board), wall = clock_wall_ms();
    cr_assert_lt(shown > wall ? shown - wall : wall - shown, 1000);
    uint64_t sequence = rig_propose(PROC_STORAGE, 10);
    RIG_WAIT(rig_has(PROC_STORAGE, sequence));
    uint64_t stamp = rig_find(PROC_STORAGE, sequence)->stamp_ms;
    cr_assert_geq(stamp, shown);
    rig_kill();
    setenv("INSI_TEST_WALL_OFFSET_MS", "-3600000", 1); /* an hour back */
    uint64_t before = board_cluster_time_ms(rig.board);
    rig_start();
    RIG_WAIT(rig.gateway.leader_is_known);
    sequence = rig_propose(PROC_STORAGE, 10);
    RIG_WAIT(rig_has(PROC_STORAGE, sequence));
    cr_assert_geq(rig_find(PROC_STORAGE, sequence)->stamp_ms, before);
    cr_assert_geq(board_cluster_time_ms(rig.board), before);
}

Test(process, a_log_from_the_future_takes_cluster_time_along)
{
    setenv("INSI_TEST_WALL_OFFSET_MS", "3600000", 1);
    rig_start_all();
    uint64_t sequence = rig_propose(PROC_STORAGE, 10);
    RIG_WAIT(rig_has(PROC_STORAGE, sequence));
    uint64_t stamp = rig_find(PROC_STORAGE, sequence)->stamp_ms;
    cr_assert_gt(stamp, ((uint64_t)time(NULL) + 3500) * 1000);
    rig_kill();
    setenv("INSI_TEST_WALL_OFFSET_MS", "0", 1);
    board_close(&rig.board); /* a node that is started anew has a new board */
    cr_assert_eq(board_create(rig.paths.board), 0);
    cr_assert_eq(board_open(&rig.board, rig.paths.board, false), 0);
    rig_start();
    RIG_WAIT(rig.gateway.leader_is_known);
    sequence = rig_propose(PROC_STORAGE, 10);
    RIG_WAIT(rig_has(PROC_STORAGE, sequence));
    cr_assert_gt(rig_find(PROC_STORAGE, sequence)->stamp_ms, stamp);
}

/* ---- proposals ---- */

Test(process, a_proposal_reaches_its_worker_and_everybody_learns_the_index)
{
    rig_start_all();
    uint64_t first = rig_propose(PROC_STORAGE, 10);
    uint64_t second = rig_propose(PROC_EVENTS, 100);
    RIG_WAIT(rig_has(PROC_STORAGE, first) && rig_has(PROC_EVENTS, second));
    for (enum proc proc = PROC_FIRST_WORKER; proc <= PROC_LAST_WORKER; proc++)
        RIG_WAIT(rig_applied_index(proc) == 3);
    cr_assert_not(rig_has(PROC_EVENTS, first));
    cr_assert_eq(rig_worker_of(PROC_CACHEQ)->count, 0);
    cr_assert_eq(rig_find(PROC_STORAGE, first)->index, 2);
    cr_assert_eq(rig_find(PROC_STORAGE, first)->session, RIG_SESSION);
    cr_assert_eq(rig_find(PROC_EVENTS, second)->index, 3);
    RIG_WAIT(process_lease().commit_index == 3);
    cr_assert_eq(rig.gateway.refused, 0);
}

Test(process, many_proposals_keep_their_order)
{
    rig_start_all();
    for (unsigned i = 0; i < 20000; i++)
        rig_propose(PROC_STORAGE, 64);
    RIG_WAIT(rig_has(PROC_STORAGE, 20000));
    const struct rig_worker *storage = rig_worker_of(PROC_STORAGE);
    cr_assert_eq(storage->count, 20000);
    for (size_t i = 0; i < 20000; i++)
        cr_assert_eq(storage->applied[i].sequence, i + 1);
}

Test(process, a_large_entry_passes)
{
    rig_start_all();
    uint64_t sequence = rig_propose(PROC_STORAGE, LIMIT_BODY_MAX);
    RIG_WAIT(rig_has(PROC_STORAGE, sequence));
    cr_assert_eq(rig_find(PROC_STORAGE, sequence)->bytes, LIMIT_BODY_MAX);
    sequence = rig_propose(PROC_STORAGE, 10);
    RIG_WAIT(rig_has(PROC_STORAGE, sequence));
}

Test(process, what_is_no_entry_is_refused)
{
    rig_start_all();
    rig_propose_bytes(slice_text("rubbish"));
    RIG_WAIT(rig.gateway.refused == 1);
    cr_assert_eq(rig.gateway.refused_error, E_BAD_COMMAND);
    /* a whole head, and a part for nobody: the gateway learns which one it was */
    struct buf out;
    struct entry entry = {.session = RIG_SESSION,
                          .sequence = 99,
                          .part_count = 1,
                          .parts = {{PROC_STORAGE, slice_text("x")}}};
    buf_init(&out, 1000);
    cr_assert_eq(entry_encode(&out, &entry), 0);
    for (size_t i = 0; i < out.len; i++)
        if (out.data[i] == PROC_STORAGE && i + 1 < out.len && out.data[i + 1] == 0xc4)
            out.data[i] = PROC_GATEWAY;
    rig_propose_bytes(buf_slice(&out));
    buf_fini(&out);
    RIG_WAIT(rig.gateway.refused == 2);
    cr_assert_eq(rig.gateway.refused_error, E_BAD_COMMAND);
    cr_assert_eq(rig.gateway.refused_session, RIG_SESSION);
    cr_assert_eq(rig.gateway.refused_sequence, 99);
    uint64_t sequence = rig_propose(PROC_STORAGE, 10);
    RIG_WAIT(rig_has(PROC_STORAGE, sequence));
}

Test(process, a_worker_can_propose_for_itself)
{
    rig_start_all();
    const struct msg_worker_propose propose = {.command = slice_text("clean up")};
    cr_assert_eq(msg_worker_propose_send(rig_worker_of(PROC_CACHEQ)->link, &propose), 0);
    RIG_WAIT(rig_worker_of(PROC_CACHEQ)->count == 1);
    cr_assert_eq(rig_worker_of(PROC_CACHEQ)->applied[0].session, 0);
    cr_assert_eq(rig_worker_of(PROC_STORAGE)->count, 0);
}

Test(process, a_worker_can_propose_for_all)
{
    rig_start_all();
    const struct msg_worker_propose propose = {.command = slice_text("clean up"),
                                               .is_for_all = true};
    cr_assert_eq(msg_worker_propose_send(rig_worker_of(PROC_STORAGE)->link, &propose), 0);
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++) {
        const struct rig_worker *worker = rig_worker_of((enum proc)(PROC_FIRST_WORKER + i));
        RIG_WAIT(worker->count == 1);
        cr_assert_eq(worker->applied[0].session, 0);
    }
    cr_assert_eq(rig_worker_of(PROC_STORAGE)->applied[0].index,
                 rig_worker_of(PROC_EVENTS)->applied[0].index);
}

Test(process, reads_are_answered_with_an_index_that_covers_what_was_acknowledged)
{
    rig_start_all();
    for (unsigned i = 1; i <= 50; i++) {
        uint64_t sequence = rig_propose(PROC_STORAGE, 10);
        RIG_WAIT(rig_has(PROC_STORAGE, sequence));
        for (unsigned question = 0; question < 20; question++)
            rig_ask(i * 100 + question);
        RIG_WAIT(rig.gateway.answered == 20 * i);
        cr_assert_geq(rig.gateway.answer_index, rig_find(PROC_STORAGE, sequence)->index);
    }
    cr_assert_eq(rig.gateway.unanswered, 0);
}

/* ---- a node that waits to be let in ---- */

TestSuite(waiting, .fini = rig_fini, .timeout = 120);

Test(waiting, any_other_node_runs_without_a_leader)
{
    rig_init("defaultLeader: node1\nraft: {electionTimeout: 100ms, heartbeat: 20ms}\n");
    rig_start();
    rig_open_workers();
    rig_open_gateway();
    RIG_WAIT(rig.gateway.leaders == 1);
    cr_assert_not(rig.gateway.leader_is_known);
    rig_propose(PROC_STORAGE, 10);
    RIG_WAIT(rig.gateway.refused == 1);
    cr_assert_eq(rig.gateway.refused_error, E_NO_LEADER);
    rig_ask(1);
    RIG_WAIT(rig.gateway.unanswered == 1);
    uint64_t until = clock_boot_ms() + 500; /* several election timeouts */
    RIG_WAIT(clock_boot_ms() >= until);
    cr_assert_eq(process_lease().role, BOARD_ROLE_FOLLOWER);
    cr_assert_eq(process_lease().term, 0);
    cr_assert_eq(process_lease().lease_end_ns, 0);
    cr_assert_eq(rig_worker_of(PROC_STORAGE)->resumed, 0); /* of which cluster's log is not known */
    cr_assert_eq(rig_stop(SIGTERM), 0);
}

/* ---- resuming ---- */

Test(process, a_worker_goes_on_from_any_index)
{
    rig_start_all();
    rig_fill(300);
    struct rig_worker *storage = rig_worker_of(PROC_STORAGE);
    size_t count = storage->count;
    struct rig_applied *before = mem_copy(storage->applied, count * sizeof(*before));
    for (uint64_t from = 0; from <= 301; from += 43) {
        rig_close_worker(PROC_STORAGE);
        rig_forget_worker(PROC_STORAGE, from);
        size_t kept = storage->count;
        unsigned resumed = storage->resumed;
        rig_open_worker(PROC_STORAGE);
        RIG_WAIT(storage->resumed == resumed + 1);
        RIG_WAIT(rig_applied_index(PROC_STORAGE) == 301);
        cr_assert_eq(storage->count, count, "from %lu: kept %zu", from, kept);
        cr_assert_arr_eq(storage->applied, before, count * sizeof(*before));
    }
    free(before);
}

Test(process, a_worker_goes_on_while_others_are_served)
{
    rig_start_all();
    rig_fill(30);
    rig_close_worker(PROC_STORAGE);
    uint64_t sequence = rig_propose(PROC_EVENTS, 50);
    RIG_WAIT(rig_has(PROC_EVENTS, sequence));
    uint64_t other = rig_propose(PROC_STORAGE, 50);
    RIG_WAIT(rig_applied_index(PROC_EVENTS) == 33);
    cr_assert_eq(process_lease().commit_index, 31, "not before all have applied");
    rig_open_worker(PROC_STORAGE);
    RIG_WAIT(rig_has(PROC_STORAGE, other));
    RIG_WAIT(process_lease().commit_index == 33);
}

Test(process, a_worker_that_is_ahead_of_the_log_has_to_rebuild)
{
    rig_start_all();
    rig_fill(30);
    struct rig_worker *storage = rig_worker_of(PROC_STORAGE);
    rig_close_worker(PROC_STORAGE);
    storage->applied_index = 32;
    rig_open_worker(PROC_STORAGE);
    RIG_WAIT(storage->rebuilt == 1);
    rig_close_worker(PROC_STORAGE);
    rig_forget_worker(PROC_STORAGE, 0);
    rig_open_worker(PROC_STORAGE);
    RIG_WAIT(rig_applied_index(PROC_STORAGE) == 31);
    cr_assert_eq(storage->count, 20);
}

/* By the time it asks the log may have grown past what it has: that does not make it this log's. */
Test(process, a_worker_that_was_ahead_when_raft_started_has_to_rebuild)
{
    rig_start_all();
    rig_fill(30);
    rig_close_worker(PROC_STORAGE);
    rig_kill();
    struct rig_worker *storage = rig_worker_of(PROC_STORAGE);
    storage->applied_index = 35;
    rig_start();
    RIG_WAIT(rig.gateway.leader_is_known);
    for (unsigned i = 0; i < 30; i++)
        rig_propose(PROC_EVENTS, 50);
    RIG_WAIT(rig_applied_index(PROC_EVENTS) >= 61);
    rig_open_worker(PROC_STORAGE);
    RIG_WAIT(storage->rebuilt == 1);
}

Test(process, a_worker_of_another_log_has_to_rebuild)
{
    rig_start_all();
    rig_fill(30);
    struct rig_worker *storage = rig_worker_of(PROC_STORAGE);
    rig_close_worker(PROC_STORAGE);
    storage->lineage[3] ^= 1;
    rig_open_worker(PROC_STORAGE);
    RIG_WAIT(storage->rebuilt == 1);
    rig_close_worker(PROC_STORAGE);
    storage->wants_zero = true; /* applied something, of no log */
    rig_open_worker(PROC_STORAGE);
    RIG_WAIT(storage->rebuilt == 2);
}

/* ---- slow workers ---- */

Test(process, a_worker_that_does_not_apply_gets_one_window_and_holds_nobody_up)
{
    rig_start_all();
    struct rig_worker *storage = rig_worker_of(PROC_STORAGE);
    storage->holds = true;
    uint64_t last = 0;
    for (unsigned i = 0; i < 60; i++)
        last = rig_propose(i == 59 ? PROC_EVENTS : PROC_STORAGE, 1 << 20);
    RIG_WAIT(rig_has(PROC_EVENTS, last));
    RIG_WAIT(storage->held_bytes >= RAFT_WORKER_WINDOW_BYTES);
    cr_assert_leq(storage->held_bytes, RAFT_WORKER_WINDOW_BYTES + (2u << 20));
    RIG_WAIT(rig_logged("event=worker_stalled worker=storage") == 1);
    cr_assert_leq(storage->held_bytes, RAFT_WORKER_WINDOW_BYTES + (2u << 20));
    rig_close_worker(PROC_STORAGE);
    storage->holds = false;
    rig_open_worker(PROC_STORAGE);
    RIG_WAIT(rig_applied_index(PROC_STORAGE) == rig_applied_index(PROC_EVENTS));
    cr_assert_eq(storage->count, 59);
}

Test(process, a_worker_that_claims_what_it_was_not_sent_is_cut_off)
{
    rig_start_all();
    const struct msg_applied lie = {.index = 1000};
    unsigned resumed = rig_worker_of(PROC_STORAGE)->resumed;
    cr_assert_eq(msg_applied_send(rig_worker_of(PROC_STORAGE)->link, &lie), 0);
    RIG_WAIT(rig_worker_of(PROC_STORAGE)->resumed == resumed + 1);
    uint64_t sequence = rig_propose(PROC_STORAGE, 10);
    RIG_WAIT(rig_has(PROC_STORAGE, sequence));
}
