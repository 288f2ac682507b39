/* raft.h - the Raft core: a pure state machine.
 *
 *     raft_step(raft, event, update)
 *
 * An event goes in, an update comes out. No I/O, no clock, no threads, no payloads: the core knows
 * entries by index, term and size; their bytes stay with the driver (procs/raft), which feeds
 * events and carries out updates. Time comes with every event, randomness from the seed. It
 * includes nothing but base/. docs/raft.md says which rule lives where; "thesis" is Ongaro 2014.
 *
 * THE DRIVER'S DUTIES, in this order, before the next step:
 *
 *   1. drop_lease   take the lease off the board, full fence, before anything else.
 *   2. write != 0   queue ONE write: first term and vote (if hard_state_changed), then the entries
 *                   append_first..append_last. What the log held at or above append_first is
 *                   overridden. When it and all earlier writes are on the disk: PERSISTED(write).
 *   3. board        if board_changed: term, role, leader, lease_end_ns, announced_index.
 *   4. messages     send all. What must wait for a write was kept back by the core and comes out of
 *                   the step that reports the write (I1), so nothing here waits for anything. A
 *                   leader's APPEND may thus overtake its own write (thesis 10.2.1).
 *   5. commit_index entries up to here are decided and durable here: hand them to the workers, and
 *                   say APPLIED when all of them have applied.
 *   6. the rest     answers to reads, refusals, snapshots to send or install, results.
 *
 * Every pointer in an update belongs to the core and is valid until the next step. Messages may be
 * lost, repeated, delayed and reordered; order and few losses make it fast.
 *
 * What is refused was not done. Proposals, changes and reads that find no leader come back refused:
 * the driver keeps them and asks again when the leader changes. An entry that was taken commits or
 * is overridden: it is decided when commit_index reaches it and raft_term_at still says its term.
 */
#ifndef INSI_RAFT_CORE_RAFT_H
#define INSI_RAFT_CORE_RAFT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"

#define RAFT_NONE 0ull                /* no node, no vote, no index, no write */
#define RAFT_LEASE_FOREVER UINT64_MAX /* a group of one voter: nobody else can lead */
#define RAFT_NEVER UINT64_MAX         /* next_deadline_ns: no need to hear the time */
#define RAFT_MEMBERS_MAX LIMIT_NODES
#define RAFT_READS_MAX 4096 /* questions waiting; beyond: refused */

/* ---- members ----------------------------------------------------------------------------------
 */

struct raft_member {
    uint64_t id; /* random, given once, never used again, not 0 */
    bool voter;  /* false: learner, gets the log and counts for nothing */
};

struct raft_config { /* the whole membership; a config entry's payload carries all of it */
    uint32_t count;
    struct raft_member members[RAFT_MEMBERS_MAX]; /* by id, ascending */
};

enum raft_change_kind {
    RAFT_CHANGE_ADD,     /* a learner; the leader promotes it by itself when it has caught up */
    RAFT_CHANGE_PROMOTE, /* now, if it has caught up (thesis 4.2.1) */
    RAFT_CHANGE_REMOVE,
    RAFT_CHANGE_RENEW /* the same members again: a new address in the payload */
};

/* ---- start ------------------------------------------------------------------------------------
 */

enum raft_reads { RAFT_READS_LEASE, RAFT_READS_INDEX };

struct raft_options {
    uint64_t self;
    uint64_t seed;                /* differs per node and start */
    uint64_t election_timeout_ns; /* T: a voter keeps its promise to a leader so long; elections
                                     start after T to 1.5 T of silence */
    uint64_t heartbeat_ns;
    uint32_t drift_percent; /* a lease is T less so much (L1); 0 means 10 */
    enum raft_reads reads;
    bool first_start;      /* this node has never run before: it can have promised nothing (L5) */
    bool manual_promotion; /* learners stay learners until CHANGE_PROMOTE */

    /* bounds; 0 means the default in parentheses */
    uint32_t append_entries;    /* of one APPEND (1024) */
    uint32_t append_bytes;      /* of one APPEND; one entry may be larger (1 MiB) */
    uint32_t window_messages;   /* unanswered APPENDs per peer (64) */
    uint32_t window_bytes;      /* and their bytes (16 MiB) */
    uint64_t uncommitted_bytes; /* of proposals; beyond: RAFT_REFUSED_BUSY (64 MiB) */
    uint32_t promote_lag;       /* entries that a caught-up learner may lack (256) */

    /* what the disk holds */
    uint64_t term, vote;
    uint64_t base_index, base_term; /* the log begins behind it: 0, 0 or that of a snapshot */
    uint64_t snapshot_index;        /* the newest snapshot, at or above base_index */
    struct raft_config config;      /* as of base_index. Bootstrap: this node, a voter, on an empty
                                       log. Joining: count 0 */
    uint64_t config_index;          /* the entry it came from; 0: none */
};

/* ---- entries ----------------------------------------------------------------------------------
 */

struct raft_entry {
    uint64_t term;
    uint32_t bytes;                   /* of the payload, for windows and bounds */
    const struct raft_config *config; /* what a config entry says; NULL: not a config entry */
};

/* ---- messages ---------------------------------------------------------------------------------
 */

enum raft_message_kind {
    RAFT_MESSAGE_VOTE, /* and pre-vote */
    RAFT_MESSAGE_VOTE_REPLY,
    RAFT_MESSAGE_APPEND, /* entries, heartbeat and announced commit in one */
    RAFT_MESSAGE_APPEND_REPLY,
    RAFT_MESSAGE_TIMEOUT_NOW, /* stand for election at once (transfer) */
    RAFT_MESSAGE_READ,        /* a read index, please */
    RAFT_MESSAGE_READ_REPLY
};
#define RAFT_MESSAGE_KINDS 7

struct raft_message { /* every field but APPEND's entries goes over the wire as it is */
    enum raft_message_kind kind;
    uint64_t from, to;
    uint64_t term; /* the sender's */
    union {
        struct {
            bool pre;      /* only asks how a vote would go; changes nothing at the voter (E1) */
            bool transfer; /* by TIMEOUT_NOW: the leader has given up its lease for this */
            uint64_t transfer_term, transfer_round; /* of that TIMEOUT_NOW */
            uint64_t asked_term;                    /* the term to lead */
            uint64_t last_index, last_term;
        } vote;
        struct {
            bool pre, granted;
            uint64_t asked_term; /* as asked */
        } vote_reply;
        struct {
            uint64_t prev_index, prev_term;
            uint64_t last_term; /* of entry prev_index + count: when the driver reads the entries
                                   later than in this step and finds another term there, the log was
                                   overridden, and the message is to be dropped */
            uint32_t count;     /* entries prev_index + 1 ..., payloads from the driver */
            const struct raft_entry *entries; /* RECEIVE: count of them. In an update: NULL */
            uint64_t commit;         /* announced: all of the leader's workers have it (I3) */
            uint64_t match;          /* what the leader knows you to have on disk */
            uint64_t round, sent_ns; /* answered as they are: lease and read index */
            uint64_t round_floor;    /* answers to earlier rounds no longer count */
        } append;
        struct {
            bool ok;
            bool busy;           /* not ok, but not for the log's sake: a snapshot is installed,
                                    or the APPEND is of a term that is over */
            uint64_t match;      /* ok: on this node's disk and equal to the leader's log */
            uint64_t prev_index; /* not ok: the one that did not fit */
            uint64_t hint_index; /* not ok: nothing above can fit ... */
            uint64_t hint_term;  /* ... nor at it, with a later term than this */
            uint64_t round, sent_ns;
        } append_reply;
        struct {
            uint64_t round;
        } timeout_now;
        struct {
            uint64_t id;
        } read;
        struct {
            uint64_t id, index;
        } read_reply;
    };
};

/* ---- events -----------------------------------------------------------------------------------
 */

enum raft_event_kind {
    RAFT_EVENT_START,     /* once, first, after the raft_load calls */
    RAFT_EVENT_TIME,      /* nothing but the time: next_deadline_ns has come */
    RAFT_EVENT_RECEIVE,   /* a message of a peer, of this cluster and authenticated */
    RAFT_EVENT_PROPOSE,   /* entries; all taken or all refused */
    RAFT_EVENT_PERSISTED, /* the write of this number and all before it are on the disk */
    RAFT_EVENT_APPLIED,   /* all workers of this node have applied up to index, at most the log's
                             last; it may step back (a worker that is rebuilt): no lease then until
                             all that was handed out before is applied again */
    RAFT_EVENT_READ,      /* a read index, please; one question may stand for many reads */
    RAFT_EVENT_TRANSFER,  /* hand leadership to a voter; RAFT_NONE: to the best one */
    RAFT_EVENT_CHANGE,    /* membership; one at a time */
    RAFT_EVENT_SNAPSHOT_MADE,      /* a local snapshot is on the disk, and the log may be cut */
    RAFT_EVENT_SNAPSHOT_SENT,      /* what snapshot_peers asked for has ended, well or not */
    RAFT_EVENT_SNAPSHOT_RECEIVED,  /* complete and verified, not yet installed */
    RAFT_EVENT_SNAPSHOT_INSTALLED, /* the update's install is durable */
    RAFT_EVENT_PEER,               /* the link to a peer came up or went down */
    RAFT_EVENT_WORKERS,            /* all workers run, or one is down or stalled (E8) */
    RAFT_EVENT_STOP                /* a planned stop: a leader hands over first */
};

struct raft_event {
    enum raft_event_kind kind;
    uint64_t now_ns; /* CLOCK_BOOTTIME; never before that of the last event */
    union {
        const struct raft_message *message; /* RECEIVE; borrowed for the step */
        struct {
            uint32_t count;        /* > 0 */
            const uint32_t *bytes; /* payload size of each */
            uint64_t term;         /* the term it was made for, 0: any (M6) */
        } propose;
        uint64_t write;         /* PERSISTED */
        uint64_t applied_index; /* APPLIED */
        uint64_t read_id;       /* READ; the driver's own, unique while it waits */
        uint64_t transfer_to;   /* TRANSFER */
        struct {
            enum raft_change_kind kind;
            uint64_t id;
        } change;
        struct {
            uint64_t index;       /* applied here */
            uint64_t floor_index; /* <= index: the log is cut up to here, and only here */
        } snapshot_made;
        struct {
            uint64_t peer, index;
            bool ok;
        } snapshot_sent;
        struct {
            uint64_t from, leader_term; /* of the stream */
            uint64_t index, term;
            const struct raft_config *config; /* as of index */
            uint64_t config_index;
        } snapshot_received;
        uint64_t installed_index; /* SNAPSHOT_INSTALLED */
        struct {
            uint64_t id;
            bool up;
        } peer;
        bool workers_ok; /* WORKERS */
    };
};

/* ---- updates ----------------------------------------------------------------------------------
 */

enum raft_role { RAFT_FOLLOWER, RAFT_PRE_CANDIDATE, RAFT_CANDIDATE, RAFT_LEADER };

enum raft_append_kind {
    RAFT_APPEND_NONE,
    RAFT_APPEND_PROPOSED, /* the PROPOSE event's entries, in order, all of the update's term */
    RAFT_APPEND_EMPTY,    /* a new leader's first entry: no payload (G4) */
    RAFT_APPEND_CONFIG,   /* update.config, encoded by the driver (also as a leader's first entry on
                             a log without any, and unasked when a learner is promoted) */
    RAFT_APPEND_RECEIVED  /* the message's entries from number append_skip on, with their terms */
};

enum raft_refusal {
    RAFT_TAKEN,
    RAFT_REFUSED_NOT_LEADER,
    RAFT_REFUSED_STALE_TERM,   /* PROPOSE made for another term */
    RAFT_REFUSED_BUSY,         /* too much uncommitted, too many reads, a change in flight */
    RAFT_REFUSED_TRANSFERRING, /* leadership is being handed over: wait for the next leader */
    RAFT_REFUSED_NOT_READY,    /* CHANGE: no entry of this term is committed yet (M1) */
    RAFT_REFUSED_INVALID,      /* CHANGE, TRANSFER: no such member, or nothing to change */
    RAFT_REFUSED_QUORUM,       /* CHANGE: the voters that answer would be no majority (M3) */
    RAFT_REFUSED_BEHIND        /* CHANGE_PROMOTE, TRANSFER: not caught up */
};

enum raft_transfer_result {
    RAFT_TRANSFER_NONE,
    RAFT_TRANSFER_DONE,  /* a newer term has begun */
    RAFT_TRANSFER_FAILED /* this node leads on, or has stepped down without one */
};

enum raft_damage {
    RAFT_DAMAGE_NONE,
    RAFT_DAMAGE_LOST_ENTRIES, /* entries that this node acknowledged are not in its log (G5) */
    RAFT_DAMAGE_CONFLICT      /* the leader contradicts what is committed here */
};

struct raft_read {
    uint64_t id;
    uint64_t index; /* read once applied up to here */
    bool refused;   /* no answer to be had: ask again */
};

struct raft_update {
    bool drop_lease; /* duty 1; whenever a lease is taken back, but for a worker that steps back */

    uint64_t write; /* duty 2: number of the write, 1, 2, 3, ...; 0: nothing to write */
    bool hard_state_changed;
    uint64_t term, vote; /* always valid */
    enum raft_append_kind append_kind;
    uint64_t append_first, append_last; /* first > last: no entries */
    uint32_t append_skip;               /* RECEIVED */
    bool truncated; /* entries at or above append_first were in the log and are gone */

    bool board_changed; /* duty 3: any of term and the four below; always after START */
    enum raft_role role;
    uint64_t leader;       /* RAFT_NONE: not known */
    uint64_t lease_end_ns; /* 0: no lease */
    uint64_t announced_index;

    const struct raft_message *messages; /* duty 4 */
    uint32_t message_count;

    uint64_t commit_index; /* duty 5: never beyond what is durable here */

    const struct raft_read *reads; /* duty 6 */
    uint32_t read_count;
    enum raft_refusal refusal; /* of this PROPOSE, READ, CHANGE or TRANSFER */
    enum raft_transfer_result transfer;
    bool may_stop;                    /* after STOP: nothing holds the process any more */
    bool config_changed;              /* another config is in effect, or the same one committed */
    const struct raft_config *config; /* in effect: the newest in the log, committed or not (M2) */
    uint64_t config_index;
    bool config_committed;
    const uint64_t *snapshot_peers; /* send each of them the newest snapshot, then SNAPSHOT_SENT */
    uint32_t snapshot_peer_count;
    bool install; /* put the received snapshot and term and vote on the disk, empty the log and
                     begin it anew at install_index, swap the state, then SNAPSHOT_INSTALLED (N3) */
    uint64_t install_index, install_term;
    bool snapshot_ignored;   /* the received snapshot is not needed: throw it away */
    enum raft_damage damage; /* this node neither votes nor leads any more: tell, and stop */

    uint64_t next_deadline_ns; /* give an event by then; RAFT_NEVER: no need */
};

/* ---- calls ------------------------------------------------------------------------------------
 */

struct raft;

struct raft *raft_new(const struct raft_options *options);
void raft_free(struct raft **raft);

/* Before START: the log's entries in the order of their records. An index at or below an earlier
 * one overrides it and what followed. */
void raft_load(struct raft *raft, uint64_t index, const struct raft_entry *entry);

/* 0, or E_INVALID: the message or the snapshot makes no sense (wrong sender, impossible numbers).
 * It was dropped; the update says what the time alone has brought, and is to be carried out. */
int raft_step(struct raft *raft, const struct raft_event *event, struct raft_update *update);

/* What the driver may ask between steps. */
uint64_t raft_term_at(const struct raft *raft, uint64_t index); /* 0: not in the log */
uint64_t raft_last_index(const struct raft *raft);
uint64_t raft_durable_index(const struct raft *raft);
/* The config as of an index at or above the base (for a snapshot), and the entry it came from. */
const struct raft_config *raft_config_at(const struct raft *raft, uint64_t index,
                                         uint64_t *config_index);

struct raft_peer_status { /* as this leader knows it; of followers only id and voter */
    uint64_t id;
    bool voter;
    bool active;   /* heard from within an election timeout */
    bool snapshot; /* is being sent one */
    uint64_t match_index;
};
/* Fills out with every member but this node; returns how many. */
uint32_t raft_peers(const struct raft *raft, uint64_t now_ns,
                    struct raft_peer_status out[RAFT_MEMBERS_MAX]);

#endif
