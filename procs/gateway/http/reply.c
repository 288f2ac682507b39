/* reply.c - see reply.h. */
#include "procs/gateway/http/reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "procs/gateway/http/http_request.h"
#include "procs/gateway/http/json.h"

#define REPLY_COPY_BYTES (16u << 10) /* beyond, the buffer itself becomes the answer */

const char *reply_error_name(enum reply_error error)
{
    static const char *const names[] = {
#define X(name, status) #name,
        REPLY_ERRORS(X)
#undef X
    };
    CHECK(error < REPLY_ERROR_COUNT);
    return names[error];
}

unsigned reply_error_status(enum reply_error error)
{
    static const unsigned statuses[] = {
#define X(name, status) status,
        REPLY_ERRORS(X)
#undef X
    };
    CHECK(error < REPLY_ERROR_COUNT);
    return statuses[error];
}

static const char *reply_reason(unsigned status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 409:
        return "Conflict";
    case 413:
        return "Payload Too Large";
    case 426:
        return "Upgrade Required";
    case 429:
        return "Too Many Requests";
    case 500:
        return "Internal Server Error";
    case 503:
        return "Service Unavailable";
    default:
        CHECK(status == 507);
        return "Insufficient Storage";
    }
}

void reply_error_body(struct buf *out, enum reply_error error, const char *before,
                      struct slice about, const char *after)
{
    int failed = buf_printf(out, "{\"error_type\":\"%s\",\"message\":\"", reply_error_name(error));
    failed |= json_append_escaped(out, slice_text(before));
    failed |= json_append_escaped(out, about);
    failed |= json_append_escaped(out, slice_text(after));
    failed |= buf_append_text(out, "\"}");
    CHECK(failed == 0);
}

static void reply_free_body(void *holder)
{
    free(*(void **)holder);
}

void reply_seal(struct reply *reply, h2o_req_t *http, unsigned status, struct buf *built)
{
    *reply = (struct reply){.status = status};
    reply->body.len = built->len;
    if (built->len <= REPLY_COPY_BYTES) {
        reply->body.base = h2o_mem_alloc_pool(&http->pool, built->len);
        memcpy(reply->body.base, built->data, built->len);
        buf_clear(built);
        return;
    }
    void **holder = h2o_mem_alloc_shared(&http->pool, sizeof(*holder), reply_free_body);
    *holder = built->data;
    reply->body.base = (char *)built->data;
    buf_init(built, built->max);
}

static void reply_add_header(h2o_req_t *http, const h2o_token_t *name, const char *value)
{
    h2o_add_header(&http->pool, &http->res.headers, name, NULL, value, strlen(value));
}

void reply_describe(const struct reply *reply, h2o_req_t *http)
{
    CHECK(reply->status != 0);
    http->res.status = (int)reply->status;
    http->res.reason = reply_reason(reply->status);
    http->res.content_length = reply->body.len;
    http->res.headers = (h2o_headers_t){NULL};
    if (reply->closes)
        http->http1_is_persistent = 0;
    reply_add_header(http, H2O_TOKEN_CONTENT_TYPE, "application/json");
    if (reply->allow != NULL)
        reply_add_header(http, H2O_TOKEN_ALLOW, reply->allow);
    if (reply->upgrade != NULL) {
        if (!http_is_version_2(http)) /* HTTP/2 knows no such header */
            reply_add_header(http, H2O_TOKEN_UPGRADE, "websocket");
        h2o_add_header_by_str(&http->pool, &http->res.headers, H2O_STRLIT("sec-websocket-version"),
                              0, NULL, reply->upgrade, strlen(reply->upgrade));
    }
    if (reply->wants_authorization)
        reply_add_header(http, H2O_TOKEN_WWW_AUTHENTICATE, "Bearer");
    if (reply->retry_after_s != 0) {
        char *text = h2o_mem_alloc_pool(&http->pool, sizeof(H2O_UINT64_LONGEST_STR));
        snprintf(text, sizeof(H2O_UINT64_LONGEST_STR), "%llu",
                 (unsigned long long)reply->retry_after_s);
        reply_add_header(http, H2O_TOKEN_RETRY_AFTER, text);
    }
}

void reply_send(struct reply *reply, h2o_req_t *http)
{
    static h2o_generator_t generator; /* nothing is generated later: the whole body is there */

    reply_describe(reply, http);
    h2o_start_response(http, &generator);
    if (h2o_memis(http->input.method.base, http->input.method.len, H2O_STRLIT("HEAD")))
        h2o_send(http, NULL, 0, H2O_SEND_STATE_FINAL);
    else
        h2o_send(http, &reply->body, 1, H2O_SEND_STATE_FINAL);
}

enum reply_error reply_of_outcome(int error, const char **message)
{
    switch (error) {
    case E_NOT_FOUND:
        *message = "there is nothing of that name";
        return REPLY_NOT_FOUND;
    case E_CONFLICT:
        *message = "the precondition does not hold";
        return REPLY_CONFLICT;
    case E_NOT_A_NUMBER:
        *message = "the stored value is not an integer";
        return REPLY_NOT_A_NUMBER;
    case E_OVERFLOW:
        *message = "the result would not fit 64 bits";
        return REPLY_OVERFLOW;
    case E_QUEUE_NOT_FOUND:
        *message = "there is no such queue";
        return REPLY_QUEUE_NOT_FOUND;
    case E_QUEUE_EMPTY:
        *message = "the queue is empty";
        return REPLY_QUEUE_EMPTY;
    case E_STORAGE_FULL:
        *message = "the disk or memory limit is reached; nothing was written";
        return REPLY_STORAGE_FULL;
    case E_SCOPE_GONE:
        *message = "the token is missing or unknown";
        return REPLY_AUTHENTICATION_FAILED;
    case E_NO_LEADER:
        *message = "no leader or no quorum within the request timeout; nothing was written";
        return REPLY_NO_LEADER;
    case E_BUSY:
        *message = "too much is being written at once; nothing was written";
        return REPLY_RATE_LIMITED;
    case E_TOO_LARGE:
        *message = "the request is too large for one log entry";
        return REPLY_PAYLOAD_TOO_LARGE;
    case E_OUTCOME_UNKNOWN:
    case E_SESSION_EXPIRED:
        *message = "the write may or may not have happened";
        return REPLY_OUTCOME_UNKNOWN;
    default:
        *message = "the write was refused by this node; its log says why";
        return REPLY_INTERNAL;
    }
}
