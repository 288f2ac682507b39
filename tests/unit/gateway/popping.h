/* popping.h - what the tests of waiting pops share: pops over a wire that is played, at the time
 * that the test says. */
#ifndef INSI_TESTS_UNIT_GATEWAY_POPPING_H
#define INSI_TESTS_UNIT_GATEWAY_POPPING_H

#include <criterion/criterion.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/limits.h"
#include "ipc/command.h"
#include "procs/gateway/writes/pops.h"

#define SENT_MAX 80000
#define PATIENCE_MS 5000

struct sent {
    uint64_t session, sequence, floor;
    enum command_operation operation;
    uint64_t wait_ms, cancelled;
};

struct popping {
    struct pops *pops;
    struct sent sent[SENT_MAX];
    unsigned sent_count, recalls;
    uint64_t sessions[64]; /* that were begun; the last ones */
    unsigned session_count;
    uint64_t now_ns, index;
    unsigned served; /* of sent: looked at for openings */
};

extern struct popping rig;

struct client {
    unsigned told;
    int error;
    uint64_t index;
    char item[16];
    struct pop *pop;
};

void popping_start(void);
void popping_stop(void);

/* What the worker says of it. */
void result(const struct sent *sent, int error, const char *item);
void serve(void); /* sessions open by themselves */

struct sent *find_last(enum command_operation operation); /* NULL: none was sent */
unsigned count_of(enum command_operation operation);

int begin_from(struct client *client, uint64_t wait_ms, uint64_t origin);
int begin(struct client *client, uint64_t wait_ms);
/* A client whose pop is in the log; what was sent for it. */
struct sent begin_waiting(struct client *client, uint64_t wait_ms);

void pass_ms(uint64_t ms);
void expect(const struct client *client, int error); /* it was told once, and that */

#endif
