/* reading.h - what the tests of reads share: a real board, a real map with its writer, and a raft
 * and a worker that only note what they are asked. */
#ifndef INSI_TESTS_UNIT_GATEWAY_READING_H
#define INSI_TESTS_UNIT_GATEWAY_READING_H

#include "procs/gateway/read.h"

extern struct reading {
    char dir[64], board_path[96], folder[96];
    struct board *board;
    struct map *writer;
    struct reads *reads;
    uint64_t now_ns;
    uint64_t questions[64];
    unsigned question_count;
    int ask_error;
    uint64_t awaited[64];
    unsigned awaited_count;
    int await_error;
} reading;

void reading_start(void);
void reading_stop(void);

struct board_lease reading_lease(uint64_t term, uint64_t end_ns, uint64_t commit);
void reading_write_lease(uint64_t term, uint64_t end_ns, uint64_t commit);

void reading_make_map(void);
void reading_store(uint64_t index);          /* the map has it, the board does not say so */
void reading_apply(uint64_t index);          /* both */
void reading_apply_and_tell(uint64_t index); /* and the worker tells this gateway */

struct look {
    unsigned count;
    uint64_t index; /* of the state that was seen */
    void (*meanwhile)(void);
};
int reading_try_read(enum read_mode mode, uint64_t index, struct look *look);

struct waiter {
    struct read_wait wait;
    unsigned woken;
    int error;
    enum read_mode mode;
    uint64_t index;
};
void reading_on_wake(void *arg, int error, enum read_mode mode, uint64_t index);
void reading_begin(struct waiter *waiter, enum read_mode mode); /* waits for a second */

#endif
