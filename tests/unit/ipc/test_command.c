/* Commands: the part of the log format that state workers read. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/limits.h"
#include "ipc/command.h"

static struct buf out;
static const struct scope scope = {"0123456789abcde"};
static const uint8_t hash[SHA256_BYTES] = {1, 2, 3};

static void open_buffer(void)
{
    buf_init(&out, 3UL * LIMIT_BODY_MAX);
}

static void close_buffer(void)
{
    buf_fini(&out);
}

TestSuite(command, .init = open_buffer, .fini = close_buffer);

static const int plain_operations[] = {
    COMMAND_SESSION_OPEN,  COMMAND_VALUE_SET,    COMMAND_VALUE_DELETE,     COMMAND_VALUE_SETNX,
    COMMAND_VALUE_CAS,     COMMAND_VALUE_BUMP,   COMMAND_APIKEY_CREATE,    COMMAND_APIKEY_DELETE,
    COMMAND_SCOPE_PURGE,   COMMAND_CACHE_SET,    COMMAND_CACHE_DELETE,     COMMAND_CACHE_SETNX,
    COMMAND_CACHE_CAS,     COMMAND_CACHE_EXPIRE, COMMAND_QUEUE_NEW,        COMMAND_QUEUE_DELETE,
    COMMAND_QUEUE_PUSH,    COMMAND_QUEUE_POP,    COMMAND_QUEUE_POP_CANCEL, COMMAND_QUEUE_WAIT_RENEW,
    COMMAND_QUEUE_PURGE,   COMMAND_ATOMIC_NEW,   COMMAND_ATOMIC_ADD,       COMMAND_ATOMIC_DELETE,
    COMMAND_EVENT_PUBLISH,
};
#define PLAIN_COUNT (sizeof(plain_operations) / sizeof(plain_operations[0]))

/* Cache, queues and atomics. */
static void sample_volatile(struct command *command)
{
    switch (command->operation) {
    case COMMAND_CACHE_CAS:
        command->expected = slice_text("old");
        __attribute__((fallthrough));
    case COMMAND_CACHE_SET:
    case COMMAND_CACHE_SETNX:
        command->ttl_ms = 60000;
        command->limit_bytes = 1ull << 40;
        __attribute__((fallthrough));
    case COMMAND_QUEUE_PUSH:
        command->value = slice_text("new value");
        __attribute__((fallthrough));
    case COMMAND_QUEUE_NEW:
        command->limit_bytes = 1ull << 40;
        break;
    case COMMAND_EVENT_PUBLISH:
        command->value = slice_text("{\"a\":[1,null]}");
        break;
    case COMMAND_QUEUE_POP:
        command->wait_ms = LIMIT_QUEUE_WAIT_MS;
        break;
    case COMMAND_ATOMIC_NEW:
        command->overwrite = true;
        break;
    case COMMAND_ATOMIC_ADD:
        command->delta = INT64_MIN;
        break;
    case COMMAND_QUEUE_POP_CANCEL:
        command->sequence = 1ull << 50;
        __attribute__((fallthrough));
    case COMMAND_CACHE_EXPIRE:
    case COMMAND_QUEUE_WAIT_RENEW:
    case COMMAND_QUEUE_PURGE:
        memset(&command->scope, 0, sizeof(command->scope));
        return;
    default:
        break;
    }
    command->key = slice_text("key");
}

/* The command with the operands of its operation, and nothing in the other fields. */
static struct command sample(int operation)
{
    struct command command = {.operation = (enum command_operation)operation, .scope = scope};
    if (operation >= COMMAND_CACHE_SET)
        sample_volatile(&command);
    switch (operation) {
    case COMMAND_VALUE_CAS:
        command.expected = slice_text("old");
        __attribute__((fallthrough));
    case COMMAND_VALUE_SET:
    case COMMAND_VALUE_SETNX:
        command.value = slice_text("new value");
        command.key = slice_text("key");
        break;
    case COMMAND_VALUE_BUMP:
        command.delta = -1234567;
        command.key = slice_text("key");
        break;
    case COMMAND_VALUE_DELETE:
        command.key = slice_text("key");
        break;
    case COMMAND_APIKEY_CREATE:
        command.key = slice_text("shop");
        command.value = slice_of(hash, sizeof(hash));
        command.created_ms = 1700000000000;
        break;
    case COMMAND_APIKEY_DELETE:
        command.value = slice_of(hash, sizeof(hash));
        memset(&command.scope, 0, sizeof(command.scope));
        break;
    case COMMAND_SCOPE_PURGE:
        command.step = 1ull << 40;
        break;
    default:
        break;
    }
    return command;
}

static bool commands_are_equal(const struct command *a, const struct command *b)
{
    return a->operation == b->operation && memcmp(&a->scope, &b->scope, sizeof(a->scope)) == 0 &&
           slice_equal(a->key, b->key) && slice_equal(a->value, b->value) &&
           slice_equal(a->expected, b->expected) && a->delta == b->delta &&
           a->created_ms == b->created_ms && a->step == b->step && a->item_count == b->item_count &&
           a->ttl_ms == b->ttl_ms && a->limit_bytes == b->limit_bytes && a->wait_ms == b->wait_ms &&
           a->sequence == b->sequence && a->overwrite == b->overwrite;
}

static int decode(struct command *command)
{
    return command_decode(command, buf_slice(&out));
}

static int decode_changed(const struct command *command)
{
    struct command decoded;
    buf_clear(&out);
    cr_assert_eq(command_encode(&out, command), 0);
    return decode(&decoded);
}

static void encode_batch(int operation, uint32_t item_count)
{
    struct pack pack;
    pack_init(&pack, &out);
    command_batch_begin(&pack, (enum command_operation)operation, &scope, item_count);
    for (uint32_t i = 0; i < item_count; i++) {
        char key[16], value[16];
        snprintf(key, sizeof(key), "key%u", i);
        snprintf(value, sizeof(value), "value%u", i);
        command_batch_item(&pack, (enum command_operation)operation, slice_text(key),
                           slice_text(value));
    }
    cr_assert_eq(pack_result(&pack), 0);
}

Test(command, every_plain_operation_is_decoded_as_it_was_encoded)
{
    for (size_t i = 0; i < PLAIN_COUNT; i++) {
        struct command command = sample(plain_operations[i]), decoded;
        buf_clear(&out);
        cr_assert_eq(command_encode(&out, &command), 0);
        cr_assert_eq(decode(&decoded), 0, "%s", command_name(plain_operations[i]));
        cr_assert(commands_are_equal(&command, &decoded), "%s", command_name(plain_operations[i]));
    }
}

Test(command, names_are_known)
{
    cr_assert_str_eq(command_name(COMMAND_VALUE_SET), "VALUE_SET");
    cr_assert_str_eq(command_name(9999), "?");
}

Test(command, the_items_of_a_batch_come_in_order)
{
    struct command command;
    struct slice key, value;
    encode_batch(COMMAND_VALUE_BATCH_SET, 3);
    cr_assert_eq(decode(&command), 0);
    cr_assert_eq(command.item_count, 3);
    for (unsigned i = 0; i < 3; i++) {
        char text[16];
        cr_assert(command_item(&command, &key, &value));
        snprintf(text, sizeof(text), "key%u", i);
        cr_assert(slice_equal(key, slice_text(text)));
        snprintf(text, sizeof(text), "value%u", i);
        cr_assert(slice_equal(value, slice_text(text)));
    }
    cr_assert(!command_item(&command, &key, &value));
}

Test(command, a_batch_of_deletes_has_keys_only)
{
    struct command command;
    struct slice key, value;
    unsigned count = 0;
    encode_batch(COMMAND_VALUE_BATCH_DELETE, LIMIT_BATCH_ITEMS);
    cr_assert_eq(decode(&command), 0);
    cr_assert_eq(command.item_count, LIMIT_BATCH_ITEMS);
    while (command_item(&command, &key, &value)) {
        cr_assert_eq(value.len, 0);
        count++;
    }
    cr_assert_eq(count, LIMIT_BATCH_ITEMS);
}

Test(command, a_plain_command_has_no_items)
{
    struct command command = sample(COMMAND_VALUE_SET);
    struct slice key, value;
    cr_assert_eq(command_encode(&out, &command), 0);
    cr_assert_eq(decode(&command), 0);
    cr_assert(!command_item(&command, &key, &value));
}

Test(command, too_many_items_are_not_encoded)
{
    struct pack pack;
    pack_init(&pack, &out);
    command_batch_begin(&pack, COMMAND_VALUE_BATCH_SET, &scope, LIMIT_BATCH_ITEMS + 1);
    cr_assert_eq(pack_result(&pack), E_TOO_LARGE);
}

Test(command, an_item_with_a_bad_key_spoils_the_batch)
{
    struct pack pack;
    char long_key[LIMIT_KEY_BYTES + 1] = {0};
    pack_init(&pack, &out);
    command_batch_begin(&pack, COMMAND_VALUE_BATCH_SET, &scope, 1);
    command_batch_item(&pack, COMMAND_VALUE_BATCH_SET, slice_of(long_key, sizeof(long_key)),
                       slice_text("v"));
    cr_assert_eq(pack_result(&pack), E_TOO_LARGE);
}

Test(command, keys_and_names_out_of_bounds_are_refused_both_ways)
{
    char bytes[LIMIT_KEY_BYTES + 1];
    memset(bytes, 'k', sizeof(bytes));
    struct command command = sample(COMMAND_VALUE_SET);
    command.key = slice_of(bytes, LIMIT_KEY_BYTES);
    cr_assert_eq(decode_changed(&command), 0);
    command.key = slice_of(bytes, LIMIT_KEY_BYTES + 1);
    buf_clear(&out);
    cr_assert_eq(command_encode(&out, &command), E_TOO_LARGE);
    cr_assert_eq(out.len, 0);
    command.key = slice_of(bytes, 0);
    cr_assert_eq(command_encode(&out, &command), E_TOO_LARGE);
    command = sample(COMMAND_APIKEY_CREATE);
    command.key = slice_of(bytes, LIMIT_APIKEY_NAME_BYTES);
    cr_assert_eq(decode_changed(&command), 0);
    command.key = slice_of(bytes, LIMIT_APIKEY_NAME_BYTES + 1);
    cr_assert_eq(command_encode(&out, &command), E_TOO_LARGE);
    command = sample(COMMAND_APIKEY_DELETE);
    command.value.len--;
    cr_assert_eq(command_encode(&out, &command), E_TOO_LARGE);
}

Test(command, a_value_may_be_empty_or_as_large_as_a_body_and_no_larger)
{
    struct command command = sample(COMMAND_VALUE_CAS);
    void *large = calloc(1, LIMIT_BODY_MAX + 1);
    command.value.len = command.expected.len = 0;
    cr_assert_eq(decode_changed(&command), 0);
    command.value = slice_of(large, LIMIT_BODY_MAX);
    cr_assert_eq(decode_changed(&command), 0);
    command.value.len++;
    cr_assert_eq(command_encode(&out, &command), E_TOO_LARGE);
    command = sample(COMMAND_VALUE_CAS);
    command.expected = slice_of(large, LIMIT_BODY_MAX + 1);
    cr_assert_eq(command_encode(&out, &command), E_TOO_LARGE);
    free(large);
}

/* A command written by hand: [operation, scope, key...]. */
static int decode_by_hand(uint64_t operation, size_t scope_len, uint32_t keys, size_t key_len)
{
    static const char zeros[LIMIT_KEY_BYTES + 1] = {0};
    struct pack pack;
    struct command command;
    buf_clear(&out);
    pack_init(&pack, &out);
    pack_array(&pack, 2 + keys);
    pack_u64(&pack, operation);
    pack_bytes(&pack, slice_of(zeros, scope_len));
    for (uint32_t i = 0; i < keys; i++)
        pack_bytes(&pack, slice_of(zeros, key_len));
    return decode(&command);
}

Test(command, decoding_refuses_what_is_out_of_range)
{
    cr_assert_eq(decode_by_hand(COMMAND_VALUE_DELETE, SCOPE_BYTES, 1, 1), 0);
    cr_assert_eq(decode_by_hand(COMMAND_VALUE_DELETE, SCOPE_BYTES - 1, 1, 1), E_BAD_COMMAND);
    cr_assert_eq(decode_by_hand(COMMAND_VALUE_DELETE, SCOPE_BYTES + 1, 1, 1), E_BAD_COMMAND);
    cr_assert_eq(decode_by_hand(COMMAND_VALUE_DELETE, SCOPE_BYTES, 0, 1), E_BAD_COMMAND);
    cr_assert_eq(decode_by_hand(COMMAND_VALUE_DELETE, SCOPE_BYTES, 2, 1), E_BAD_COMMAND);
    cr_assert_eq(decode_by_hand(COMMAND_VALUE_DELETE, SCOPE_BYTES, 1, 0), E_BAD_COMMAND);
    cr_assert_eq(decode_by_hand(COMMAND_VALUE_DELETE, SCOPE_BYTES, 1, LIMIT_KEY_BYTES + 1),
                 E_BAD_COMMAND);
    cr_assert_eq(decode_by_hand(9999, SCOPE_BYTES, 1, 1), E_BAD_COMMAND);
    cr_assert_eq(decode_by_hand(1ull << 32 | COMMAND_VALUE_DELETE, SCOPE_BYTES, 1, 1),
                 E_BAD_COMMAND);
    cr_assert_eq(decode_by_hand(COMMAND_APIKEY_DELETE, SCOPE_BYTES, 1, SHA256_BYTES), 0);
    cr_assert_eq(decode_by_hand(COMMAND_APIKEY_DELETE, SCOPE_BYTES, 1, SHA256_BYTES - 1),
                 E_BAD_COMMAND);
}

Test(command, what_is_of_no_scope_names_none)
{
    static const int operations[] = {COMMAND_APIKEY_DELETE, COMMAND_CACHE_EXPIRE,
                                     COMMAND_QUEUE_POP_CANCEL, COMMAND_QUEUE_WAIT_RENEW,
                                     COMMAND_QUEUE_PURGE};
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
        struct command command = sample(operations[i]);
        cr_assert_eq(decode_changed(&command), 0);
        command.scope = scope;
        cr_assert_eq(decode_changed(&command), E_BAD_COMMAND, "%s", command_name(operations[i]));
    }
}

static int encode_only(const struct command *command)
{
    buf_clear(&out);
    return command_encode(&out, command);
}

Test(command, times_to_live_and_waits_have_bounds)
{
    struct command command = sample(COMMAND_CACHE_SETNX);
    command.ttl_ms = 0;
    cr_assert_eq(encode_only(&command), E_TOO_LARGE);
    command.ttl_ms = CACHE_TTL_MAX_MS + 1;
    cr_assert_eq(encode_only(&command), E_TOO_LARGE);
    command.ttl_ms = CACHE_TTL_MAX_MS;
    cr_assert_eq(decode_changed(&command), 0);
    command.ttl_ms = 1;
    cr_assert_eq(decode_changed(&command), 0);
    command = sample(COMMAND_QUEUE_POP);
    command.wait_ms = 0;
    cr_assert_eq(decode_changed(&command), 0);
    command.wait_ms = LIMIT_QUEUE_WAIT_MS + 1;
    cr_assert_eq(encode_only(&command), E_TOO_LARGE);
}

/* [operation, scope, key, number] */
static int decode_number_by_hand(int operation, uint64_t number)
{
    struct pack pack;
    struct command command;
    buf_clear(&out);
    pack_init(&pack, &out);
    pack_array(&pack, 4);
    pack_u64(&pack, (uint64_t)operation);
    pack_bytes(&pack, slice_of(scope.id, SCOPE_BYTES));
    pack_bytes(&pack, slice_text("key"));
    pack_u64(&pack, number);
    return decode(&command);
}

Test(command, decoding_refuses_a_wait_that_is_too_long)
{
    cr_assert_eq(decode_number_by_hand(COMMAND_QUEUE_POP, LIMIT_QUEUE_WAIT_MS), 0);
    cr_assert_eq(decode_number_by_hand(COMMAND_QUEUE_POP, LIMIT_QUEUE_WAIT_MS + 1), E_BAD_COMMAND);
}

/* [operation, scope, [key...]] */
static int decode_batch_by_hand(int operation, uint32_t elements)
{
    struct pack pack;
    struct command command;
    buf_clear(&out);
    pack_init(&pack, &out);
    pack_array(&pack, 3);
    pack_u64(&pack, (uint64_t)operation);
    pack_bytes(&pack, slice_of(scope.id, SCOPE_BYTES));
    pack_array(&pack, elements);
    for (uint32_t i = 0; i < elements; i++)
        pack_bytes(&pack, slice_text("k"));
    return decode(&command);
}

Test(command, a_batch_with_half_an_item_or_too_many_is_refused)
{
    cr_assert_eq(decode_batch_by_hand(COMMAND_VALUE_BATCH_SET, 2), 0);
    cr_assert_eq(decode_batch_by_hand(COMMAND_VALUE_BATCH_SET, 3), E_BAD_COMMAND);
    cr_assert_eq(decode_batch_by_hand(COMMAND_VALUE_BATCH_SET, 2 * LIMIT_BATCH_ITEMS), 0);
    cr_assert_eq(decode_batch_by_hand(COMMAND_VALUE_BATCH_SET, 2 * LIMIT_BATCH_ITEMS + 2),
                 E_BAD_COMMAND);
    cr_assert_eq(decode_batch_by_hand(COMMAND_VALUE_BATCH_DELETE, LIMIT_BATCH_ITEMS + 1),
                 E_BAD_COMMAND);
}

static void walk(struct command *command)
{
    struct slice key, value;
    uint32_t count = 0;
    while (command_item(command, &key, &value)) {
        cr_assert(key.len > 0 && key.len <= LIMIT_KEY_BYTES);
        count++;
    }
    cr_assert_eq(count, command->item_count);
}

/* Cuts and flips the encoded command in out at every place. */
static void torture(const char *name)
{
    struct command command;
    for (size_t len = 0; len < out.len; len++) {
        void *exact = malloc(len > 0 ? len : 1);
        memcpy(exact, out.data, len);
        cr_assert_eq(command_decode(&command, slice_of(exact, len)), E_BAD_COMMAND, "%s cut at %zu",
                     name, len);
        free(exact);
    }
    uint8_t *exact = mem_alloc(out.len);
    for (size_t i = 0; i < out.len; i++) {
        for (unsigned change = 1; change < 256; change++) {
            memcpy(exact, out.data, out.len);
            exact[i] ^= (uint8_t)change;
            int error = command_decode(&command, slice_of(exact, out.len));
            cr_assert(error == 0 || error == E_BAD_COMMAND);
            if (error == 0)
                walk(&command);
        }
    }
    free(exact);
    buf_append_byte(&out, 0xc0);
    cr_assert_eq(decode(&command), E_BAD_COMMAND, "%s with a tail", name);
}

Test(command, cut_and_changed_bytes_fail_or_give_a_valid_command)
{
    for (size_t i = 0; i < PLAIN_COUNT; i++) {
        struct command command = sample(plain_operations[i]);
        buf_clear(&out);
        cr_assert_eq(command_encode(&out, &command), 0);
        torture(command_name(plain_operations[i]));
    }
    buf_clear(&out);
    encode_batch(COMMAND_VALUE_BATCH_SET, 4);
    torture("VALUE_BATCH_SET");
    buf_clear(&out);
    encode_batch(COMMAND_VALUE_BATCH_DELETE, 4);
    torture("VALUE_BATCH_DELETE");
}
