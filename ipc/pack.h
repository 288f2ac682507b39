/* pack.h - writing msgpack into a bounded buffer, and reading it back strictly.
 *
 * Writing: errors stick; look once, at the end (pack_result). Shapes are arrays: the reader knows
 * what comes next. Built on msgpack-c's packer.
 *
 * Reading: a cursor over borrowed bytes. It copies nothing, allocates nothing, believes no length
 * that the bytes do not hold, and a decoder ends with unpack_end, which refuses what is left over.
 * (The object tree of msgpack-c reserves memory by the element count a header claims; this cursor
 * cannot.) Errors stick too: after the first one every getter returns zero or an empty slice.
 */
#ifndef INSI_IPC_PACK_H
#define INSI_IPC_PACK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct pack {
    struct buf *out;
    int error; /* first error, sticky */
};

void pack_init(struct pack *pack, struct buf *out);
void pack_array(struct pack *pack, uint32_t count);
void pack_u64(struct pack *pack, uint64_t value);
void pack_u64_fixed(struct pack *pack, uint64_t value); /* always 9 bytes, so it can be patched */
void pack_i64(struct pack *pack, int64_t value);
void pack_bool(struct pack *pack, bool value);
void pack_bytes(struct pack *pack, struct slice value); /* msgpack bin */
void pack_text(struct pack *pack, struct slice value);  /* msgpack str */
void pack_nil(struct pack *pack);
int pack_result(const struct pack *pack);

struct unpack {
    const uint8_t *at, *end;
    int error; /* first error, sticky: E_TRUNCATED, E_INVALID, E_TRAILING */
};

void unpack_init(struct unpack *unpack, struct slice bytes);
uint32_t unpack_array(struct unpack *unpack); /* element count; never more than bytes left */
void unpack_array_of(struct unpack *unpack, uint32_t count); /* E_INVALID unless exactly count */
uint64_t unpack_u64(struct unpack *unpack);
int64_t unpack_i64(struct unpack *unpack);
bool unpack_bool(struct unpack *unpack);
struct slice unpack_bytes(struct unpack *unpack);  /* bin only; borrowed from the input */
struct slice unpack_text(struct unpack *unpack);   /* str only; borrowed from the input */
bool unpack_nil(struct unpack *unpack);            /* consumes a nil when it is next */
bool unpack_more(const struct unpack *unpack);     /* no error and bytes left */
uint64_t unpack_error_code(struct unpack *unpack); /* a number that fits base/error.h's codes */
void unpack_refuse(struct unpack *unpack); /* the caller's verdict on what it read: E_INVALID */
int unpack_end(struct unpack *unpack);     /* the sticky error, or E_TRAILING, or 0 */

#endif
