/* bytes.h - numbers in stored records and on the wire: little-endian, but big-endian in keys of
 * maps (so that byte order is number order), whatever the machine. No alignment is asked for.
 */
#ifndef INSI_BASE_BYTES_H
#define INSI_BASE_BYTES_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t bytes_get_u64(const void *bytes)
{
    uint64_t value;

    memcpy(&value, bytes, sizeof(value));
    return le64toh(value);
}

static inline void bytes_put_u64(void *bytes, uint64_t value)
{
    value = htole64(value);
    memcpy(bytes, &value, sizeof(value));
}

static inline uint32_t bytes_get_u32(const void *bytes)
{
    uint32_t value;

    memcpy(&value, bytes, sizeof(value));
    return le32toh(value);
}

static inline void bytes_put_u32(void *bytes, uint32_t value)
{
    value = htole32(value);
    memcpy(bytes, &value, sizeof(value));
}

static inline uint64_t bytes_get_key_u64(const void *bytes)
{
    uint64_t value;

    memcpy(&value, bytes, sizeof(value));
    return be64toh(value);
}

static inline void bytes_put_key_u64(void *bytes, uint64_t value)
{
    value = htobe64(value);
    memcpy(bytes, &value, sizeof(value));
}

#endif
