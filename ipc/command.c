/* command.c - see command.h. Encoding and decoding walk the same list of operands, so both always
 * agree. */
#include "ipc/command.h"

#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/limits.h"

struct command_shape {
    const char *operands;
    const char *item; /* NULL: not a batch */
};

static const struct command_shape *command_shape(int operation)
{
    switch (operation) {
#define X(name, number, operands, item)                                                            \
    case number: {                                                                                 \
        static const struct command_shape shape = {operands, item};                                \
        return &shape;                                                                             \
    }
        COMMAND_LIST(X)
#undef X
    default:
        return NULL;
    }
}

const char *command_name(int operation)
{
    switch (operation) {
#define X(name, number, operands, item)                                                            \
    case number:                                                                                   \
        return #name;
        COMMAND_LIST(X)
#undef X
    default:
        return "?";
    }
}

static bool command_key_fits(struct slice key)
{
    return key.len > 0 && key.len <= LIMIT_KEY_BYTES;
}

static bool command_value_fits(struct slice value)
{
    return value.len <= LIMIT_BODY_MAX;
}

static bool command_name_fits(struct slice name)
{
    return name.len > 0 && name.len <= LIMIT_APIKEY_NAME_BYTES;
}

static bool command_ttl_fits(uint64_t ttl_ms)
{
    return ttl_ms > 0 && ttl_ms <= CACHE_TTL_MAX_MS;
}

static bool command_scope_is_zero(const struct scope *scope)
{
    static const struct scope zero;
    return memcmp(scope->id, zero.id, SCOPE_BYTES) == 0;
}

/* What is of no scope, or of all of them. */
static bool command_names_no_scope(enum command_operation operation)
{
    return operation == COMMAND_APIKEY_DELETE || operation == COMMAND_CACHE_EXPIRE ||
           operation == COMMAND_QUEUE_POP_CANCEL || operation == COMMAND_QUEUE_WAIT_RENEW ||
           operation == COMMAND_QUEUE_PURGE;
}

/* ---- encoding ---- */

/* Those of cache, queues and atomics. */
static bool command_pack_volatile(struct pack *pack, char operand, const struct command *command)
{
    switch (operand) {
    case 't':
        pack_u64(pack, command->ttl_ms);
        return command_ttl_fits(command->ttl_ms);
    case 'l':
        pack_u64(pack, command->limit_bytes);
        return true;
    case 'w':
        pack_u64(pack, command->wait_ms);
        return command->wait_ms <= LIMIT_QUEUE_WAIT_MS;
    case 'q':
        pack_u64(pack, command->sequence);
        return true;
    default:
        CHECK(operand == 'b');
        pack_bool(pack, command->overwrite);
        return true;
    }
}

static bool command_pack_operand(struct pack *pack, char operand, const struct command *command)
{
    switch (operand) {
    case 'k':
        pack_bytes(pack, command->key);
        return command_key_fits(command->key);
    case 'v':
        pack_bytes(pack, command->value);
        return command_value_fits(command->value);
    case 'o':
        pack_bytes(pack, command->expected);
        return command_value_fits(command->expected);
    case 'd':
        pack_i64(pack, command->delta);
        return true;
    case 'h':
        pack_bytes(pack, command->value);
        return command->value.len == SHA256_BYTES;
    case 'n':
        pack_bytes(pack, command->key);
        return command_name_fits(command->key);
    case 'c':
        pack_u64(pack, command->created_ms);
        return true;
    case 's':
        pack_u64(pack, command->step);
        return true;
    default:
        return command_pack_volatile(pack, operand, command);
    }
}

int command_encode(struct buf *out, const struct command *command)
{
    const struct command_shape *shape = command_shape((int)command->operation);
    CHECK(shape != NULL && shape->item == NULL);
    size_t start = out->len;
    struct pack pack;
    pack_init(&pack, out);
    pack_array(&pack, 2 + (uint32_t)strlen(shape->operands));
    pack_u64(&pack, (uint64_t)command->operation);
    pack_bytes(&pack, slice_of(command->scope.id, SCOPE_BYTES));
    bool fits = true;
    for (const char *operand = shape->operands; *operand != '\0'; operand++)
        fits = command_pack_operand(&pack, *operand, command) && fits;
    int error = fits ? pack_result(&pack) : E_TOO_LARGE;
    if (error != 0)
        out->len = start;
    return error;
}

void command_batch_begin(struct pack *pack, enum command_operation operation,
                         const struct scope *scope, uint32_t item_count)
{
    const struct command_shape *shape = command_shape((int)operation);
    CHECK(shape != NULL && shape->item != NULL);
    if (item_count > LIMIT_BATCH_ITEMS) {
        pack->error = pack->error != 0 ? pack->error : E_TOO_LARGE;
        return;
    }
    pack_array(pack, 3);
    pack_u64(pack, (uint64_t)operation);
    pack_bytes(pack, slice_of(scope->id, SCOPE_BYTES));
    pack_array(pack, item_count * (uint32_t)strlen(shape->item));
}

void command_batch_item(struct pack *pack, enum command_operation operation, struct slice key,
                        struct slice value)
{
    const struct command_shape *shape = command_shape((int)operation);
    CHECK(shape != NULL && shape->item != NULL);
    bool has_value = shape->item[1] != '\0';
    if (pack->error == 0 && !(command_key_fits(key) && (!has_value || command_value_fits(value))))
        pack->error = E_TOO_LARGE;
    pack_bytes(pack, key);
    if (has_value)
        pack_bytes(pack, value);
}

/* ---- decoding ---- */

static bool command_unpack_volatile(struct unpack *unpack, char operand, struct command *command)
{
    switch (operand) {
    case 't':
        command->ttl_ms = unpack_u64(unpack);
        return command_ttl_fits(command->ttl_ms);
    case 'l':
        command->limit_bytes = unpack_u64(unpack);
        return true;
    case 'w':
        command->wait_ms = unpack_u64(unpack);
        return command->wait_ms <= LIMIT_QUEUE_WAIT_MS;
    case 'q':
        command->sequence = unpack_u64(unpack);
        return true;
    default:
        CHECK(operand == 'b');
        command->overwrite = unpack_bool(unpack);
        return true;
    }
}

static bool command_unpack_operand(struct unpack *unpack, char operand, struct command *command)
{
    switch (operand) {
    case 'k':
        command->key = unpack_bytes(unpack);
        return command_key_fits(command->key);
    case 'v':
        command->value = unpack_bytes(unpack);
        return command_value_fits(command->value);
    case 'o':
        command->expected = unpack_bytes(unpack);
        return command_value_fits(command->expected);
    case 'd':
        command->delta = unpack_i64(unpack);
        return true;
    case 'h':
        command->value = unpack_bytes(unpack);
        return command->value.len == SHA256_BYTES;
    case 'n':
        command->key = unpack_bytes(unpack);
        return command_name_fits(command->key);
    case 'c':
        command->created_ms = unpack_u64(unpack);
        return true;
    case 's':
        command->step = unpack_u64(unpack);
        return true;
    default:
        return command_unpack_volatile(unpack, operand, command);
    }
}

static bool command_unpack_item(struct unpack *unpack, const struct command_shape *shape,
                                struct slice *key, struct slice *value)
{
    *key = unpack_bytes(unpack);
    *value = shape->item[1] != '\0' ? unpack_bytes(unpack) : slice_of(NULL, 0);
    return unpack->error == 0 && command_key_fits(*key) && command_value_fits(*value);
}

/* Checks all items and leaves command->items at the first one. */
static bool command_unpack_items(struct unpack *unpack, const struct command_shape *shape,
                                 struct command *command)
{
    uint32_t width = (uint32_t)strlen(shape->item);
    uint32_t elements = unpack_array(unpack);
    if (unpack->error != 0 || elements % width != 0 || elements / width > LIMIT_BATCH_ITEMS)
        return false;
    command->item_count = elements / width;
    command->items = *unpack;
    for (uint32_t i = 0; i < command->item_count; i++) {
        struct slice key, value;
        if (!command_unpack_item(unpack, shape, &key, &value))
            return false;
    }
    command->items.end = unpack->at;
    return true;
}

int command_decode(struct command *command, struct slice bytes)
{
    memset(command, 0, sizeof(*command));
    struct unpack unpack;
    unpack_init(&unpack, bytes);
    uint32_t elements = unpack_array(&unpack);
    uint64_t operation = unpack_u64(&unpack);
    struct slice scope = unpack_bytes(&unpack);
    const struct command_shape *shape =
        operation <= INT32_MAX ? command_shape((int)operation) : NULL;
    if (unpack.error != 0 || shape == NULL || scope.len != SCOPE_BYTES)
        return E_BAD_COMMAND;
    if (elements != 2 + (shape->item != NULL ? 1 : strlen(shape->operands)))
        return E_BAD_COMMAND;
    command->operation = (enum command_operation)operation;
    memcpy(command->scope.id, scope.data, SCOPE_BYTES);
    if (command_names_no_scope(command->operation) && !command_scope_is_zero(&command->scope))
        return E_BAD_COMMAND;
    if (shape->item != NULL && !command_unpack_items(&unpack, shape, command))
        return E_BAD_COMMAND;
    for (const char *operand = shape->operands; *operand != '\0'; operand++) {
        if (!command_unpack_operand(&unpack, *operand, command))
            return E_BAD_COMMAND;
    }
    return unpack_end(&unpack) == 0 ? 0 : E_BAD_COMMAND;
}

bool command_item(struct command *command, struct slice *key, struct slice *value)
{
    const struct command_shape *shape = command_shape((int)command->operation);
    CHECK(shape != NULL);
    if (shape->item == NULL || !unpack_more(&command->items))
        return false;
    CHECK(command_unpack_item(&command->items, shape, key, value));
    return true;
}
