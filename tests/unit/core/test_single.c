/* A group of one voter: it elects itself, and its own disk is the majority. */
#include <criterion/criterion.h>

#include "tests/unit/core/node.h"

static struct node node;

static void single_new(void)
{
    node_new(&node, 1);
}

static void single_lead(void)
{
    node_start(&node);
    node_persist(&node); /* term and vote */
    node_persist(&node); /* the first entry */
    node_apply(&node, raft_last_index(node.raft));
}

static void single_free(void)
{
    node_free(&node);
}

TestSuite(single, .init = single_new, .fini = single_free);

Test(single, stands_at_once_and_leads_when_its_vote_is_on_the_disk)
{
    node_start(&node);
    cr_assert(node.update.hard_state_changed);
    cr_assert_eq(node.update.term, 1);
    cr_assert_eq(node.update.vote, 1);
    cr_assert_eq(node.update.role, RAFT_CANDIDATE);
    cr_assert_eq(node.update.write, 1);
    cr_assert_gt(node.update.append_first, node.update.append_last);
    node_persist(&node);
    cr_assert_eq(node.update.role, RAFT_LEADER);
    cr_assert_eq(node.update.leader, 1);
}

Test(single, does_not_wait_out_the_grace_of_a_restart)
{
    node.options.first_start = false;
    node_load(&node, 3, 5);
    node_start(&node);
    cr_assert_eq(node.update.role, RAFT_CANDIDATE);
    cr_assert_eq(node.update.term, 4);
}

/* The members must be in the log for those who join later. */
Test(single, first_entry_of_a_new_log_is_the_config)
{
    node_start(&node);
    node_persist(&node);
    cr_assert_eq(node.update.append_kind, RAFT_APPEND_CONFIG);
    cr_assert_eq(node.update.append_first, 1);
    cr_assert_eq(node.update.append_last, 1);
    cr_assert_eq(node.update.config->count, 1);
    cr_assert_eq(node.update.config_index, 1);
    cr_assert_not(node.update.config_committed);
    node_persist(&node);
    cr_assert(node.update.config_committed);
    cr_assert(node.update.config_changed);
}

Test(single, first_entry_of_a_later_term_is_empty)
{
    node.options.term = 1;
    node_load(&node, 1, 0);
    struct raft_entry entry = {.term = 1, .config = &node.options.config};
    raft_load(node.raft, 1, &entry);
    node_start(&node);
    node_persist(&node);
    cr_assert_eq(node.update.append_kind, RAFT_APPEND_EMPTY);
    cr_assert_eq(node.update.append_first, 2);
}

/* etcd#14370: entries came out as committed before they were stored. */
Test(single, commits_only_what_is_on_the_disk)
{
    single_lead();
    node_propose(&node, 3);
    cr_assert_eq(node.update.refusal, RAFT_TAKEN);
    cr_assert_eq(node.update.append_kind, RAFT_APPEND_PROPOSED);
    cr_assert_eq(node.update.append_first, 2);
    cr_assert_eq(node.update.append_last, 4);
    cr_assert_eq(node.update.commit_index, 1);
    uint64_t first = node.update.write;
    node_propose(&node, 1);
    cr_assert_eq(node.update.write, first + 1);
    node_persist_only(&node, first);
    cr_assert_eq(node.update.commit_index, 4);
    node_persist_only(&node, first + 1);
    cr_assert_eq(node.update.commit_index, 5);
}

Test(single, announces_what_its_workers_have_applied)
{
    single_lead();
    node_propose(&node, 3);
    node_persist(&node);
    cr_assert_eq(node.update.commit_index, 4);
    cr_assert_eq(node.update.announced_index, 1);
    node_apply(&node, 3);
    cr_assert_eq(node.update.announced_index, 3);
    cr_assert(node.update.board_changed);
}

Test(single, lease_begins_when_the_first_entry_is_applied_and_never_ends)
{
    node_load(&node, 1, 3);
    node_start(&node);
    node_persist(&node);
    node_persist(&node);
    cr_assert_eq(node.update.commit_index, 4);
    node_apply(&node, 3);
    cr_assert_eq(node.update.lease_end_ns, 0);
    node_apply(&node, 4);
    cr_assert_eq(node.update.lease_end_ns, RAFT_LEASE_FOREVER);
}

/* The maps of a worker that is rebuilt lack what clients were told. */
Test(single, has_no_lease_while_a_worker_is_rebuilt)
{
    single_lead();
    node_propose(&node, 3);
    node_persist(&node);
    node_apply(&node, 4);
    node_apply(&node, 2);
    cr_assert_eq(node.update.lease_end_ns, 0);
    cr_assert_eq(node.update.announced_index, 4);
    node_apply(&node, 4);
    cr_assert_eq(node.update.lease_end_ns, RAFT_LEASE_FOREVER);
}

Test(single, answers_a_read_at_once_with_what_is_committed)
{
    single_lead();
    node_propose(&node, 1);
    node_persist(&node);
    node_apply(&node, 2);
    node_read(&node, 77);
    cr_assert_eq(node.update.read_count, 1);
    cr_assert_eq(node.update.reads[0].id, 77);
    cr_assert_eq(node.update.reads[0].index, 2);
    cr_assert_not(node.update.reads[0].refused);
}

Test(single, read_before_the_first_commit_waits)
{
    node_start(&node);
    node_persist(&node);
    node_read(&node, 1);
    cr_assert_eq(node.update.read_count, 0);
    node_persist_only(&node, 2);
    cr_assert_eq(node.update.read_count, 1);
    cr_assert_eq(node.update.reads[0].index, 1);
}

Test(single, read_before_it_leads_is_refused)
{
    node_start(&node);
    node_read(&node, 1);
    cr_assert_eq(node.update.refusal, RAFT_REFUSED_NOT_LEADER);
    cr_assert_eq(node.update.read_count, 0);
}

/* No polling: an idle node must sleep. */
Test(single, needs_no_timer_when_it_leads)
{
    single_lead();
    cr_assert_eq(node.update.next_deadline_ns, RAFT_NEVER);
    node_propose(&node, 1);
    node_persist(&node);
    cr_assert_eq(node.update.next_deadline_ns, RAFT_NEVER);
}

Test(single, refuses_proposals_beyond_its_bound)
{
    node.options.uncommitted_bytes = 250;
    single_lead();
    node_propose(&node, 2);
    cr_assert_eq(node.update.refusal, RAFT_TAKEN);
    uint64_t write = node.update.write;
    node_propose(&node, 1);
    cr_assert_eq(node.update.refusal, RAFT_REFUSED_BUSY);
    cr_assert_eq(node.update.write, 0);
    node_persist_only(&node, write);
    node_propose(&node, 1);
    cr_assert_eq(node.update.refusal, RAFT_TAKEN);
}

Test(single, refuses_a_proposal_made_for_another_term)
{
    single_lead();
    uint32_t bytes = 10;
    struct raft_event event = {.kind = RAFT_EVENT_PROPOSE, .now_ns = node.now_ns};
    event.propose.count = 1;
    event.propose.bytes = &bytes;
    event.propose.term = node.update.term + 1;
    raft_step(node.raft, &event, &node.update);
    cr_assert_eq(node.update.refusal, RAFT_REFUSED_STALE_TERM);
    cr_assert_eq(node.update.append_kind, RAFT_APPEND_NONE);
}

Test(single, stops_at_once)
{
    single_lead();
    node_stop(&node);
    cr_assert(node.update.may_stop);
}

Test(single, leads_on_when_a_worker_is_down)
{
    single_lead();
    node_workers(&node, false);
    node_wait(&node, 5 * NODE_TIMEOUT_NS);
    cr_assert_eq(node.update.role, RAFT_LEADER);
}

Test(single, loads_an_overridden_record_as_overridden)
{
    node_load(&node, 1, 5);
    raft_free(&node.raft);
    node.options.term = 3;
    node.raft = raft_new(&node.options);
    for (uint64_t index = 1; index <= 5; index++)
        raft_load(node.raft, index, &(struct raft_entry){.term = 1});
    raft_load(node.raft, 3, &(struct raft_entry){.term = 2});
    cr_assert_eq(raft_last_index(node.raft), 3);
    cr_assert_eq(raft_term_at(node.raft, 2), 1);
    cr_assert_eq(raft_term_at(node.raft, 3), 2);
    cr_assert_eq(raft_term_at(node.raft, 4), 0);
}
