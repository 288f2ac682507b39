/* bytes.h - numbers in stored records: little-endian in values, big-endian in keys (so that byte
 * order is number order), whatever the machine.
 */
#ifndef INSI_SHM_BYTES_H
#define INSI_SHM_BYTES_H

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
