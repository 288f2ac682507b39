/* friend.h - node1 of the rig's configuration, played by the test: it speaks to the real insi-raft
 * over a real connection, as whatever the test wants it to be. */
#ifndef INSI_TESTS_UNIT_RAFT_FRIEND_H
#define INSI_TESTS_UNIT_RAFT_FRIEND_H

#include "ipc/entry.h"
#include "procs/raft/peers/peer_cluster.h"
#include "procs/raft/peers/peers.h"
#include "tests/unit/raft/rig.h"

#define FRIEND_ID 1001 /* raft id */

struct friend
{
    struct loop *loop;
    struct peers *peers;
    struct peer *node; /* node0, once it was met */
    /* what it heard */
    unsigned joins, invites, forwards, clock_asks, status_asks, changes, disks, votes;
    unsigned replies, appends, timeouts, join_answers;
    bool has_log; /* of the last JOIN */
    enum peer_verdict verdict;
    enum peer_invited invited;
    uint64_t forward_term, forward_sequence;
    unsigned reads, forwards_refused, agains, clock_answers;
    uint64_t refused_error;
    struct peer_clock clock;
    uint64_t status_id, change_id, asked_ns, read_id;
    struct raft_message reply, append; /* the last ones; append without entries */
    uint64_t last_index;               /* that node0 has as a follower, says its last reply */
    uint64_t log_index, log_term;      /* of the last entry that was told to it */
    /* what it says by itself */
    bool answers_joins;
    struct peer_join_answer join_answer;
    bool answers_appends; /* with all of it */
};

extern struct friend friend_node;

/* cluster: a byte that fills its id; 0: of none. */
void friend_open(uint8_t cluster);
void friend_open_as(uint8_t cluster, uint64_t raft_id);
void friend_close(void);
void friend_set_cluster(const uint8_t cluster[WAL_CLUSTER_BYTES]);
void friend_turn(void);
bool friend_is_up(void); /* it can speak to node0 */

/* Starts a message to node0, which must be up. */
struct pack *friend_begin(enum peer_message number);
void friend_end(void);

void friend_say_join(bool has_log);
/* As a node does that wants to join: again and again, until node0, which may not reach it yet, has
 * answered. */
void friend_join(bool has_log);
/* As the leader of this term: a heartbeat that announces commit. */
void friend_lead(uint64_t term, uint64_t commit);
/* Likewise, with one more entry. */
void friend_append(uint64_t term, enum wal_entry_kind kind, struct slice payload, uint64_t commit);
void friend_answer_read(uint64_t term, uint64_t index); /* the last READ */
/* An entry that says that node0 (with its id) and this node are the voters; without: only this. */
void friend_append_config(uint64_t term, bool with_node0);
/* A command for a worker, of the rig's session. */
void friend_append_command(uint64_t term, uint64_t sequence, uint64_t stamp_ms, uint64_t commit);

#define FRIEND_WAIT(condition)                                                                     \
    do {                                                                                           \
        uint64_t end_ms_ = clock_boot_ms() + 30000;                                                \
        while (!(condition)) {                                                                     \
            cr_assert_lt(clock_boot_ms(), end_ms_, "waited in vain: %s", #condition);              \
            friend_turn();                                                                         \
        }                                                                                          \
    } while (0)

#endif
