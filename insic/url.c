/* url.c - query strings of requests. */
#include "insic/url.h"

#include <string.h>

#include "base/check.h"

static bool url_is_unreserved(unsigned char byte)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    return byte != '\0' && strchr(plain, byte) != NULL;
}

void url_add_text(struct buf *query, const char *name, const char *value)
{
    CHECK(buf_printf(query, "%c%s=", query->len ? '&' : '?', name) == 0);
    for (; *value; value++) {
        unsigned char byte = (unsigned char)*value;
        if (url_is_unreserved(byte))
            CHECK(buf_append_byte(query, byte) == 0);
        else
            CHECK(buf_printf(query, "%%%02X", byte) == 0);
    }
}

void url_add_number(struct buf *query, const char *name, unsigned long long value)
{
    CHECK(buf_printf(query, "%c%s=%llu", query->len ? '&' : '?', name, value) == 0);
}
