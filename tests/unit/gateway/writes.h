/* writes.h - what the tests of open proposals share: a table of them on a wire that keeps what it
 * is given, a clock that stands, and clients that remember what they were told. */
#ifndef INSI_TESTS_UNIT_GATEWAY_WRITES_H
#define INSI_TESTS_UNIT_GATEWAY_WRITES_H

#include "base/clock.h"
#include "ipc/command.h"
#include "procs/gateway/writes/inflight.h"

#define SESSION 77
#define EVERY_WORKER 3
#define SENT_MAX 20000
#define PATIENCE_NS (5 * NS_PER_S) /* of the clients */

struct sent {
    uint64_t session, sequence, floor;
    unsigned parts;
    enum command_operation operation; /* of the first part */
};

struct told {
    unsigned count;
    int error;
    uint64_t index;
    char detail[16];
};

extern struct writes {
    struct inflight *inflight;
    struct sent sent[SENT_MAX];
    unsigned sent_count, recall_count;
    uint64_t recalled[SENT_MAX];
    uint64_t now_ns;
    uint64_t session; /* of the results */
    int wire_error;   /* what the wire answers */
} writes;

void writes_start(void);
void writes_stop(void);

/* A SET from the connection origin; what inflight_add says of it. */
int writes_add_from(uint64_t origin, struct told *told, uint64_t *ticket);
uint64_t writes_add(struct told *told); /* must be taken; the ticket */

void writes_on_done(void *arg, const struct inflight_outcome *outcome); /* arg: struct told */

void writes_result(enum proc worker, uint64_t sequence, uint64_t index, int error);
const struct sent *writes_last(void);
void writes_confirm(void); /* the session is open at every worker */
void writes_serve(void);   /* a leader, and the session open */
void writes_pass(uint64_t ns);
void writes_expect_told(const struct told *told, int error); /* once */

#endif
