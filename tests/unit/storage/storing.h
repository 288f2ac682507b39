/* storing.h - what the tests of storage share: commands applied to a map of their own, as the
 * worker's library would. */
#ifndef INSI_TESTS_UNIT_STORAGE_STORING_H
#define INSI_TESTS_UNIT_STORAGE_STORING_H

#include <criterion/criterion.h>

#include "base/error.h"
#include "procs/storage/storage.h"
#include "procs/worker/applier.h"

extern struct storage storage;
extern struct applier applier;
extern uint64_t next_index;

void storing_init(void); /* also swallows the log */
void storing_fini(void);
void storing_restart(void); /* what was not committed is lost */
void storing_commit(void);

extern const struct scope scope, other_scope;

/* Apply one command at next_index; the error of its result. The detail goes to last_detail. */
int apply(const struct command *command);
int apply_encoded(struct slice bytes);
extern char last_detail[64];

int set(const char *key, const char *value);
int set_in(const struct scope *where, struct slice key, struct slice value);
int delete (const char *key);
int setnx(const char *key, const char *value);
int cas(const char *key, const char *expected, const char *value);
int bump(const char *key, int64_t delta);

/* The value as text, NULL when there is none. Commits first. index may be NULL. */
const char *get(const char *key, uint64_t *index);
unsigned count_keys(const struct scope *where);

#endif
