/* caching.h - what the tests of cacheq share: commands applied to a map of their own, as the
 * worker's library would, at the cluster time that the test says. */
#ifndef INSI_TESTS_UNIT_CACHEQ_CACHING_H
#define INSI_TESTS_UNIT_CACHEQ_CACHING_H

#include <criterion/criterion.h>

#include "base/error.h"
#include "procs/cacheq/cacheq.h"
#include "procs/worker/applier.h"

extern struct cacheq cacheq;
extern struct applier applier;
extern uint64_t next_index;
extern uint64_t now_ms; /* the stamp of what is applied next; the test moves it on */

void caching_init(void); /* also swallows the log; sessions A and B are open; begins at 100,000 */
void caching_fini(void);
void caching_restart(void); /* what was not committed is lost */
void caching_commit(void);
void caching_move(void); /* goes on with a copy of the map, as of a snapshot */

#define SESSION_A 0xa000
#define SESSION_B 0xb000
#define LIMIT_NONE UINT64_MAX

extern const struct scope scope, other_scope;

/* What came of the last command; its detail is copied. */
extern char last_detail[256];
extern uint64_t last_index;

/* Without a session. The error of the result. */
int apply(const struct command *command);
/* As the next one of a session; its number is returned by last_sequence. */
int apply_as(uint64_t session, const struct command *command);
uint64_t last_sequence(uint64_t session);
/* The same number again. */
int apply_again(uint64_t session, uint64_t sequence, const struct command *command);
/* Everything of the session up to the number has been answered. */
void answered(uint64_t session, uint64_t sequence);

int set(const char *key, const char *value, uint64_t ttl_ms);
int set_within(const char *key, const char *value, uint64_t ttl_ms, uint64_t limit_bytes);
int setnx(const char *key, const char *value, uint64_t ttl_ms);
int cas(const char *key, const char *expected, const char *value, uint64_t ttl_ms);
int cache_del(const char *key);
int expire(void); /* last_detail: how many */

/* As a reader at now_ms; NULL when there is none. Commits first. */
const char *get(const char *key);
uint64_t ttl_left(const char *key);
/* The keys below the prefix, joined by commas. */
const char *list(const char *prefix, const char *after, uint64_t offset);

int queue_new(const char *key);
int queue_delete(const char *key);
int push(const char *key, const char *item);
int push_within(const char *key, const char *item, uint64_t limit_bytes);
int pop(const char *key);                                                    /* without a session */
uint64_t begin_to_wait(uint64_t session, const char *key, uint64_t wait_ms); /* expects WAITING */
int cancel(uint64_t session, uint64_t sequence);
int renew(uint64_t session);
int purge_queues(void);
int purge_scope(const struct scope *where, uint64_t step);

/* -1: there is no such queue. */
int64_t length(const char *key);
const char *peek(const char *key); /* NULL: empty */

/* The final results that the last command gave to others: "session:sequence=detail" or "!ERROR",
 * joined by commas; sessions as a and b. */
const char *finals(void);
/* What is remembered of a command. */
int remembered(uint64_t session, uint64_t sequence);

uint64_t count(MDB_dbi database); /* records, what is not committed included */
void expect_nothing_left(void);   /* of queues, items, waiters */

#endif
