/* friend.c - see friend.h. */
#include "tests/unit/raft/friend.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "procs/raft/peers/peer_append.h"

struct friend friend_node;

/* ---- what it hears ----------------------------------------------------------------------------
 */

static void friend_answer_join(void)
{
    if (!friend_node.answers_joins || !friend_is_up())
        return;
    peer_join_answer_pack(friend_begin(PEER_JOIN_ANSWER), &friend_node.join_answer);
    friend_end();
}

static void friend_on_append(struct unpack *body)
{
    struct peer_append append = {0};
    cr_assert_eq(peer_append_decode(&append, body), 0);
    friend_node.append = append.message;
    friend_node.appends++;
    if (friend_node.answers_appends && friend_is_up()) {
        struct raft_message reply = {.kind = RAFT_MESSAGE_APPEND_REPLY,
                                     .term = append.message.term};
        reply.append_reply.ok = true;
        reply.append_reply.match = append.message.append.prev_index + append.message.append.count;
        reply.append_reply.prev_index = append.message.append.prev_index;
        reply.append_reply.round = append.message.append.round;
        reply.append_reply.sent_ns = append.message.append.sent_ns;
        peer_raft_pack(friend_begin(PEER_APPEND_REPLY), &reply);
        friend_end();
    }
    peer_append_fini(&append);
}

static void friend_on_reply(struct unpack *body)
{
    cr_assert_eq(peer_raft_decode(&friend_node.reply, PEER_APPEND_REPLY, body), 0);
    friend_node.replies++;
    if (friend_node.reply.append_reply.ok)
        friend_node.last_index = friend_node.reply.append_reply.match;
}

static void friend_on_forward(struct unpack *body)
{
    struct peer_forward forward;
    struct entry entry;
    cr_assert_eq(peer_forward_decode(&forward, body), 0);
    cr_assert_eq(entry_decode(&entry, forward.entry), 0);
    friend_node.forwards++;
    friend_node.forward_term = forward.term;
    friend_node.forward_sequence = entry.sequence;
}

static void friend_on_operator(enum peer_message number, struct unpack *body)
{
    struct msg_change change;
    if (number == PEER_STATUS_ASK) {
        cr_assert_eq(peer_id_decode(&friend_node.status_id, body), 0);
        friend_node.status_asks++;
        return;
    }
    cr_assert_eq(peer_change_decode(&change, body), 0);
    friend_node.change_id = change.id;
    friend_node.changes++;
}

static void friend_on_join(enum peer_message number, struct unpack *body)
{
    struct peer_join_answer answer;
    switch (number) {
    case PEER_JOIN:
        cr_assert_eq(peer_join_decode(&friend_node.has_log, body), 0);
        friend_node.joins++;
        friend_answer_join();
        break;
    case PEER_JOIN_ANSWER:
        cr_assert_eq(peer_join_answer_decode(&answer, body), 0);
        friend_node.verdict = answer.verdict;
        friend_node.join_answers++;
        memcpy(friend_node.join_answer.cluster, answer.cluster, sizeof(answer.cluster));
        break;
    case PEER_INVITE:
        friend_node.invites++;
        break;
    default:
        cr_assert_eq(peer_invite_answer_decode(&friend_node.invited, body), 0);
        friend_node.invites++;
    }
}

static void friend_on_message(void *arg, struct peer *from, enum peer_message number,
                              struct unpack *body)
{
    struct raft_message other;
    struct peer_forward_refused refused;
    bool is_full;
    (void)arg;
    (void)from;
    switch (number) {
    case PEER_APPEND:
        friend_on_append(body);
        break;
    case PEER_APPEND_REPLY:
        friend_on_reply(body);
        break;
    case PEER_VOTE:
        cr_assert_eq(peer_raft_decode(&other, number, body), 0);
        friend_node.votes++;
        break;
    case PEER_TIMEOUT_NOW:
        cr_assert_eq(peer_raft_decode(&other, number, body), 0);
        friend_node.timeouts++;
        break;
    case PEER_FORWARD:
        friend_on_forward(body);
        break;
    case PEER_READ:
        cr_assert_eq(peer_raft_decode(&other, number, body), 0);
        friend_node.reads++;
        friend_node.read_id = other.read.id;
        break;
    case PEER_FORWARD_REFUSED:
        cr_assert_eq(peer_forward_refused_decode(&refused, body), 0);
        friend_node.forwards_refused++;
        friend_node.refused_error = refused.error;
        break;
    case PEER_FORWARD_AGAIN:
        friend_node.agains++;
        break;
    case PEER_CLOCK_ANSWER:
        cr_assert_eq(peer_clock_answer_decode(&friend_node.clock, body), 0);
        friend_node.clock_answers++;
        break;
    case PEER_CLOCK_ASK:
        cr_assert_eq(peer_id_decode(&friend_node.asked_ns, body), 0);
        friend_node.clock_asks++;
        break;
    case PEER_DISK:
        cr_assert_eq(peer_disk_decode(&is_full, body), 0);
        friend_node.disks++;
        break;
    case PEER_STATUS_ASK:
    case PEER_CHANGE:
        friend_on_operator(number, body);
        break;
    case PEER_JOIN:
    case PEER_JOIN_ANSWER:
    case PEER_INVITE:
    case PEER_INVITE_ANSWER:
        friend_on_join(number, body);
        break;
    default:
        body->at = body->end; /* snapshots are other tests' business */
    }
}

static void friend_on_peer(void *arg, struct peer *peer)
{
    (void)arg;
    friend_node.node = peer;
}

/* ---- life -------------------------------------------------------------------------------------
 */

void friend_open_as(uint8_t cluster, uint64_t raft_id)
{
    struct peers_options options = {.config = &rig.config,
                                    .node = "node1",
                                    .raft_id = raft_id,
                                    .start_id = clock_boot_ns(),
                                    .hooks = {.up = friend_on_peer,
                                              .down = friend_on_peer,
                                              .heard = friend_on_peer,
                                              .message = friend_on_message}};
    signal(SIGPIPE, SIG_IGN);
    memset(options.cluster, cluster, sizeof(options.cluster));
    friend_node.loop = loop_new();
    cr_assert_eq(peers_new(&friend_node.peers, &options, friend_node.loop), 0);
    peers_listen(friend_node.peers);
    peers_seek(friend_node.peers, true);
}

void friend_open(uint8_t cluster)
{
    friend_open_as(cluster, FRIEND_ID);
}

void friend_set_cluster(const uint8_t cluster[WAL_CLUSTER_BYTES])
{
    peers_set_cluster(friend_node.peers, cluster);
}

void friend_close(void)
{
    if (!friend_node.loop)
        return;
    peers_free(&friend_node.peers);
    loop_free(&friend_node.loop);
    friend_node.node = NULL;
}

static void friend_stop(void *arg)
{
    loop_stop(arg);
}

void friend_turn(void)
{
    struct loop_timer timer = {.fire = friend_stop, .arg = friend_node.loop};
    rig_turn(1);
    if (!friend_node.loop)
        return;
    peers_flush(friend_node.peers);
    loop_timer_set(friend_node.loop, &timer, clock_boot_ns() + NS_PER_MS);
    loop_run(friend_node.loop);
    peers_flush(friend_node.peers);
}

bool friend_is_up(void)
{
    return friend_node.node && peer_info(friend_node.node)->is_up;
}

/* ---- what it says -----------------------------------------------------------------------------
 */

struct pack *friend_begin(enum peer_message number)
{
    struct pack *pack;
    cr_assert_eq(peer_begin(friend_node.node, number, &pack), 0);
    return pack;
}

void friend_end(void)
{
    peer_end(friend_node.node);
}

void friend_say_join(bool has_log)
{
    peer_join_pack(friend_begin(PEER_JOIN), has_log);
    friend_end();
}

void friend_join(bool has_log)
{
    const unsigned answers = friend_node.join_answers;
    uint64_t next_ms = 0, end_ms = clock_boot_ms() + 30000;
    while (friend_node.join_answers == answers) {
        cr_assert_lt(clock_boot_ms(), end_ms, "nobody answers a JOIN");
        if (clock_boot_ms() >= next_ms && friend_is_up()) {
            friend_say_join(has_log);
            next_ms = clock_boot_ms() + 250;
        }
        friend_turn();
    }
}

/* As peer_append_pack does, without a log. */
static struct pack *friend_begin_append(uint64_t term, uint64_t last_term, uint64_t commit,
                                        uint32_t count)
{
    static uint64_t round;
    struct pack *pack = friend_begin(PEER_APPEND);
    pack_u64(pack, term);
    pack_u64(pack, friend_node.log_index);
    pack_u64(pack, friend_node.log_term);
    pack_u64(pack, last_term);
    pack_u64(pack, commit);
    pack_u64(pack, 0); /* match */
    pack_u64(pack, ++round);
    pack_u64(pack, clock_boot_ns());
    pack_u64(pack, 0); /* round floor */
    pack_array(pack, count);
    return pack;
}

void friend_lead(uint64_t term, uint64_t commit)
{
    friend_begin_append(term, friend_node.log_term, commit, 0);
    friend_end();
}

void friend_append(uint64_t term, enum wal_entry_kind kind, struct slice payload, uint64_t commit)
{
    struct pack *pack = friend_begin_append(term, term, commit, 1);
    pack_array(pack, 3);
    pack_u64(pack, term);
    pack_u64(pack, (uint64_t)kind);
    pack_bytes(pack, payload);
    friend_end();
    friend_node.log_index++;
    friend_node.log_term = term;
}

static void friend_add_member(struct members *members, uint64_t id, const char *name)
{
    uint32_t at = members->count++;
    if (at > 0 && members->list[at - 1].id > id) {
        members->list[at] = members->list[at - 1];
        at--;
    }
    struct member *member = &members->list[at];
    *member = (struct member){.id = id, .voter = true};
    snprintf(member->name, sizeof(member->name), "%s", name);
    snprintf(member->raft_address, sizeof(member->raft_address), "127.0.0.1:%u",
             strcmp(name, "node0") == 0 ? rig.port : rig.other_port);
    snprintf(member->http_address, sizeof(member->http_address), "127.0.0.1:1");
}

void friend_answer_read(uint64_t term, uint64_t index)
{
    const struct raft_message reply = {
        .kind = RAFT_MESSAGE_READ_REPLY, .term = term, .read_reply = {friend_node.read_id, index}};
    peer_raft_pack(friend_begin(PEER_READ_REPLY), &reply);
    friend_end();
}

void friend_append_config(uint64_t term, bool with_node0)
{
    struct members *members = mem_alloc(sizeof(*members));
    struct buf out;
    friend_add_member(members, FRIEND_ID, "node1");
    if (with_node0)
        friend_add_member(members, peer_info(friend_node.node)->id, "node0");
    buf_init(&out, MEMBERS_BYTES);
    cr_assert_eq(members_encode(&out, members), 0);
    friend_append(term, WAL_CONFIG, buf_slice(&out), friend_node.log_index + 1);
    buf_fini(&out);
    free(members);
}

void friend_append_command(uint64_t term, uint64_t sequence, uint64_t stamp_ms, uint64_t commit)
{
    struct buf out;
    const struct entry entry = {.stamp_ms = stamp_ms,
                                .session = RIG_SESSION,
                                .sequence = sequence,
                                .part_count = 1,
                                .parts = {{PROC_STORAGE, slice_text("a command")}}};
    buf_init(&out, LIMIT_ENTRY_BYTES);
    cr_assert_eq(entry_encode(&out, &entry), 0);
    friend_append(term, WAL_COMMAND, buf_slice(&out), commit);
    buf_fini(&out);
}
