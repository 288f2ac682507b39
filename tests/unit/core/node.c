/* node.c - one core under test, driven by hand. */
#include "tests/unit/core/node.h"

#include <criterion/criterion.h>

void node_new(struct node *node, uint32_t count)
{
    *node = (struct node){.now_ns = 5 * NODE_TIMEOUT_NS};
    node->options = (struct raft_options){
        .self = 1,
        .seed = 42,
        .election_timeout_ns = NODE_TIMEOUT_NS,
        .heartbeat_ns = NODE_HEARTBEAT_NS,
        .first_start = true,
    };
    node->options.config.count = count;
    for (uint32_t i = 0; i < count; i++)
        node->options.config.members[i] = (struct raft_member){.id = i + 1, .voter = true};
}

static void node_make(struct node *node)
{
    if (!node->raft)
        node->raft = raft_new(&node->options);
}

void node_free(struct node *node)
{
    raft_free(&node->raft);
}

void node_load(struct node *node, uint64_t term, uint32_t count)
{
    if (node->options.term < term)
        node->options.term = term;
    node_make(node);
    struct raft_entry entry = {.term = term, .bytes = 100};
    for (uint32_t i = 0; i < count; i++)
        raft_load(node->raft, raft_last_index(node->raft) + 1, &entry);
}

static int node_step(struct node *node, struct raft_event *event)
{
    event->now_ns = node->now_ns;
    return raft_step(node->raft, event, &node->update);
}

void node_start(struct node *node)
{
    node_make(node);
    node_step(node, &(struct raft_event){.kind = RAFT_EVENT_START});
}

void node_wait(struct node *node, uint64_t ns)
{
    node->now_ns += ns;
    node_step(node, &(struct raft_event){.kind = RAFT_EVENT_TIME});
}

int node_receive(struct node *node, const struct raft_message *message)
{
    return node_step(node, &(struct raft_event){.kind = RAFT_EVENT_RECEIVE, .message = message});
}

void node_propose(struct node *node, uint32_t count)
{
    uint32_t bytes[64];
    cr_assert_leq(count, 64);
    for (uint32_t i = 0; i < count; i++)
        bytes[i] = 100;
    struct raft_event event = {.kind = RAFT_EVENT_PROPOSE};
    event.propose.count = count;
    event.propose.bytes = bytes;
    node_step(node, &event);
}

void node_persist_only(struct node *node, uint64_t write)
{
    node_step(node, &(struct raft_event){.kind = RAFT_EVENT_PERSISTED, .write = write});
}

void node_persist(struct node *node)
{
    cr_assert_neq(node->update.write, 0, "nothing was written");
    node_persist_only(node, node->update.write);
}

void node_apply(struct node *node, uint64_t index)
{
    node_step(node, &(struct raft_event){.kind = RAFT_EVENT_APPLIED, .applied_index = index});
}

void node_read(struct node *node, uint64_t id)
{
    node_step(node, &(struct raft_event){.kind = RAFT_EVENT_READ, .read_id = id});
}

void node_transfer(struct node *node, uint64_t to)
{
    node_step(node, &(struct raft_event){.kind = RAFT_EVENT_TRANSFER, .transfer_to = to});
}

void node_change(struct node *node, enum raft_change_kind kind, uint64_t id)
{
    struct raft_event event = {.kind = RAFT_EVENT_CHANGE};
    event.change.kind = kind;
    event.change.id = id;
    node_step(node, &event);
}

void node_workers(struct node *node, bool ok)
{
    node_step(node, &(struct raft_event){.kind = RAFT_EVENT_WORKERS, .workers_ok = ok});
}

void node_stop(struct node *node)
{
    node_step(node, &(struct raft_event){.kind = RAFT_EVENT_STOP});
}

static void node_answer_votes(struct node *node, bool pre, uint64_t asked_term)
{
    const struct raft_config *config = node->update.config;
    uint32_t count = config->count;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t id = node->options.config.members[i].id;
        if (id == 1 || node->update.role == RAFT_LEADER)
            continue;
        struct raft_message reply =
            node_message(RAFT_MESSAGE_VOTE_REPLY, id, pre ? asked_term - 1 : asked_term);
        reply.vote_reply.pre = pre;
        reply.vote_reply.granted = true;
        reply.vote_reply.asked_term = asked_term;
        node_receive(node, &reply);
        if (pre && node->update.role == RAFT_CANDIDATE)
            return;
    }
}

void node_lead(struct node *node)
{
    node_wait(node, 2 * NODE_TIMEOUT_NS);
    cr_assert_eq(node->update.role, RAFT_PRE_CANDIDATE);
    node_answer_votes(node, true, node->update.term + 1);
    cr_assert_eq(node->update.role, RAFT_CANDIDATE);
    node_persist(node);
    node_answer_votes(node, false, node->update.term);
    cr_assert_eq(node->update.role, RAFT_LEADER);
    uint64_t first = node->update.append_last;
    node_persist(node);
    uint32_t count = node->options.config.count;
    for (uint32_t id = 2; id <= count; id++)
        node_ack(node, id, first);
    cr_assert_eq(node->update.commit_index, first);
    node_apply(node, first);
}

const struct raft_message *node_sent(const struct node *node, enum raft_message_kind kind,
                                     uint64_t to)
{
    const struct raft_message *found = NULL;
    for (uint32_t i = 0; i < node->update.message_count; i++) {
        const struct raft_message *message = &node->update.messages[i];
        if (message->kind != kind || message->to != to)
            continue;
        cr_assert_null(found, "more than one such message");
        found = message;
    }
    cr_assert_not_null(found, "no such message");
    return found;
}

uint32_t node_count_sent(const struct node *node, enum raft_message_kind kind)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < node->update.message_count; i++)
        count += node->update.messages[i].kind == kind;
    return count;
}

struct raft_message node_message(enum raft_message_kind kind, uint64_t from, uint64_t term)
{
    return (struct raft_message){.kind = kind, .from = from, .to = 1, .term = term};
}

struct raft_message node_append(uint64_t from, uint64_t term, uint64_t prev_index,
                                uint64_t prev_term, const struct raft_entry *entries,
                                uint32_t count, uint64_t commit)
{
    struct raft_message message = node_message(RAFT_MESSAGE_APPEND, from, term);
    message.append.prev_index = prev_index;
    message.append.prev_term = prev_term;
    message.append.entries = entries;
    message.append.count = count;
    message.append.last_term = count > 0 ? entries[count - 1].term : prev_term;
    message.append.commit = commit;
    message.append.round = 1;
    message.append.round_floor = 1;
    return message;
}

struct raft_message node_vote(uint64_t from, uint64_t term, uint64_t last_index, uint64_t last_term)
{
    struct raft_message message = node_message(RAFT_MESSAGE_VOTE, from, term);
    message.vote.asked_term = term;
    message.vote.last_index = last_index;
    message.vote.last_term = last_term;
    return message;
}

void node_ack(struct node *node, uint64_t from, uint64_t match)
{
    /* what a heartbeat asks now is what the peer answers at once */
    node_wait(node, NODE_HEARTBEAT_NS);
    uint64_t round = 0;
    for (uint32_t i = 0; i < node->update.message_count; i++)
        if (node->update.messages[i].kind == RAFT_MESSAGE_APPEND)
            round = node->update.messages[i].append.round;
    struct raft_message reply = node_message(RAFT_MESSAGE_APPEND_REPLY, from, node->update.term);
    reply.append_reply.ok = true;
    reply.append_reply.match = match;
    reply.append_reply.round = round;
    reply.append_reply.sent_ns = node->now_ns;
    cr_assert_eq(node_receive(node, &reply), 0);
}
