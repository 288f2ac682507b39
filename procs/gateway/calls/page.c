/* page.c - see page.h. */
#include "procs/gateway/calls/page.h"

#include "base/error.h"
#include "procs/gateway/calls/params.h"
#include "procs/gateway/http/json.h"

#define PAGE_BYTES (4u << 20)   /* of keys and values; a page ends early beyond */
#define PAGE_PASSED_MAX 1000000 /* keys that an offset passes over: some 50 ms */
#define PAGE_LIMIT_OTHERWISE 100

static int page_append_item(struct page *page, struct slice key, struct slice value)
{
    int error = page->count > 0 ? buf_append_byte(page->out, ',') : 0;
    if (!page->with_values)
        return error != 0 ? error : json_append_string(page->out, key);
    error = error != 0 ? error : buf_append_text(page->out, "{\"key\":");
    error = error != 0 ? error : json_append_string(page->out, key);
    error = error != 0 ? error : buf_append_text(page->out, ",\"value\":");
    error = error != 0 ? error : json_append_string(page->out, value);
    return error != 0 ? error : buf_append_byte(page->out, '}');
}

static void page_note_last(struct page *page, struct slice key)
{
    memcpy(page->last, key.data, key.len);
    page->last_len = key.len;
}

/* Whether the walk may go on to where the offset ends. */
static bool page_may_pass(struct page *page)
{
    page->is_too_far = page->passed + page->gone > PAGE_PASSED_MAX;
    return !page->is_too_far;
}

bool page_on_gone(struct slice key, void *arg)
{
    struct page *page = arg;
    page->gone++;
    if (page->passed < page->offset)
        return page_may_pass(page);
    if (page->gone < PAGE_GONE_MAX)
        return true;
    page_note_last(page, key);
    page->has_more = true;
    return false;
}

bool page_on_key(struct slice key, const struct value_view *value, void *arg)
{
    struct page *page = arg;
    if (page->passed < page->offset) {
        page->passed++;
        return page_may_pass(page);
    }
    size_t bytes = page->out->len + key.len + (page->with_values ? value->data.len : 0);
    if (page->count == page->limit || (page->count > 0 && bytes > PAGE_BYTES)) {
        page->has_more = true;
        return false;
    }
    page->error = page_append_item(page, key, value->data);
    page_note_last(page, key);
    page->count++;
    return page->error == 0;
}

static bool page_take_query(struct page *page, struct request *request)
{
    struct slice unused;
    page->prefix = page->after = slice_of("", 0);
    bool resumes = query_find(&request->query, "after", &page->after);
    if (query_find(&request->query, "prefix", &page->prefix) && page->prefix.len > 0 &&
        !params_check_key(request, "prefix", page->prefix))
        return false;
    if (page->after.len > 0 && !params_check_key(request, "after", page->after))
        return false;
    if (!params_number(request, "limit", PAGE_LIMIT_OTHERWISE, 1, LIMIT_SCAN_ITEMS, &page->limit) ||
        !params_number(request, "offset", 0, 0, INT64_MAX, &page->offset) ||
        !params_flag(request, "values", &page->with_values))
        return false;
    if (resumes && query_find(&request->query, "offset", &unused)) {
        request_refuse(request, REPLY_BAD_REQUEST, "'after' and 'offset' exclude each other");
        return false;
    }
    return true;
}

bool page_begin(struct page *page, struct request *request)
{
    *page = (struct page){.out = request_answer(request)};
    if (!page_take_query(page, request))
        return false;
    buf_append_text(page->out, "{\"data\":[");
    return true;
}

int page_end(struct page *page, struct request *request, int error)
{
    error = error != 0 ? error : page->error;
    if (error != 0)
        return error;
    if (page->is_too_far) {
        request_refuse(request, REPLY_BAD_REQUEST,
                       "'offset' passes over more than 1000000 keys: use 'after'");
        return 0;
    }
    buf_append_byte(page->out, ']');
    if (page->has_more) {
        buf_append_text(page->out, ",\"next\":");
        json_append_string(page->out, slice_of(page->last, page->last_len));
    }
    buf_append_byte(page->out, '}');
    request_reply(request);
    return 0;
}
