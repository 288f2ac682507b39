/* applying.h - what the tests of sessions and transactions share: a map in a folder of its own, an
 * applier over it, and a kind of worker that does next to nothing. */
#ifndef INSI_TESTS_UNIT_WORKER_APPLYING_H
#define INSI_TESTS_UNIT_WORKER_APPLYING_H

#include <criterion/criterion.h>

#include "base/error.h"
#include "procs/worker/applier.h"

extern char applying_folder[64];
extern struct applier applier;

/* How often the kind's apply was called since applying_init. VALUE_SET does nothing; VALUE_BUMP
 * answers with a detail of |delta| bytes, and with E_CONFLICT when delta is below zero. */
extern unsigned applied_count;
extern unsigned stored_count; /* likewise, its store */

void applying_init(void); /* also swallows the log */
void applying_fini(void);

/* Closes and opens the map: what was not committed is lost, as with a killed process. */
void restart(void);
void commit(void);
/* For tests that hand the map to another process: no process opens it twice. */
void applying_close(void);
void applying_reopen(void);

extern uint64_t next_index;

/* Apply at next_index, which moves on. Results borrow until the next call. */
struct session_result apply_bytes(uint64_t session, uint64_t sequence, uint64_t floor,
                                  struct slice command);
struct session_result open_session(uint64_t session, uint64_t sequence);
struct session_result apply_open(uint64_t session, uint64_t sequence, uint64_t floor);
struct session_result set(uint64_t session, uint64_t sequence, uint64_t floor);
struct session_result bump(uint64_t session, uint64_t sequence, uint64_t floor, int64_t delta);

/* The bytes of such a command, valid until the next call. */
struct slice command_set(void);
struct slice command_bump(int64_t delta);

/* Records in the database "sessions", and the index among them of those of one session. */
unsigned count_records(uint64_t session, unsigned *all);

void expect_result(struct session_result result, uint64_t index, int error);
/* at the index of the last entry */
void expect_here(struct session_result result, int error);

#endif
