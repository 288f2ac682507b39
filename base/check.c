/* check.c - what happens when the impossible happens: one log line, then abort. */
#include "base/check.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

void check_failed(const char *file, int line, const char *function, const char *what)
{
    LOG_ERROR("check_failed", LOG_STR("what", what), LOG_STR("function", function),
              LOG_STR("file", file), LOG_U64("line", line));
    abort();
}

void *mem_alloc(unsigned long size)
{
    void *memory = calloc(1, size ? size : 1);
    CHECK(memory);
    return memory;
}

void *mem_resize(void *old, unsigned long size)
{
    void *memory = realloc(old, size ? size : 1);
    CHECK(memory);
    return memory;
}

void *mem_grow(void *items, unsigned *room, unsigned long item_bytes, unsigned first)
{
    CHECK(first > 0 && *room <= UINT_MAX / 2);
    *room = *room > 0 ? 2 * *room : first;
    return mem_resize(items, *room * item_bytes);
}

char *mem_copy_string(const char *text)
{
    return mem_copy(text, strlen(text) + 1);
}

void *mem_copy(const void *data, unsigned long size)
{
    void *memory = mem_alloc(size);
    if (size > 0)
        memcpy(memory, data, size);
    return memory;
}
