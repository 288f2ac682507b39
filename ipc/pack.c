/* pack.c - see pack.h. The writer lends msgpack-c's packer a callback into the buffer; the reader
 * is a cursor of our own, because msgpack-c's unpacker builds trees and trusts counts. */
#include "ipc/pack.h"

#include <limits.h>
#include <msgpack.h>
#include <string.h>

#include "base/error.h"

/* ---- writing ---- */

static int pack_write(void *data, const char *bytes, size_t len)
{
    struct pack *pack = data;
    if (pack->error == 0)
        pack->error = buf_append(pack->out, bytes, len);
    return pack->error == 0 ? 0 : -1;
}

static msgpack_packer pack_packer(struct pack *pack)
{
    msgpack_packer packer;
    msgpack_packer_init(&packer, pack, pack_write);
    return packer;
}

void pack_init(struct pack *pack, struct buf *out)
{
    pack->out = out;
    pack->error = 0;
}

void pack_array(struct pack *pack, uint32_t count)
{
    msgpack_packer packer = pack_packer(pack);
    msgpack_pack_array(&packer, count);
}

void pack_u64(struct pack *pack, uint64_t value)
{
    msgpack_packer packer = pack_packer(pack);
    msgpack_pack_uint64(&packer, value);
}

void pack_u64_fixed(struct pack *pack, uint64_t value)
{
    msgpack_packer packer = pack_packer(pack);
    msgpack_pack_fix_uint64(&packer, value);
}

void pack_i64(struct pack *pack, int64_t value)
{
    msgpack_packer packer = pack_packer(pack);
    msgpack_pack_int64(&packer, value);
}

void pack_bool(struct pack *pack, bool value)
{
    msgpack_packer packer = pack_packer(pack);
    if (value)
        msgpack_pack_true(&packer);
    else
        msgpack_pack_false(&packer);
}

void pack_nil(struct pack *pack)
{
    msgpack_packer packer = pack_packer(pack);
    msgpack_pack_nil(&packer);
}

static bool pack_fits(struct pack *pack, size_t len)
{
    if (len > UINT32_MAX && pack->error == 0)
        pack->error = E_TOO_LARGE;
    return pack->error == 0;
}

void pack_bytes(struct pack *pack, struct slice value)
{
    if (!pack_fits(pack, value.len))
        return;
    msgpack_packer packer = pack_packer(pack);
    msgpack_pack_bin(&packer, value.len);
    if (value.len > 0)
        msgpack_pack_bin_body(&packer, value.data, value.len);
}

void pack_text(struct pack *pack, struct slice value)
{
    if (!pack_fits(pack, value.len))
        return;
    msgpack_packer packer = pack_packer(pack);
    msgpack_pack_str(&packer, value.len);
    if (value.len > 0)
        msgpack_pack_str_body(&packer, value.data, value.len);
}

int pack_result(const struct pack *pack)
{
    return pack->error;
}

/* ---- reading ---- */

/* Codes are small; a peer of another release may send one that we do not know. */
#define UNPACK_ERROR_CODE_MAX 255

/* The type bytes of the msgpack specification that we read. */
enum {
    PACK_FIXINT_MAX = 0x7f,
    PACK_FIXARRAY = 0x90,
    PACK_FIXSTR = 0xa0,
    PACK_NIL = 0xc0,
    PACK_FALSE = 0xc2,
    PACK_TRUE = 0xc3,
    PACK_BIN8 = 0xc4,
    PACK_BIN16 = 0xc5,
    PACK_BIN32 = 0xc6,
    PACK_UINT8 = 0xcc,
    PACK_UINT64 = 0xcf,
    PACK_INT8 = 0xd0,
    PACK_INT64 = 0xd3,
    PACK_STR8 = 0xd9,
    PACK_STR16 = 0xda,
    PACK_STR32 = 0xdb,
    PACK_ARRAY16 = 0xdc,
    PACK_ARRAY32 = 0xdd,
    PACK_NEGATIVE_FIXINT = 0xe0,
};

void unpack_init(struct unpack *unpack, struct slice bytes)
{
    unpack->at = bytes.data;
    unpack->end = unpack->at;
    if (bytes.len > 0)
        unpack->end += bytes.len;
    unpack->error = 0;
}

static void unpack_fail(struct unpack *unpack, int error)
{
    if (unpack->error == 0)
        unpack->error = error;
}

static size_t unpack_left(const struct unpack *unpack)
{
    return (size_t)(unpack->end - unpack->at);
}

/* The next type byte, or PACK_NIL with the error set. */
static uint8_t unpack_type(struct unpack *unpack)
{
    if (unpack->error == 0 && unpack->at == unpack->end)
        unpack_fail(unpack, E_TRUNCATED);
    return unpack->error == 0 ? *unpack->at++ : PACK_NIL;
}

static uint64_t unpack_big_endian(struct unpack *unpack, unsigned bytes)
{
    if (unpack->error == 0 && unpack_left(unpack) < bytes)
        unpack_fail(unpack, E_TRUNCATED);
    if (unpack->error != 0)
        return 0;
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value = value << 8 | unpack->at[i];
    unpack->at += bytes;
    return value;
}

static uint64_t unpack_invalid(struct unpack *unpack)
{
    unpack_fail(unpack, E_INVALID);
    return 0;
}

uint32_t unpack_array(struct unpack *unpack)
{
    uint8_t type = unpack_type(unpack);
    uint64_t count = 0;
    if ((type & 0xf0) == PACK_FIXARRAY)
        count = type & 0x0f;
    else if (type == PACK_ARRAY16 || type == PACK_ARRAY32)
        count = unpack_big_endian(unpack, type == PACK_ARRAY16 ? 2 : 4);
    else
        unpack_fail(unpack, E_INVALID);
    /* every element takes at least one byte */
    if (unpack->error == 0 && count > unpack_left(unpack))
        unpack_fail(unpack, E_TRUNCATED);
    return unpack->error == 0 ? (uint32_t)count : 0;
}

void unpack_array_of(struct unpack *unpack, uint32_t count)
{
    if (unpack_array(unpack) != count)
        unpack_fail(unpack, E_INVALID);
}

uint64_t unpack_u64(struct unpack *unpack)
{
    uint8_t type = unpack_type(unpack);
    if (unpack->error != 0)
        return 0;
    if (type <= PACK_FIXINT_MAX)
        return type;
    if (type >= PACK_UINT8 && type <= PACK_UINT64)
        return unpack_big_endian(unpack, 1u << (type - PACK_UINT8));
    return unpack_invalid(unpack);
}

int64_t unpack_i64(struct unpack *unpack)
{
    uint8_t type = unpack_type(unpack);
    if (unpack->error != 0)
        return 0;
    if (type >= PACK_NEGATIVE_FIXINT)
        return (int8_t)type;
    if (type >= PACK_INT8 && type <= PACK_INT64) {
        unsigned bytes = 1u << (type - PACK_INT8);
        unsigned shift = 64 - 8 * bytes; /* moves the sign bit to the top and back */
        return (int64_t)(unpack_big_endian(unpack, bytes) << shift) >> shift;
    }
    unpack->at--;
    uint64_t value = unpack_u64(unpack);
    if (value > INT64_MAX)
        value = unpack_invalid(unpack);
    return (int64_t)value;
}

uint64_t unpack_error_code(struct unpack *unpack)
{
    uint64_t code = unpack_u64(unpack);
    if (code > UNPACK_ERROR_CODE_MAX)
        code = unpack_invalid(unpack);
    return code;
}

void unpack_refuse(struct unpack *unpack)
{
    unpack_fail(unpack, E_INVALID);
}

bool unpack_bool(struct unpack *unpack)
{
    uint8_t type = unpack_type(unpack);
    if (unpack->error == 0 && type != PACK_TRUE && type != PACK_FALSE)
        unpack_fail(unpack, E_INVALID);
    return unpack->error == 0 && type == PACK_TRUE;
}

static struct slice unpack_borrow(struct unpack *unpack, uint64_t len)
{
    if (unpack->error == 0 && len > unpack_left(unpack))
        unpack_fail(unpack, E_TRUNCATED);
    if (unpack->error != 0)
        return slice_of(NULL, 0);
    struct slice slice = slice_of(unpack->at, len);
    unpack->at += len;
    return slice;
}

struct slice unpack_bytes(struct unpack *unpack)
{
    uint8_t type = unpack_type(unpack);
    if (unpack->error == 0 && (type < PACK_BIN8 || type > PACK_BIN32))
        unpack_fail(unpack, E_INVALID);
    if (unpack->error != 0)
        return slice_of(NULL, 0);
    uint64_t len = unpack_big_endian(unpack, 1u << (type - PACK_BIN8));
    return unpack_borrow(unpack, len);
}

struct slice unpack_text(struct unpack *unpack)
{
    uint8_t type = unpack_type(unpack);
    uint64_t len = 0;
    if ((type & 0xe0) == PACK_FIXSTR)
        len = type & 0x1f;
    else if (type >= PACK_STR8 && type <= PACK_STR32)
        len = unpack_big_endian(unpack, 1u << (type - PACK_STR8));
    else
        unpack_fail(unpack, E_INVALID);
    return unpack_borrow(unpack, len);
}

bool unpack_nil(struct unpack *unpack)
{
    if (!unpack_more(unpack) || *unpack->at != PACK_NIL)
        return false;
    unpack->at++;
    return true;
}

bool unpack_more(const struct unpack *unpack)
{
    return unpack->error == 0 && unpack->at != unpack->end;
}

int unpack_end(struct unpack *unpack)
{
    if (unpack->error == 0 && unpack->at != unpack->end)
        unpack_fail(unpack, E_TRAILING);
    return unpack->error;
}
