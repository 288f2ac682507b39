/* message_samples.h - what the tests of messages share: one sample of every message, with something
 * in each of its elements, and a link without a socket that collects what would travel. */
#ifndef INSI_TESTS_UNIT_IPC_MESSAGE_SAMPLES_H
#define INSI_TESTS_UNIT_IPC_MESSAGE_SAMPLES_H

#include <criterion/criterion.h>

#include "base/error.h"
#include "ipc/events_gateway.h"
#include "ipc/gateway_raft.h"
#include "ipc/link_private.h"
#include "ipc/raft_worker.h"
#include "ipc/worker_gateway.h"

extern struct link link_;
void open_link(void);
void close_link(void);

union message {
    struct msg_propose propose;
    struct msg_refuse refuse;
    struct msg_leader leader;
    struct msg_read_index read_index;
    struct msg_read_index_reply read_index_reply;
    struct msg_cluster_ask cluster_ask;
    struct msg_cluster_answer cluster_answer;
    struct msg_change change;
    struct msg_change_answer change_answer;
    struct msg_resume resume;
    struct msg_resume_ok resume_ok;
    struct msg_apply apply;
    struct msg_apply_end apply_end;
    struct msg_applied applied;
    struct msg_worker_propose worker_propose;
    struct msg_role role;
    struct msg_result result;
    struct msg_recall recall;
    struct msg_session session;
    struct msg_snapshot_make snapshot_make;
    struct msg_snapshot_made snapshot_made;
    struct msg_snapshot_drop snapshot_drop;
    struct msg_snapshot_load snapshot_load;
    struct msg_snapshot_loaded snapshot_loaded;
    struct msg_wait_applied wait_applied;
    struct msg_applied_at applied_at;
    struct msg_subscribe subscribe;
    struct msg_unsubscribe unsubscribe;
    struct msg_event_credit event_credit;
    struct msg_subscribed subscribed;
    struct msg_event event;
    struct msg_event_gap event_gap;
    struct msg_event_reached event_reached;
    struct msg_event_place event_place;
};

struct sample {
    enum msg type;
    int (*send)(const union message *message);
    int (*decode)(union message *message, struct unpack *body);
    union message message;
};
extern const struct sample samples[];
extern const size_t sample_count;

#define LINEAGE                                                                                    \
    {                                                                                              \
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255                                      \
    }
#define BYTES(text)                                                                                \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }
#define BIG 0xfedcba9876543210ull
#define SUM "01234567890123456789012345678901"

/* The one frame that was queued. */
struct slice only_frame(void);

/* As the link does before it calls the handler. */
struct unpack body_of(struct slice frame, enum msg type);

/* Sends the message as one of the type, and decodes what travels: what the decoder says. */
int decode_sent(enum msg type, const union message *message);
void expect_refused(enum msg type, const union message *message);

#endif
