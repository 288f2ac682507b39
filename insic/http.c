/* http.c - one request to one server, on libcurl; its answer at once, or as a stream. */
#include "insic/http.h"

#include <curl/curl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/version.h"
#include "insic/print.h"

/* The largest value with every byte escaped ("\u0001"), and what stands around it. */
#define HTTP_ANSWER_BYTES_MAX (6ull * LIMIT_BODY_MAX + (1u << 20))
/* A body that does not fit the socket's buffers is announced first: a server that refuses it would
 * close while it is being sent, and its answer could be lost. */
#define HTTP_EXPECT_BYTES 65536
#define HTTP_URL_BYTES_MAX (2u << 20)
/* A host that is gone is noticed after the idle time and the system's number of probes. */
#define HTTP_KEEPALIVE_IDLE_S 15L
#define HTTP_KEEPALIVE_PROBE_S 5L
#define HTTP_STREAM_TYPE "text/event-stream"

struct http {
    CURL *easy;
    struct http_options options;
    char error[CURL_ERROR_SIZE];
};

struct http *http_new(const struct http_options *options)
{
    struct http *http = mem_alloc(sizeof(*http));
    CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    http->easy = curl_easy_init();
    http->options = *options;
    CHECK(http->easy);
    return http;
}

void http_free(struct http **http)
{
    if (!*http)
        return;
    curl_easy_cleanup((*http)->easy);
    curl_global_cleanup();
    free(*http);
    *http = NULL;
}

static size_t http_on_body(char *data, size_t size, size_t count, void *arg)
{
    struct buf *body = arg;
    return buf_append(body, data, size * count) == 0 ? size * count : 0;
}

#define HTTP_SET(http, option, value)                                                              \
    CHECK(curl_easy_setopt((http)->easy, (option), (value)) == CURLE_OK)

static void http_set_tls(struct http *http)
{
    if (http->options.skip_verify) {
        HTTP_SET(http, CURLOPT_SSL_VERIFYPEER, 0L);
        HTTP_SET(http, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (http->options.ca)
        HTTP_SET(http, CURLOPT_CAINFO, http->options.ca);
    if (http->options.ca_only)
        HTTP_SET(http, CURLOPT_CAPATH, NULL);
}

/* What is the same for all requests; a reset handle keeps its connections. */
static void http_set_defaults(struct http *http)
{
    curl_easy_reset(http->easy);
    HTTP_SET(http, CURLOPT_ERRORBUFFER, http->error);
    HTTP_SET(http, CURLOPT_NOSIGNAL, 1L);
    HTTP_SET(http, CURLOPT_PROXY, "");
    HTTP_SET(http, CURLOPT_PROTOCOLS_STR, "http,https");
    HTTP_SET(http, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    HTTP_SET(http, CURLOPT_USERAGENT, "insic/" INSI_VERSION);
    http_set_tls(http);
}

static struct curl_slist *http_append(struct curl_slist *list, const char *text)
{
    struct curl_slist *longer = curl_slist_append(list, text);
    CHECK(longer);
    return longer;
}

static struct curl_slist *http_headers(const struct http_request *request, bool stream)
{
    char authorization[TARGET_TOKEN_BYTES + 32];
    snprintf(authorization, sizeof(authorization), "Authorization: Bearer %s", request->token);
    struct curl_slist *headers = http_append(NULL, authorization);
    if (request->body)
        headers = http_append(headers, "Content-Type: application/json");
    if (request->body && request->body->len > HTTP_EXPECT_BYTES)
        headers = http_append(headers, "Expect: 100-continue");
    if (stream)
        headers = http_append(headers, "Accept: " HTTP_STREAM_TYPE);
    if (request->last_event_id) {
        char header[128];
        CHECK((size_t)snprintf(header, sizeof(header), "Last-Event-ID: %s",
                               request->last_event_id) < sizeof(header));
        headers = http_append(headers, header);
    }
    return headers;
}

/* The connection's own message is the better one, where there is one. */
static void http_explain(struct http *http, CURLcode code, struct http_answer *answer)
{
    const char *text = http->error[0] ? http->error : curl_easy_strerror(code);
    long sent = 0;
    CHECK(curl_easy_getinfo(http->easy, CURLINFO_REQUEST_SIZE, &sent) == CURLE_OK);
    answer->sent = sent > 0;
    if (code == CURLE_WRITE_ERROR)
        snprintf(answer->problem, sizeof(answer->problem), "the answer is larger than %llu MiB",
                 HTTP_ANSWER_BYTES_MAX >> 20);
    else
        snprintf(answer->problem, sizeof(answer->problem), "%.*s", (int)strcspn(text, "\r\n"),
                 text);
}

/* ---- streams ---- */

struct follow { /* a stream under way */
    struct http *http;
    const struct http_stream *stream;
    struct http_answer *answer;
    uint64_t deadline_ms; /* until then it has begun, or brought more */
    bool has_begun;
    int error; /* why it was ended here */
};

static bool follow_is_stream(struct http *http)
{
    long status = 0;
    char *type = NULL;
    CHECK(curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK);
    CHECK(curl_easy_getinfo(http->easy, CURLINFO_CONTENT_TYPE, &type) == CURLE_OK);
    return status == 200 && type &&
           strncasecmp(type, HTTP_STREAM_TYPE, strlen(HTTP_STREAM_TYPE)) == 0;
}

static void follow_take(struct follow *follow, struct slice bytes)
{
    const struct http_stream *stream = follow->stream;
    if (!follow->error)
        follow->error = stream->on_bytes(stream->arg, bytes);
    follow->deadline_ms = clock_boot_ms() + stream->silence_ms;
}

static bool follow_begins(struct follow *follow)
{
    if (!follow->has_begun && follow_is_stream(follow->http)) {
        follow->has_begun = true;
        follow_take(follow, slice_of("", 0));
    }
    return follow->has_begun;
}

static size_t follow_on_body(char *data, size_t size, size_t count, void *arg)
{
    struct follow *follow = arg;
    if (!follow_begins(follow))
        return http_on_body(data, size, count, &follow->answer->body);
    follow_take(follow, slice_of(data, size * count));
    return follow->error ? 0 : size * count;
}

/* Waits until there is something to do, or to end. */
static void follow_wait(struct follow *follow, CURLM *multi)
{
    struct http_answer *answer = follow->answer;
    struct curl_waitfd reader = {.fd = STDOUT_FILENO}; /* wakes when its reader goes away */
    uint64_t now_ms = clock_boot_ms();
    if (print_reader_is_gone()) {
        follow->error = E_CLOSED;
    } else if (now_ms >= follow->deadline_ms) {
        follow->error = E_TIMEOUT;
        snprintf(answer->problem, sizeof(answer->problem),
                 follow->has_begun ? "nothing came for too long" : "no answer in time");
    } else {
        uint64_t rest_ms = follow->deadline_ms - now_ms;
        int wait_ms = rest_ms < INT_MAX ? (int)rest_ms : INT_MAX;
        CHECK(curl_multi_poll(multi, &reader, 1, wait_ms, NULL) == CURLM_OK);
    }
}

/* In place of curl_easy_perform, which looks at the clock once a second and at stdout never. */
static CURLcode follow_perform(struct follow *follow)
{
    CURLM *multi = curl_multi_init();
    CURLcode code = CURLE_OK;
    int running = 0, messages;
    CHECK(multi);
    CHECK(curl_multi_add_handle(multi, follow->http->easy) == CURLM_OK);
    for (;;) {
        CHECK(curl_multi_perform(multi, &running) == CURLM_OK);
        follow_begins(follow);
        if (!running || follow->error)
            break;
        follow_wait(follow, multi);
    }
    const CURLMsg *message = running ? NULL : curl_multi_info_read(multi, &messages);
    if (message)
        code = message->data.result;
    CHECK(curl_multi_remove_handle(multi, follow->http->easy) == CURLM_OK);
    CHECK(curl_multi_cleanup(multi) == CURLM_OK);
    return code;
}

static int follow_result(const struct follow *follow, int error)
{
    struct http_answer *answer = follow->answer;
    if (follow->error)
        return follow->error;
    if (follow->has_begun && !error)
        snprintf(answer->problem, sizeof(answer->problem), "the server ended the stream");
    return follow->has_begun && !error ? E_PEER_DOWN : error;
}

/* ---- one request ---- */

static CURLcode http_perform_at(struct http *http, struct follow *follow)
{
    return follow ? follow_perform(follow) : curl_easy_perform(http->easy);
}

static CURLcode http_perform(struct http *http, const struct http_request *request,
                             struct follow *follow, struct http_answer *answer)
{
    CURLcode code = http_perform_at(http, follow);
    if (code != CURLE_COULDNT_RESOLVE_HOST || !request->target->loopback)
        return code;
    struct curl_slist *connect_to = http_append(NULL, request->target->loopback);
    HTTP_SET(http, CURLOPT_CONNECT_TO, connect_to);
    buf_clear(&answer->body);
    http->error[0] = '\0';
    code = http_perform_at(http, follow);
    HTTP_SET(http, CURLOPT_CONNECT_TO, NULL);
    curl_slist_free_all(connect_to);
    return code;
}

static void http_set_body(struct http *http, const struct buf *body)
{
    HTTP_SET(http, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->len);
    HTTP_SET(http, CURLOPT_POSTFIELDS, (const char *)body->data);
}

/* Who takes the answer, and how long it may take. */
static void http_set_answer(struct http *http, const struct http_request *request,
                            struct follow *follow, struct http_answer *answer)
{
    HTTP_SET(http, CURLOPT_CONNECTTIMEOUT_MS, (long)request->connect_ms);
    if (follow) {
        HTTP_SET(http, CURLOPT_WRITEFUNCTION, follow_on_body);
        HTTP_SET(http, CURLOPT_WRITEDATA, follow);
        HTTP_SET(http, CURLOPT_TCP_KEEPALIVE, 1L);
        HTTP_SET(http, CURLOPT_TCP_KEEPIDLE, HTTP_KEEPALIVE_IDLE_S);
        HTTP_SET(http, CURLOPT_TCP_KEEPINTVL, HTTP_KEEPALIVE_PROBE_S);
        return;
    }
    HTTP_SET(http, CURLOPT_WRITEFUNCTION, http_on_body);
    HTTP_SET(http, CURLOPT_WRITEDATA, &answer->body);
    HTTP_SET(http, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
    if (request->stall_ms > 0) {
        HTTP_SET(http, CURLOPT_LOW_SPEED_LIMIT, 1L);
        HTTP_SET(http, CURLOPT_LOW_SPEED_TIME, (long)((request->stall_ms + 999) / 1000));
    }
}

static int http_exchange(struct http *http, const struct http_request *request,
                         struct follow *follow, struct http_answer *answer)
{
    struct buf url;
    const struct target *target = request->target;
    struct curl_slist *headers = http_headers(request, follow != NULL), *connect_to = NULL;
    *answer = (struct http_answer){0};
    buf_init(&answer->body, HTTP_ANSWER_BYTES_MAX);
    buf_init(&url, HTTP_URL_BYTES_MAX);
    CHECK(buf_printf(&url, "%s%s%s", target->url, request->path, request->query) == 0);
    CHECK(buf_append_byte(&url, '\0') == 0);
    http->error[0] = '\0';
    http_set_defaults(http);
    http_set_answer(http, request, follow, answer);
    HTTP_SET(http, CURLOPT_URL, (const char *)url.data);
    HTTP_SET(http, CURLOPT_HTTPHEADER, headers);
    if (target->connect_to) {
        connect_to = http_append(NULL, target->connect_to);
        HTTP_SET(http, CURLOPT_CONNECT_TO, connect_to);
    }
    if (request->body)
        http_set_body(http, request->body);
    CURLcode code = http_perform(http, request, follow, answer);
    if (code == CURLE_OK)
        CHECK(curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, &answer->status) == CURLE_OK);
    else
        http_explain(http, code, answer);
    curl_easy_reset(http->easy); /* it points at what is freed here */
    curl_slist_free_all(headers);
    curl_slist_free_all(connect_to);
    buf_fini(&url);
    if (code == CURLE_OK)
        return 0;
    return code == CURLE_OPERATION_TIMEDOUT ? E_TIMEOUT
           : code == CURLE_WRITE_ERROR      ? E_TOO_LARGE
                                            : E_PEER_DOWN;
}

int http_send(struct http *http, const struct http_request *request, struct http_answer *answer)
{
    return http_exchange(http, request, NULL, answer);
}

int http_stream(struct http *http, const struct http_request *request,
                const struct http_stream *stream, struct http_answer *answer)
{
    struct follow follow = {.http = http,
                            .stream = stream,
                            .answer = answer,
                            .deadline_ms = clock_boot_ms() + request->timeout_ms};
    int error = http_exchange(http, request, &follow, answer);
    return follow_result(&follow, error);
}

void http_answer_fini(struct http_answer *answer)
{
    buf_fini(&answer->body);
}
