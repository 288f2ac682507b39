/* applier.c - see applier.h. */
#include "procs/worker/applier.h"

#include <isa-l/crc64.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/error.h"

#define APPLIER_FINALS_FIRST 16
#define APPLIER_FINALS_KEEP_BYTES (64u << 10)

static const char applier_meta_hash[] = MAP_META_STATE_HASH;
static const char applier_meta_lineage[] = "lineage";

/* ---- opening ---- */

/* Everything up to index has been folded, and nothing above. */
static void applier_pass(struct applier *applier, uint64_t index)
{
    uint64_t checkpoint = index - index % RAFT_CHECKPOINT;

    if (checkpoint < applier->last_index || checkpoint <= applier->checkpoint_index)
        return;
    applier->checkpoint_index = checkpoint;
    applier->checkpoint_hash = applier->state_hash;
}

static int applier_load(struct applier *applier, MDB_txn *txn)
{
    const struct worker_kind *kind = applier->kind;

    int error = map_meta_get(applier->map, txn, applier_meta_hash, &applier->state_hash);
    if (error == 0)
        error = map_meta_get_bytes(applier->map, txn, applier_meta_lineage, applier->lineage,
                                   sizeof(applier->lineage));
    if (error == 0)
        error = sessions_load(&applier->sessions, applier->map, txn);
    if (error == 0 && kind->load != NULL)
        error = kind->load(kind->arg, applier->map, txn);
    return error;
}

int applier_open(struct applier *applier, struct map *map, const struct worker_kind *kind)
{
    MDB_txn *txn;

    *applier = (struct applier){.map = map, .kind = kind, .last_index = map_applied_index(map)};
    buf_init(&applier->final_details, LIMIT_MESSAGE_BYTES);
    int error = map_write_begin(map, &txn);
    if (error != 0)
        return error;
    error = applier_load(applier, txn);
    map_write_abort(map);
    applier_pass(applier, applier->last_index);
    return error;
}

void applier_close(struct applier *applier)
{
    if (applier->txn != NULL)
        map_write_abort(applier->map);
    applier->txn = NULL;
    sessions_free(&applier->sessions);
    free(applier->finals);
    buf_fini(&applier->final_details);
}

void applier_set_lineage(struct applier *applier, const uint8_t lineage[RAFT_LINEAGE_BYTES])
{
    if (memcmp(applier->lineage, lineage, RAFT_LINEAGE_BYTES) == 0)
        return;
    memcpy(applier->lineage, lineage, RAFT_LINEAGE_BYTES);
    applier->lineage_changed = true;
}

/* ---- applying ---- */

static uint64_t applier_fold_bytes(uint64_t hash, struct slice bytes)
{
    /* ISA-L reads nothing when the length is 0 */
    return bytes.len > 0 ? crc64_ecma_refl(hash, bytes.data, bytes.len) : hash;
}

static void applier_fold_finals(struct applier *applier)
{
    uint8_t head[32];

    for (unsigned i = 0; i < applier->final_count; i++) {
        struct session_result result;
        uint64_t session, sequence;
        applier_final(applier, i, &session, &sequence, &result);
        bytes_put_u64(head, session);
        bytes_put_u64(head + 8, sequence);
        bytes_put_u64(head + 16, (uint64_t)result.error);
        bytes_put_u64(head + 24, result.detail.len);
        applier->state_hash = applier_fold_bytes(applier->state_hash, slice_of(head, sizeof(head)));
        applier->state_hash = applier_fold_bytes(applier->state_hash, result.detail);
    }
}

static void applier_fold(struct applier *applier, const struct msg_apply *entry,
                         const struct session_result *result)
{
    uint8_t head[32];

    bytes_put_u64(head, entry->index);
    bytes_put_u64(head + 8, (uint64_t)result->error);
    bytes_put_u64(head + 16, entry->command.len);
    bytes_put_u64(head + 24, result->detail.len);
    uint64_t hash = applier_fold_bytes(applier->state_hash, slice_of(head, sizeof(head)));
    hash = applier_fold_bytes(hash, entry->command);
    applier->state_hash = applier_fold_bytes(hash, result->detail);
    applier_fold_finals(applier);
}

/* ---- final results ---- */

bool worker_turn_waits(const struct worker_turn *turn, uint64_t session, uint64_t sequence)
{
    return sessions_wait(turn->applier->sessions, session, sequence);
}

int worker_turn_finish(const struct worker_turn *turn, uint64_t session, uint64_t sequence,
                       int error, struct slice detail)
{
    const struct session_result result = {.index = turn->index, .error = error, .detail = detail};
    struct applier *applier = turn->applier;

    int failed = sessions_finish(applier->sessions, session, sequence, &result);
    if (failed != 0)
        return failed;
    if (applier->final_count == applier->final_capacity)
        applier->finals = mem_grow(applier->finals, &applier->final_capacity,
                                   sizeof(applier->finals[0]), APPLIER_FINALS_FIRST);
    applier->finals[applier->final_count++] =
        (struct applier_final){session, sequence, error, applier->final_details.len, detail.len};
    CHECK(buf_append(&applier->final_details, detail.data, detail.len) == 0);
    return 0;
}

void applier_final(const struct applier *applier, unsigned number, uint64_t *session,
                   uint64_t *sequence, struct session_result *result)
{
    const struct applier_final *final = &applier->finals[number];

    CHECK(number < applier->final_count);
    *session = final->session;
    *sequence = final->sequence;
    *result = (struct session_result){.index = applier->last_index, .error = final->error};
    if (final->detail_len > 0)
        result->detail =
            slice_of(applier->final_details.data + final->detail_at, final->detail_len);
}

static int applier_run(struct applier *applier, const struct msg_apply *entry,
                       struct command *command, struct session_result *result)
{
    const struct worker_kind *kind = applier->kind;
    const struct worker_turn turn = {.txn = applier->txn,
                                     .index = entry->index,
                                     .stamp_ms = entry->stamp_ms,
                                     .session = entry->session,
                                     .sequence = entry->sequence,
                                     .applier = applier};
    struct worker_result outcome = {0};

    if (kind->apply == NULL) {
        result->error = E_BAD_COMMAND;
        return 0;
    }
    int error = kind->apply(kind->arg, &turn, command, &outcome);
    CHECK(outcome.error >= 0 && outcome.error <= UINT8_MAX);
    result->error = outcome.error;
    result->detail = outcome.detail;
    return error;
}

static int applier_decide(struct applier *applier, const struct msg_apply *entry,
                          struct session_result *result)
{
    const struct session_origin origin = {entry->session, entry->sequence, entry->floor};
    struct command command;
    bool is_new = true;

    *result = (struct session_result){.index = entry->index};
    bool is_understood = command_decode(&command, entry->command) == 0;
    bool opens = is_understood && command.operation == COMMAND_SESSION_OPEN;
    if (origin.session != 0) {
        int error = sessions_judge(applier->sessions, applier->txn, &origin, entry->index, opens,
                                   &is_new, result);
        if (error != 0)
            return error;
    }
    if (!is_new)
        return 0;
    int error = 0;
    if (!is_understood)
        result->error = E_BAD_COMMAND;
    else if (!opens)
        error = applier_run(applier, entry, &command, result);
    if (error == 0 && origin.session != 0)
        sessions_remember(applier->sessions, &origin, result);
    return error;
}

int applier_apply(struct applier *applier, const struct msg_apply *entry,
                  struct session_result *result)
{
    *result = (struct session_result){0};
    applier->final_count = 0;
    buf_clear(&applier->final_details);
    buf_shrink(&applier->final_details, APPLIER_FINALS_KEEP_BYTES);
    if (entry->index <= applier->last_index)
        return 0;
    if (applier->txn == NULL) {
        int error = map_write_begin(applier->map, &applier->txn);
        if (error != 0)
            return error;
    }
    applier_pass(applier, entry->index - 1);
    int error = applier_decide(applier, entry, result);
    if (error != 0)
        return error;
    applier->last_index = entry->index;
    applier_fold(applier, entry, result);
    applier->entries++;
    applier->bytes += entry->command.len + result->detail.len + applier->final_details.len;
    return 0;
}

void applier_advance(struct applier *applier, uint64_t index)
{
    applier_pass(applier, index);
    if (index > applier->last_index)
        applier->last_index = index;
}

bool applier_is_full(const struct applier *applier, size_t command_bytes)
{
    return applier->txn != NULL &&
           (applier->entries >= APPLIER_ENTRIES || applier->bytes >= APPLIER_BYTES ||
            command_bytes >= APPLIER_LARGE_BYTES);
}

/* ---- committing ---- */

static int applier_store(struct applier *applier)
{
    const struct worker_kind *kind = applier->kind;

    int error = sessions_store(applier->sessions, applier->txn);
    if (error == 0 && kind->store != NULL)
        error = kind->store(kind->arg, applier->map, applier->txn);
    if (error == 0)
        error = map_meta_put(applier->map, applier->txn, applier_meta_hash, applier->state_hash);
    if (error == 0 && applier->lineage_changed)
        error = map_meta_put_bytes(applier->map, applier->txn, applier_meta_lineage,
                                   applier->lineage, sizeof(applier->lineage));
    return error;
}

static int applier_commit_open(struct applier *applier)
{
    int error = applier_store(applier);
    if (error != 0)
        return error;
    error = map_write_commit(applier->map, applier->last_index);
    applier->txn = NULL;
    applier->lineage_changed = false;
    applier->entries = 0;
    applier->bytes = 0;
    return error;
}

int applier_touch(struct applier *applier)
{
    int error = applier->txn == NULL ? map_write_begin(applier->map, &applier->txn) : 0;

    return error != 0 ? error : applier_commit_open(applier);
}

int applier_settle(struct applier *applier)
{
    bool is_stored = applier->txn == NULL && applier->last_index == map_applied_index(applier->map);

    return is_stored ? 0 : applier_touch(applier);
}

int applier_commit(struct applier *applier)
{
    if (applier->txn != NULL)
        return applier_commit_open(applier);
    bool is_far_ahead = applier->last_index - map_applied_index(applier->map) >= APPLIER_LAG;
    return is_far_ahead ? applier_settle(applier) : 0;
}

int applier_recall(struct applier *applier, uint64_t session, uint64_t sequence,
                   struct session_result *result)
{
    MDB_txn *txn;

    CHECK(applier->txn == NULL);
    int error = map_write_begin(applier->map, &txn);
    if (error != 0)
        return error;
    error = sessions_recall(applier->sessions, txn, session, sequence, result);
    map_write_abort(applier->map);
    return error;
}

int applier_recall_all(struct applier *applier, uint64_t session, session_result_fn *visit,
                       void *arg)
{
    MDB_txn *txn;

    CHECK(applier->txn == NULL);
    int error = map_write_begin(applier->map, &txn);
    if (error != 0)
        return error;
    error = sessions_recall_all(applier->sessions, txn, session, visit, arg);
    map_write_abort(applier->map);
    return error;
}
