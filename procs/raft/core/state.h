/* state.h - the core's state and the functions that its files share. Private to core/.
 *
 * Layers, lower ones know nothing of higher ones:
 *   log quorum -> conf write send -> role -> lease progress ->
 *   append follow vote read transfer change snap -> step
 */
#ifndef INSI_RAFT_CORE_STATE_H
#define INSI_RAFT_CORE_STATE_H

#include <stddef.h>

#include "base/rng.h"
#include "procs/raft/core/log.h"
#include "procs/raft/core/raft.h"

#define RAFT_PARKED_MAX 1024 /* messages that wait for the disk; beyond: lost */

#define RAFT_PEERS_MAX (2ul * RAFT_MEMBERS_MAX) /* members, and those on their way out */

enum raft_peer_state {
    RAFT_PEER_PROBE,     /* where its log fits is not known: one APPEND at a time */
    RAFT_PEER_REPLICATE, /* APPENDs follow each other without waiting, up to the window */
    RAFT_PEER_SNAPSHOT   /* what it needs is cut off: the driver sends a snapshot */
};

struct raft_flight { /* an unanswered APPEND */
    uint64_t last_index;
    uint32_t bytes;
};

struct raft_peer { /* what a leader knows of another node */
    uint64_t id;
    bool voter;
    bool leaving; /* removed: still gets the log for a while, counts for nothing */
    uint64_t leaving_until_ns;
    enum raft_peer_state state;
    uint64_t match;             /* on its disk and equal to this log */
    uint64_t next;              /* to be sent next */
    bool probe_sent;            /* PROBE: waits for an answer, or for as long as a heartbeat */
    uint64_t reset_round;       /* when next was set back: older refusals are old news */
    bool must_send;             /* in this step, entries or not */
    uint64_t heard_ns;          /* its last answer in this term */
    uint64_t acked_round;       /* the newest round it answered ... */
    uint64_t acked_sent_ns;     /* ... and when that was sent */
    struct raft_flight *window; /* ring */
    uint32_t window_head, window_count, window_bytes;
    uint64_t catch_up_index, catch_up_since_ns; /* a learner's round (thesis 4.2.1) */
    bool caught_up;                             /* it did one within an election timeout */
};

struct raft_conf { /* a config and the entry it came from */
    uint64_t index;
    struct raft_config config;
};

struct raft_write { /* queued, not known to be durable */
    uint64_t number;
    uint64_t
        last_index; /* entries up to here are durable with it; lowered by truncation; 0: none */
    uint64_t since_ns;
};

struct raft_parked {
    uint64_t write; /* may leave when this is durable */
    struct raft_message message;
};

struct raft_question { /* a read that waits */
    uint64_t id;
    uint64_t from;     /* a peer's question at the leader; self: this node's own */
    uint64_t index;    /* leader: the commit index when its round began; 0: no round yet */
    uint64_t round;    /* leader: answers to this or a later round confirm it */
    uint64_t nonce;    /* follower: of the first READ that carried it; 0: not asked yet */
    uint64_t until_ns; /* then refused */
};

struct raft {
    struct raft_options options; /* defaults filled in */
    uint64_t self;
    struct rng rng;
    uint64_t now_ns;            /* of this step */
    struct raft_update *update; /* of this step */
    bool started, stopping, workers_ok;
    uint64_t workers_since_ns; /* when they went bad */
    enum raft_damage damage;

    uint64_t term, vote;
    enum raft_role role;
    uint64_t leader;

    struct raft_log log;
    uint64_t durable_index;    /* this node's log is on disk up to here */
    uint64_t commit_index;     /* known to be decided */
    uint64_t apply_index;      /* told to the driver: decided and durable here */
    uint64_t applied_index;    /* by all of this node's workers */
    uint64_t applied_floor;    /* by one of them at least, before it lost its map */
    uint64_t announced_index;  /* what clients anywhere may have been told of */
    uint64_t term_first_index; /* a leader's first entry of its term */
    uint64_t uncommitted_bytes;

    struct raft_write *writes; /* in order; the first writes_head are done */
    uint32_t writes_head, writes_count, writes_room;
    uint64_t write_last, write_durable;
    uint64_t term_write; /* the write that holds term and vote */

    struct raft_message *messages;
    uint32_t message_count, message_room;
    struct raft_parked *parked;
    uint32_t parked_count, parked_room;

    struct raft_conf *confs; /* ascending; the first is that of the base, the last is in effect */
    uint32_t conf_count, conf_room;
    uint64_t conf_changes; /* how often another one came into effect */

    uint64_t election_deadline_ns;
    bool stands;             /* it was a candidate since it knew of a leader last ... */
    uint32_t elections_lost; /* ... and before that so often in vain */
    uint64_t grace_until_ns; /* after a restart: no vote before */
    struct {                 /* to a leader: no vote for anybody else until then */
        uint64_t until_ns, to, term, round_floor;
    } promise;
    struct {
        uint64_t id;
        bool granted;
    } votes[RAFT_MEMBERS_MAX];
    uint32_t vote_count;

    struct raft_peer *peers; /* leader only */
    uint32_t peer_count;
    uint64_t round; /* one per step that sends APPENDs, from 1 in each term */
    bool round_begun;
    uint64_t round_floor;           /* earlier rounds count for no lease */
    uint64_t heartbeat_deadline_ns; /* put off by whatever else goes to all */
    uint64_t probe_deadline_ns;     /* put off by nothing */
    struct {
        uint64_t to;   /* RAFT_NONE: no transfer */
        uint64_t last; /* ... and whom the last one was to */
        uint64_t deadline_ns;
        bool sent;
    } transfer;
    uint64_t hand_over_after_ns; /* E8: no new try before */
    uint64_t lead_since_ns;      /* leader */

    struct raft_question *questions;
    uint32_t question_count;
    uint64_t read_round;     /* leader: the round that was begun for questions */
    uint64_t read_nonce;     /* follower: of the last READ */
    uint64_t read_retry_ns;  /* follower: ask again then */
    struct raft_read *reads; /* the step's answers */
    uint32_t read_count;

    uint64_t snapshot_index;
    bool installing;
    uint64_t snapshot_peers[RAFT_MEMBERS_MAX];

    struct { /* what the last update showed */
        enum raft_role role;
        uint64_t term, leader, lease, announced, conf_changes;
        bool config_committed;
    } shown;
    struct { /* the term and leader that raft_step_settle saw last */
        uint64_t term, leader;
    } settled;
};

/* ---- conf.c: who is a member ------------------------------------------------------------------
 */
const struct raft_conf *raft_conf(const struct raft *raft); /* in effect */
bool raft_conf_is_committed(const struct raft *raft);
const struct raft_member *raft_conf_find(const struct raft_config *config, uint64_t id);
bool raft_conf_is_voter(const struct raft *raft, uint64_t id);
bool raft_conf_may_stand(const struct raft *raft);
uint32_t raft_conf_voters(const struct raft_config *config);
bool raft_conf_is_sole_voter(const struct raft *raft);
bool raft_conf_is_valid(const struct raft_config *config);
void raft_conf_append(struct raft *raft, uint64_t index, const struct raft_config *config);
void raft_conf_truncate(struct raft *raft, uint64_t from);
void raft_conf_compact(struct raft *raft, uint64_t base);
void raft_conf_reset(struct raft *raft, uint64_t index, const struct raft_config *config);
const struct raft_conf *raft_conf_as_of(const struct raft *raft, uint64_t index);

/* ---- write.c: what is on the disk --------------------------------------------------------------
 */
void raft_write_hard_state(struct raft *raft, uint64_t term, uint64_t vote);
void raft_write_local(struct raft *raft, enum raft_append_kind kind, uint32_t count,
                      const uint32_t *bytes);
void raft_write_received(struct raft *raft, uint64_t first, const struct raft_entry *entries,
                         uint32_t count, uint32_t skip);
void raft_write_end(struct raft *raft); /* numbers the step's write */
bool raft_write_done(struct raft *raft, uint64_t number);
uint64_t raft_write_of(const struct raft *raft, uint64_t index); /* that makes index durable */
uint64_t raft_write_oldest_ns(const struct raft *raft);          /* RAFT_NEVER: none waits */

/* ---- send.c: what may leave --------------------------------------------------------------------
 */
void raft_send(struct raft *raft, struct raft_message *message, uint64_t after_write);
void raft_send_released(struct raft *raft);
void raft_send_forget(struct raft *raft); /* parked messages of a term that is over */
bool raft_send_acks(const struct raft *raft, uint64_t match); /* is such an ok parked? */

/* ---- role.c: becoming something ----------------------------------------------------------------
 */
void raft_role_follow(struct raft *raft, uint64_t term, uint64_t leader);
void raft_role_pre_candidate(struct raft *raft);
void raft_role_candidate(struct raft *raft);
void raft_role_leader(struct raft *raft);
void raft_role_restart_timer(struct raft *raft);
void raft_role_retry_soon(struct raft *raft);
void raft_role_elected(struct raft *raft);
void raft_role_lose_lease(struct raft *raft); /* now, and only newer rounds can earn another */

/* ---- lease.c: who still listens ----------------------------------------------------------------
 */
uint64_t raft_lease_end(const struct raft *raft); /* 0: none */
bool raft_lease_ready(const struct raft *raft);   /* this term's first entry is decided */
uint64_t raft_lease_confirmed_round(const struct raft *raft);
uint64_t raft_lease_quorum_heard_ns(const struct raft *raft);
uint32_t raft_lease_active_voters(const struct raft *raft, const struct raft_config *config);
bool raft_lease_is_active(const struct raft *raft, const struct raft_peer *peer);

/* ---- progress.c: peers at the leader -----------------------------------------------------------
 */
struct raft_peer *raft_peer_find(const struct raft *raft, uint64_t id);
void raft_peer_sync(struct raft *raft); /* after the config in effect changed */
void raft_peer_forget_all(struct raft *raft);
void raft_peer_probe(const struct raft *raft, struct raft_peer *peer, uint64_t next);
void raft_peer_replicate(struct raft_peer *peer);
void raft_peer_flight_add(struct raft *raft, struct raft_peer *peer, uint64_t last, uint32_t bytes);
void raft_peer_flight_done(struct raft *raft, struct raft_peer *peer, uint64_t match);
bool raft_peer_has_room(const struct raft *raft, const struct raft_peer *peer);
void raft_peer_catch_up(struct raft *raft, struct raft_peer *peer);

/* ---- append.c, follow.c: the log, at the leader and at followers -------------------------------
 */
void raft_append_wake_all(struct raft *raft); /* every peer gets an APPEND in this step */
void raft_append_flush(struct raft *raft);
void raft_append_advance_commit(struct raft *raft);
void raft_append_on_propose(struct raft *raft, const struct raft_event *event);
int raft_append_on_reply(struct raft *raft, const struct raft_message *message);
int raft_follow_on_append(struct raft *raft, const struct raft_message *message);
void raft_follow_hear(struct raft *raft, uint64_t leader, uint64_t term, uint64_t round_floor);

/* ---- vote.c ------------------------------------------------------------------------------------
 */
void raft_vote_stand(struct raft *raft); /* pre-vote, or the election itself for a sole voter */
void raft_vote_on_persisted(struct raft *raft);
void raft_vote_on_request(struct raft *raft, const struct raft_message *message);
void raft_vote_on_reply(struct raft *raft, const struct raft_message *message);
void raft_vote_on_timeout_now(struct raft *raft, const struct raft_message *message);

/* ---- read.c ------------------------------------------------------------------------------------
 */
void raft_read_on_question(struct raft *raft, uint64_t id);
void raft_read_on_message(struct raft *raft, const struct raft_message *message);
void raft_read_on_reply(struct raft *raft, const struct raft_message *message);
void raft_read_refuse_all(struct raft *raft);
void raft_read_serve(struct raft *raft); /* answers what can be answered, asks for the rest */

/* ---- transfer.c, change.c, snap.c --------------------------------------------------------------
 */
enum raft_refusal raft_transfer_begin(struct raft *raft, uint64_t to);
void raft_transfer_serve(struct raft *raft);
void raft_transfer_end(struct raft *raft, enum raft_transfer_result result);
void raft_transfer_hand_over(struct raft *raft); /* E8 */
void raft_change_on_event(struct raft *raft, enum raft_change_kind kind, uint64_t id);
void raft_change_serve(struct raft *raft); /* promotes learners; a removed leader goes */
void raft_snap_on_made(struct raft *raft, uint64_t index, uint64_t floor_index);
void raft_snap_on_sent(struct raft *raft, const struct raft_event *event);
int raft_snap_on_received(struct raft *raft, const struct raft_event *event);
void raft_snap_on_installed(struct raft *raft, uint64_t index);
void raft_snap_want(struct raft *raft, struct raft_peer *peer);

/* ---- check.c -----------------------------------------------------------------------------------
 */
bool raft_check_message(const struct raft *raft, const struct raft_message *message);
void raft_check_state(const struct raft *raft);

#endif
