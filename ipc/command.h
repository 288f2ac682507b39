/* command.h - what an entry asks a state worker to do.
 *
 *   [operation, scope (16 bytes), ...operands]   operands per operation as listed
 *
 * Commands are replicated: encode and decode are part of the log format. Operation numbers are
 * never reused. Decoding checks every length against base/limits.h; slices borrow from the input.
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
    X(SCOPE_PURGE, 32, "step: remove the next part of a deleted scope, unless that step was done")

enum command_operation {
#define X(name, number, operands) COMMAND_##name = number,
    COMMAND_LIST(X)
#undef X
};

struct command {
    enum command_operation operation;
    struct scope scope;
    struct slice key;      /* or the name of an API key */
    struct slice value;    /* or the hash of an API key */
    struct slice expected; /* cas */
    int64_t delta;         /* bump */
    uint64_t created_ms;   /* API key */
    uint64_t step;         /* purge: how many steps went before it */
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
