/* sse.h - a stream of Server-Sent Events, taken apart as the HTML standard says (section 9.2.6).
 *
 * Bytes come in pieces cut anywhere. Lines end with LF, CR or CRLF, a byte order mark in front is
 * skipped, lines that begin with a colon are comments, unknown fields are ignored, and what stands
 * behind the last blank line when the stream ends is no event. `retry` is not looked at: how long
 * insic waits before it connects again is its own business.
 *
 * One thing beyond the standard's events: a block that has an id and no data is reported as well.
 * It says up to where the stream has come.
 */
#ifndef INSI_INSIC_SSE_H
#define INSI_INSIC_SSE_H

#include <stdbool.h>

#include "base/buf.h"

struct sse_event {
    struct slice type; /* "message" where the stream names none */
    struct slice id;   /* the last one that the stream named; empty: none yet */
    struct slice data; /* the lines, with LF between them */
    bool has_data;     /* false: an id alone */
};

/* The slices are borrowed until it returns. What it returns, if not 0, ends sse_feed. */
typedef int (*sse_event_fn)(void *arg, const struct sse_event *event);

struct sse {
    sse_event_fn on_event;
    void *arg;
    struct buf line; /* the beginning of a line whose end has not come */
    struct buf data, id, type;
    size_t mark;   /* bytes of the byte order mark seen; SSE_MARK_BYTES: that is over */
    bool skips_lf; /* the last byte was a CR */
    bool names_id; /* the block has one */
    bool has_data; /* the block has a data line, be it empty */
};

/* No line, and no event's data, may be longer than bytes_max. */
void sse_init(struct sse *sse, size_t bytes_max, sse_event_fn on_event, void *arg);
void sse_fini(struct sse *sse);

/* A new stream begins. Its ids have nothing to do with those of the one before. */
void sse_restart(struct sse *sse);

/* Reports the events that these bytes complete. 0, E_TOO_LARGE, or what on_event returned; after
 * both the stream is of no use any more. */
int sse_feed(struct sse *sse, struct slice bytes);

#endif
