/* fake_storage.c - see fake_storage.h. */
#include "fake_storage.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "ipc/command.h"

static void fake_put(struct fake *fake, MDB_txn *txn, const struct scope *scope, struct slice key,
                     struct slice value)
{
    const struct value_view view = {.data = value, .index = fake->index};
    MDB_dbi values = map_database(fake->map, MAP_VALUES_DB);
    cr_assert_eq(value_put(txn, values, scope, key, &view, false), 0);
}

static void fake_remove(struct fake *fake, MDB_txn *txn, const struct scope *scope,
                        struct slice key)
{
    uint8_t name[KEY_SCOPED_BYTES];
    MDB_val where = {key_scoped(name, scope, key), name};
    mdb_del(txn, map_database(fake->map, MAP_VALUES_DB), &where, NULL);
}

static void fake_put_apikey(struct fake *fake, MDB_txn *txn, const struct command *command)
{
    const struct apikey_view key = {.scope = command->scope,
                                    .created_ms = command->created_ms,
                                    .index = fake->index,
                                    .name = command->key};
    MDB_dbi apikeys = map_database(fake->map, MAP_APIKEYS);
    cr_assert_eq(apikey_put(txn, apikeys, command->value.data, &key), 0);
}

static int fake_bump(struct fake *fake, MDB_txn *txn, const struct command *command, char *detail)
{
    struct value_view view;
    int64_t number = 0;
    MDB_dbi values = map_database(fake->map, MAP_VALUES_DB);
    if (value_get(txn, values, &command->scope, command->key, &view) == 0) {
        char text[24] = "", *end;
        memcpy(text, view.data.data, view.data.len < 20 ? view.data.len : 20);
        number = strtoll(text, &end, 10);
        if (text[0] == '\0' || *end != '\0')
            return E_NOT_A_NUMBER;
    }
    number += command->delta;
    number = number < 0 ? 0 : number;
    snprintf(detail, 24, "%lld", (long long)number);
    fake_put(fake, txn, &command->scope, command->key, slice_text(detail));
    return 0;
}

static int fake_run(struct fake *fake, MDB_txn *txn, struct command *command, char *detail)
{
    MDB_dbi values = map_database(fake->map, MAP_VALUES_DB);
    struct value_view view;
    struct slice key, value;
    bool exists =
        command->key.len > 0 && value_get(txn, values, &command->scope, command->key, &view) == 0;
    switch (command->operation) {
    case COMMAND_VALUE_SETNX:
        if (exists)
            return E_CONFLICT;
        fake_put(fake, txn, &command->scope, command->key, command->value);
        return 0;
    case COMMAND_VALUE_CAS:
        if (!exists || !slice_equal(view.data, command->expected))
            return E_CONFLICT;
        fake_put(fake, txn, &command->scope, command->key, command->value);
        return 0;
    case COMMAND_VALUE_SET:
        fake_put(fake, txn, &command->scope, command->key, command->value);
        return 0;
    case COMMAND_VALUE_DELETE:
        fake_remove(fake, txn, &command->scope, command->key);
        return 0;
    case COMMAND_VALUE_BATCH_SET:
        while (command_item(command, &key, &value))
            fake_put(fake, txn, &command->scope, key, value);
        return 0;
    case COMMAND_VALUE_BATCH_DELETE:
        while (command_item(command, &key, &value))
            fake_remove(fake, txn, &command->scope, key);
        return 0;
    case COMMAND_VALUE_BUMP:
        return fake_bump(fake, txn, command, detail);
    case COMMAND_APIKEY_CREATE:
        fake_put_apikey(fake, txn, command);
        return 0;
    case COMMAND_APIKEY_DELETE: {
        MDB_val where = {SHA256_BYTES, (void *)command->value.data};
        int error = mdb_del(txn, map_database(fake->map, MAP_APIKEYS), &where, NULL);
        return error == 0 ? 0 : E_NOT_FOUND;
    }
    default:
        return E_BAD_COMMAND;
    }
}

static bool fake_knows(const struct fake *fake, uint64_t session)
{
    for (unsigned i = 0; i < fake->session_count; i++) {
        if (fake->sessions[i] == session)
            return true;
    }
    return false;
}

void fake_storage_apply(struct fake *fake, const struct entry *entry, const struct entry_part *part,
                        struct fake_result *result)
{
    struct command command;
    cr_assert_eq(command_decode(&command, part->command), 0);
    *result = (struct fake_result){entry->session, entry->sequence, fake->index, 0, ""};
    if (command.operation == COMMAND_SESSION_OPEN) {
        if (!fake_knows(fake, entry->session))
            fake->sessions[fake->session_count++] = entry->session;
    } else if (!fake_knows(fake, entry->session)) {
        result->error = E_SESSION_EXPIRED;
        return;
    }
    for (unsigned i = 0; i < fake->result_count; i++) {
        const struct fake_result *old = &fake->results[i];
        if (old->session == entry->session && old->sequence == entry->sequence) {
            *result = *old;
            return;
        }
    }
    if (part->worker == PROC_STORAGE) {
        MDB_txn *txn;
        cr_assert_eq(map_write_begin(fake->map, &txn), 0);
        if (command.operation != COMMAND_SESSION_OPEN)
            result->error = fake_run(fake, txn, &command, result->detail);
        cr_assert_eq(map_write_commit(fake->map, fake->index), 0);
        fake->applied += command.operation != COMMAND_SESSION_OPEN;
    }
    if (command.operation != COMMAND_SESSION_OPEN && fake->result_count < FAKE_RESULTS_MAX)
        fake->results[fake->result_count++] = *result;
}

void fake_storage_reach(struct fake *fake)
{
    MDB_txn *txn;
    if (map_applied_index(fake->map) < fake->index) {
        cr_assert_eq(map_write_begin(fake->map, &txn), 0);
        cr_assert_eq(map_write_commit(fake->map, fake->index), 0);
    }
    fake_reach_cacheq(fake);
    board_write_applied(fake->board, PROC_STORAGE, fake->index);
    fake_tell_applied(fake);
}

void fake_add_key(struct fake *fake, const char *name, char out[TOKEN_APIKEY_BYTES])
{
    struct command command = {
        .operation = COMMAND_APIKEY_CREATE, .key = slice_text(name), .created_ms = clock_wall_ms()};
    uint8_t hash[SHA256_BYTES];
    MDB_txn *txn;
    token_apikey_new(out);
    token_apikey_hash(slice_text(out), hash);
    token_random(&command.scope, sizeof(command.scope));
    command.value = slice_of(hash, sizeof(hash));
    cr_assert_eq(map_write_begin(fake->map, &txn), 0);
    fake->index++;
    fake_put_apikey(fake, txn, &command);
    cr_assert_eq(map_write_commit(fake->map, fake->index), 0);
    fake_reach_cacheq(fake);
    board_write_applied(fake->board, PROC_STORAGE, fake->index);
}
