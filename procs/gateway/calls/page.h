/* page.h - one page of a walk over the keys that begin with a prefix: /iterate/prefix of values and
 * of the cache.
 */
#ifndef INSI_GATEWAY_PAGE_H
#define INSI_GATEWAY_PAGE_H

#include "base/limits.h"
#include "procs/gateway/request.h"

struct page {
    struct buf *out; /* request_answer */
    struct slice prefix, after;
    uint64_t offset, passed, gone;
    uint64_t limit, count;
    uint8_t last[LIMIT_KEY_BYTES]; /* the next page begins behind it */
    size_t last_len;
    bool with_values, has_more, is_too_far;
    int error;
};

/* What the query asks for, and the answer's beginning. False after a refusal. */
bool page_begin(struct page *page, struct request *request);

#define PAGE_GONE_MAX 20000 /* keys of a page that are there and count as gone: some 2 ms */

/* A value_visit_fn; arg: the page. The walk passes over nothing by itself. */
bool page_on_key(struct slice key, const struct value_view *value, void *arg);

/* A cache_gone_fn: the page ends after PAGE_GONE_MAX, and the next one goes on behind them. It may
 * be that nothing more follows: then the next page is empty. */
bool page_on_gone(struct slice key, void *arg);

/* Builds the answer of a walk that came to error. 0, E_IO, E_CORRUPT. */
int page_end(struct page *page, struct request *request, int error);

#endif
