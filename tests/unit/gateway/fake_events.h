/* fake_events.h - the events worker of the played node: it notes what the gateway asks for, answers
 * at once that a subscription is there, and sends what the test says.
 */
#ifndef INSI_TESTS_UNIT_GATEWAY_FAKE_EVENTS_H
#define INSI_TESTS_UNIT_GATEWAY_FAKE_EVENTS_H

#include "fake_node.h"
#include "ipc/events_gateway.h"

#define FAKE_SUBSCRIPTIONS_MAX 64

struct fake_subscription {
    struct msg_subscribe msg; /* its topic is below */
    char topic[EVENT_PATTERN_BYTES + 1];
    bool is_open;
    uint64_t paid; /* by EVENT_CREDIT */
};

struct fake_events {
    struct fake_subscription list[FAKE_SUBSCRIPTIONS_MAX]; /* in order of arrival */
    unsigned count, open;
    uint64_t link_paid;
    bool is_silent; /* it takes SUBSCRIBE and does not answer */
    bool is_full;   /* it answers E_BUSY */
};

struct fake_events *fake_events(void); /* of the present test */

/* Of the played node's worker: what the gateway said. False: it is none of this. */
bool fake_events_on_message(struct fake *fake, enum msg type, struct unpack *body);
void fake_events_on_up(void);
void fake_restart_events(struct fake *fake);

/* The last subscription that is open. */
struct fake_subscription *fake_last_subscription(void);

/* One event to all that are open, or to one. Its index is one more than the last entry's. */
uint64_t fake_emit(struct fake *fake, const char *topic, const char *data);
void fake_emit_to(struct fake *fake, uint64_t connection, uint64_t index, const char *topic,
                  struct slice data);
void fake_send_gap(struct fake *fake, uint64_t connection, uint64_t from, uint64_t to);
void fake_send_outrun(struct fake *fake, uint64_t connection, uint64_t index);
void fake_send_reached(struct fake *fake, uint64_t index);

/* ---- clients ---- */

/* Sends a handshake and reads its answer, which is to have this status. */
int client_handshake(struct fake *fake, const char *target, const char *token, const char *headers,
                     int status);

/* The next frame of the server: its opcode, and its payload, NUL terminated, in out. -1: the
 * connection has ended. */
int client_read_frame(struct fake *fake, int fd, char *out, size_t size);
unsigned client_read_close(struct fake *fake, int fd); /* its code; 0: none came */
void client_send_frame(int fd, int first_byte, const char *payload, size_t len); /* masked */

/* Reads so long until what came in all ends with this. */
void client_read_until(struct fake *fake, int fd, const char *end, char *out, size_t size);

#endif
