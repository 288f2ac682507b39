/* snapshot_manifest.c - the manifest as bytes, and where a snapshot's files are.
 *
 *     "INSISNP\n", version (4), bytes of the body (4), body, SHA-256 of all before it
 *
 * Numbers little-endian. The body is msgpack:
 *
 *     [group, cluster, index, term, stamp, config index, members, [[bytes, sum, state hash], ...]]
 */
#include <stdio.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/error.h"
#include "ipc/pack.h"
#include "procs/raft/snapshots/snapshot_store.h"

#define MANIFEST_MAGIC "INSISNP\n"
#define MANIFEST_MAGIC_BYTES 8
#define MANIFEST_HEAD_BYTES (MANIFEST_MAGIC_BYTES + 8)

/* ---- writing ----------------------------------------------------------------------------------
 */

static void manifest_pack(struct buf *out, const struct snapshot *snapshot)
{
    struct pack pack;
    struct buf members;
    buf_init(&members, MEMBERS_BYTES);
    CHECK(members_encode(&members, &snapshot->members) == 0);
    pack_init(&pack, out);
    pack_array(&pack, 8);
    pack_u64(&pack, SNAPSHOT_GROUP);
    pack_bytes(&pack, slice_of(snapshot->cluster, sizeof(snapshot->cluster)));
    pack_u64(&pack, snapshot->index);
    pack_u64(&pack, snapshot->term);
    pack_u64(&pack, snapshot->stamp_ms);
    pack_u64(&pack, snapshot->config_index);
    pack_bytes(&pack, buf_slice(&members));
    pack_array(&pack, PROC_WORKER_COUNT);
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++) {
        const struct snapshot_part *part = &snapshot->parts[i];
        pack_array(&pack, 3);
        pack_u64(&pack, part->bytes);
        pack_bytes(&pack, slice_of(part->sum, sizeof(part->sum)));
        pack_u64(&pack, part->state_hash);
    }
    CHECK(pack_result(&pack) == 0);
    buf_fini(&members);
}

void snapshot_encode(struct buf *out, const struct snapshot *snapshot)
{
    uint8_t head[MANIFEST_HEAD_BYTES] = MANIFEST_MAGIC, sum[SHA256_BYTES];
    struct buf body;
    size_t begin = out->len;
    buf_init(&body, SNAPSHOT_MANIFEST_BYTES);
    manifest_pack(&body, snapshot);
    bytes_put_u32(head + MANIFEST_MAGIC_BYTES, SNAPSHOT_VERSION);
    bytes_put_u32(head + MANIFEST_MAGIC_BYTES + 4, (uint32_t)body.len);
    CHECK(buf_append(out, head, sizeof(head)) == 0);
    CHECK(buf_append(out, body.data, body.len) == 0);
    hash_sha256(slice_of(out->data + begin, out->len - begin), sum);
    CHECK(buf_append(out, sum, sizeof(sum)) == 0);
    buf_fini(&body);
}

/* ---- reading ----------------------------------------------------------------------------------
 */

static void manifest_take(struct unpack *unpack, void *out, size_t len)
{
    struct slice bytes = unpack_bytes(unpack);
    if (bytes.len == len)
        memcpy(out, bytes.data, len);
    else
        unpack_refuse(unpack);
}

static int manifest_unpack(struct snapshot *snapshot, struct slice body)
{
    struct unpack unpack;
    unpack_init(&unpack, body);
    unpack_array_of(&unpack, 8);
    if (unpack_u64(&unpack) != SNAPSHOT_GROUP)
        unpack_refuse(&unpack);
    manifest_take(&unpack, snapshot->cluster, sizeof(snapshot->cluster));
    snapshot->index = unpack_u64(&unpack);
    snapshot->term = unpack_u64(&unpack);
    snapshot->stamp_ms = unpack_u64(&unpack);
    snapshot->config_index = unpack_u64(&unpack);
    struct slice members = unpack_bytes(&unpack);
    unpack_array_of(&unpack, PROC_WORKER_COUNT);
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++) {
        struct snapshot_part *part = &snapshot->parts[i];
        unpack_array_of(&unpack, 3);
        part->bytes = unpack_u64(&unpack);
        manifest_take(&unpack, part->sum, sizeof(part->sum));
        part->state_hash = unpack_u64(&unpack);
        if (part->bytes == 0 || part->bytes > INT64_MAX / PROC_WORKER_COUNT)
            unpack_refuse(&unpack);
    }
    if (snapshot->index == 0 || snapshot->term == 0 || snapshot->config_index > snapshot->index)
        unpack_refuse(&unpack);
    int error = unpack_end(&unpack);
    return error ? error : members_decode(&snapshot->members, members);
}

int snapshot_decode(struct snapshot *snapshot, struct slice bytes)
{
    const uint8_t *head = bytes.data;
    uint8_t sum[SHA256_BYTES];
    *snapshot = (struct snapshot){0};
    if (bytes.len < MANIFEST_HEAD_BYTES + SHA256_BYTES ||
        memcmp(head, MANIFEST_MAGIC, MANIFEST_MAGIC_BYTES) != 0)
        return E_CORRUPT;
    size_t summed = bytes.len - SHA256_BYTES;
    hash_sha256(slice_of(head, summed), sum);
    if (memcmp(sum, head + summed, sizeof(sum)) != 0)
        return E_CORRUPT;
    if (bytes_get_u32(head + MANIFEST_MAGIC_BYTES) != SNAPSHOT_VERSION)
        return E_VERSION;
    if (bytes_get_u32(head + MANIFEST_MAGIC_BYTES + 4) != summed - MANIFEST_HEAD_BYTES)
        return E_CORRUPT;
    struct slice body = slice_of(head + MANIFEST_HEAD_BYTES, summed - MANIFEST_HEAD_BYTES);
    return manifest_unpack(snapshot, body) == 0 ? 0 : E_CORRUPT;
}

uint64_t snapshot_bytes(const struct snapshot *snapshot)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++)
        bytes += snapshot->parts[i].bytes;
    return bytes;
}

unsigned snapshot_part_at(const struct snapshot *snapshot, uint64_t position, uint64_t *offset)
{
    unsigned part = 0;
    while (part < PROC_WORKER_COUNT && position >= snapshot->parts[part].bytes)
        position -= snapshot->parts[part++].bytes;
    *offset = position;
    return part;
}

/* ---- names ------------------------------------------------------------------------------------
 */

void snapshot_part_path(char out[SNAPSHOT_PATH_BYTES], const char *folder, const char *name,
                        uint64_t index, enum proc worker)
{
    int len =
        name
            ? snprintf(out, SNAPSHOT_PATH_BYTES, "%s/%s/%s.mdb", folder, name, proc_name(worker))
            : snprintf(out, SNAPSHOT_PATH_BYTES, "%s/%lu/%s.mdb", folder, index, proc_name(worker));
    CHECK(len > 0 && len < SNAPSHOT_PATH_BYTES);
}
