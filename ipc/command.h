/* command.h - what an entry asks a state worker to do.
 *
 *   [operation, scope (16 bytes), ...operands]   as COMMAND_LIST says
 *
 * Commands are replicated: encode and decode are part of the log format. Operation numbers are
 * never reused. Decoding checks every length against base/limits.h; slices borrow from the input.
 *
 * Details of results: the number as text of VALUE_BUMP, ATOMIC_ADD (the new value) and QUEUE_PUSH
 * (the new length; 0: a pop that waited has it); the item of QUEUE_POP.
 *
 * limit_bytes: cache.maxBytes of the node that the write came from. It is a part of the command
 * because applying may depend on nothing else: nodes may be configured, and reload, differently.
 *
 * A QUEUE_POP with wait_ms > 0 that finds no item comes to E_QUEUE_WAITING. This result is replaced
 * once, at a later index, by the final one, which is sent likewise (ipc/worker_gateway.h):
 *   - 0 and the item, from the push that feeds it: pops are served in the order of the log;
 *   - E_QUEUE_NOT_FOUND: the queue was deleted;
 *   - E_QUEUE_EMPTY: it was cancelled; or given up, because its wait was over by the stamps of the
 *     log (E_QUEUE_EMPTY is then the answer), or because its session had neither begun to wait nor
 *     renewed for QUEUE_WAIT_LEASE_MS: whoever is still there and has wait left pops again.
 * QUEUE_POP_CANCEL comes to 0: the pop ends with E_QUEUE_EMPTY, now, or when it should be applied
 * later. E_NOT_FOUND: the pop has another final result, which stands.
 */
#ifndef INSI_IPC_COMMAND_H
#define INSI_IPC_COMMAND_H

#include <stdint.h>

#include "base/buf.h"
#include "base/token.h"
#include "ipc/pack.h"

/* X(name, number, operands, item)
 *
 * operands: a letter each, in this order. item: NULL but of a batch, whose one operand is an array
 * of items, each made of these letters.
 *
 *   k  key, or a topic            t  ttl_ms              h  hash of an API key (in value)
 *   v  value, or an event's data  l  limit_bytes         n  its name (in key)
 *   o  expected (the old value)   w  wait_ms             c  created_ms
 *   d  delta                      q  sequence of a pop   s  step
 *   b  overwrite                     of this session
 *
 * "no scope": it is all zero. */
#define COMMAND_LIST(X)                                                                            \
    X(SESSION_OPEN, 1, "", NULL) /* for every worker */                                            \
    X(VALUE_SET, 10, "kv", NULL)                                                                   \
    X(VALUE_DELETE, 11, "k", NULL)                                                                 \
    X(VALUE_BATCH_SET, 12, "", "kv")                                                               \
    X(VALUE_BATCH_DELETE, 13, "", "k")                                                             \
    X(VALUE_SETNX, 14, "kv", NULL)                                                                 \
    X(VALUE_CAS, 15, "kvo", NULL)                                                                  \
    X(VALUE_BUMP, 16, "kd", NULL)                                                                  \
    X(APIKEY_CREATE, 30, "hnc", NULL) /* the scope is the new key's */                             \
    X(APIKEY_DELETE, 31, "h", NULL)   /* no scope */                                               \
    X(SCOPE_PURGE, 32, "s", NULL)     /* removes the next part of it, unless that step was done */ \
    X(CACHE_SET, 40, "kvtl", NULL)                                                                 \
    X(CACHE_DELETE, 41, "k", NULL)                                                                 \
    X(CACHE_SETNX, 42, "kvtl", NULL)                                                               \
    X(CACHE_CAS, 43, "kvotl", NULL)                                                                \
    X(CACHE_EXPIRE, 44, "", NULL) /* no scope: removes the next part of what is due */             \
    X(QUEUE_NEW, 50, "kl", NULL)                                                                   \
    X(QUEUE_DELETE, 51, "k", NULL)                                                                 \
    X(QUEUE_PUSH, 52, "kvl", NULL)                                                                 \
    X(QUEUE_POP, 53, "kw", NULL)                                                                   \
    X(QUEUE_POP_CANCEL, 54, "q", NULL) /* no scope */                                              \
    X(QUEUE_WAIT_RENEW, 55, "", NULL)  /* no scope: this session's pops wait on */                 \
    X(QUEUE_PURGE, 56, "", NULL)       /* no scope: removes the next part of deleted queues */     \
    X(ATOMIC_NEW, 60, "kb", NULL)                                                                  \
    X(ATOMIC_ADD, 61, "kd", NULL)                                                                  \
    X(ATOMIC_DELETE, 62, "k", NULL)                                                                \
    X(EVENT_PUBLISH, 70, "kv", NULL) /* how the data are shown: ipc/events_gateway.h */

#define QUEUE_WAIT_LEASE_MS 2000
#define CACHE_TTL_MAX_MS (1ull << 53) /* a bound that adding to a stamp does not overflow */

enum command_operation {
#define X(name, number, operands, item) COMMAND_##name = number,
    COMMAND_LIST(X)
#undef X
};

struct command {
    enum command_operation operation;
    struct scope scope;
    struct slice key;      /* or the name of an API key, or a topic */
    struct slice value;    /* or the hash of an API key, or the data of an event */
    struct slice expected; /* cas */
    int64_t delta;         /* bump, atomics */
    uint64_t created_ms;   /* API key */
    uint64_t step;         /* purge: how many steps went before it */
    uint64_t ttl_ms;       /* cache: 1 to CACHE_TTL_MAX_MS, from the entry's stamp */
    uint64_t limit_bytes;  /* cache, queues */
    uint64_t wait_ms;      /* pop: at most LIMIT_QUEUE_WAIT_MS */
    uint64_t sequence;     /* cancel */
    bool overwrite;        /* atomic new: an existing counter is 0 again */
    uint32_t item_count;   /* batches; the items follow in .items, to be walked with command_item */
    struct unpack items;
};

const char *command_name(int operation);

/* Everything but batches. Appends; E_TOO_LARGE. */
int command_encode(struct buf *out, const struct command *command);

/* Batches: begin with the item count, then each item (value ignored for deletes). */
void command_batch_begin(struct pack *pack, enum command_operation operation,
                         const struct scope *scope, uint32_t item_count);
void command_batch_item(struct pack *pack, enum command_operation operation, struct slice key,
                        struct slice value);

/* Decodes and checks the whole command, the items of a batch included. E_BAD_COMMAND. */
int command_decode(struct command *command, struct slice bytes);

/* Walks the items of a decoded batch: false after the last. Works on the command's own cursor, so
 * once per decode. */
bool command_item(struct command *command, struct slice *key, struct slice *value);

#endif
