/* command.h - what an entry asks a state worker to do.
 *
 *   [operation, scope (16 bytes), ...operands]   operands per operation as listed
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

/* X(name, number, operands) */
#define COMMAND_LIST(X)                                                                            \
    X(SESSION_OPEN, 1, "no operands; goes to every worker")                                        \
    X(VALUE_SET, 10, "key, value")                                                                 \
    X(VALUE_DELETE, 11, "key")                                                                     \
    X(VALUE_BATCH_SET, 12, "[key, value, ...]")                                                    \
    X(VALUE_BATCH_DELETE, 13, "[key, ...]")                                                        \
    X(VALUE_SETNX, 14, "key, value")                                                               \
    X(VALUE_CAS, 15, "key, value (new), expected (old)")                                           \
    X(VALUE_BUMP, 16, "key, delta")                                                                \
    X(APIKEY_CREATE, 30, "hash (32 bytes), name, created_ms; scope is the new key's")              \
    X(APIKEY_DELETE, 31, "hash (32 bytes); scope all zero")                                        \
    X(SCOPE_PURGE, 32, "step: remove the next part of a deleted scope, unless that step was done") \
    X(CACHE_SET, 40, "key, value, ttl_ms, limit_bytes")                                            \
    X(CACHE_DELETE, 41, "key")                                                                     \
    X(CACHE_SETNX, 42, "key, value, ttl_ms, limit_bytes")                                          \
    X(CACHE_CAS, 43, "key, value (new), expected (old), ttl_ms, limit_bytes")                      \
    X(CACHE_EXPIRE, 44, "scope all zero: remove the next part of what is due")                     \
    X(QUEUE_NEW, 50, "key, limit_bytes")                                                           \
    X(QUEUE_DELETE, 51, "key")                                                                     \
    X(QUEUE_PUSH, 52, "key, value, limit_bytes")                                                   \
    X(QUEUE_POP, 53, "key, wait_ms")                                                               \
    X(QUEUE_POP_CANCEL, 54, "sequence of a pop of this session; scope all zero")                   \
    X(QUEUE_WAIT_RENEW, 55, "scope all zero: the pops of this session that wait go on waiting")    \
    X(QUEUE_PURGE, 56, "scope all zero: remove the next part of deleted queues")                   \
    X(ATOMIC_NEW, 60, "key, overwrite")                                                            \
    X(ATOMIC_ADD, 61, "key, delta")                                                                \
    X(ATOMIC_DELETE, 62, "key")                                                                    \
    X(EVENT_PUBLISH, 70, "topic (in key), data (in value; how it is shown: ipc/events_gateway.h)")

#define QUEUE_WAIT_LEASE_MS 2000
#define CACHE_TTL_MAX_MS (1ull << 53) /* a bound that adding to a stamp does not overflow */

enum command_operation {
#define X(name, number, operands) COMMAND_##name = number,
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
