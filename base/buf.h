/* buf.h - bounded growable bytes.
 *
 * A buffer owns its memory, grows by doubling and never beyond its maximum: what does not fit is
 * refused with E_TOO_LARGE and the buffer stays as it was. Out of memory aborts.
 */
#ifndef INSI_BASE_BUF_H
#define INSI_BASE_BUF_H

#include <stdint.h>

#include "base/slice.h"

struct buf {
    uint8_t *data;
    size_t len; /* bytes in use */
    size_t cap; /* bytes allocated */
    size_t max; /* bytes allowed */
};

void buf_init(struct buf *buf, size_t max);    /* allocates nothing yet */
void buf_fini(struct buf *buf);                /* frees; the buffer may be initialised again */
void buf_clear(struct buf *buf);               /* forgets the bytes, keeps the memory */
void buf_shrink(struct buf *buf, size_t keep); /* frees memory beyond keep bytes when empty */

int buf_append(struct buf *buf, const void *data, size_t len);
int buf_append_text(struct buf *buf, const char *text);
int buf_append_byte(struct buf *buf, uint8_t byte);
int buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Makes room for len more bytes and returns where they go; the caller adds to buf->len what it
 * wrote. NULL when the maximum forbids it. */
uint8_t *buf_reserve(struct buf *buf, size_t len);

/* Removes len bytes from the front. */
void buf_consume(struct buf *buf, size_t len);

static inline struct slice buf_slice(const struct buf *buf)
{
    return (struct slice){buf->data, buf->len};
}

#endif
