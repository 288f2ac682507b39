/* http.c - one request to one server, on libcurl. */
#include "insic/http.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/version.h"

/* The largest value with every byte escaped ("\u0001"), and what stands around it. */
#define HTTP_ANSWER_BYTES_MAX (6ull * LIMIT_BODY_MAX + (1u << 20))
/* A body that does not fit the socket's buffers is announced first: a server that refuses it would
 * close while it is being sent, and its answer could be lost. */
#define HTTP_EXPECT_BYTES 65536
#define HTTP_URL_BYTES_MAX (2u << 20)

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

static void http_set_times(struct http *http, const struct http_request *request)
{
    HTTP_SET(http, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
    HTTP_SET(http, CURLOPT_CONNECTTIMEOUT_MS, (long)request->connect_ms);
    if (request->stall_ms > 0) {
        HTTP_SET(http, CURLOPT_LOW_SPEED_LIMIT, 1L);
        HTTP_SET(http, CURLOPT_LOW_SPEED_TIME, (long)((request->stall_ms + 999) / 1000));
    }
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
    HTTP_SET(http, CURLOPT_WRITEFUNCTION, http_on_body);
    http_set_tls(http);
}

static struct curl_slist *http_append(struct curl_slist *list, const char *text)
{
    struct curl_slist *longer = curl_slist_append(list, text);
    CHECK(longer);
    return longer;
}

static struct curl_slist *http_headers(const struct http_request *request)
{
    char authorization[TARGET_TOKEN_BYTES + 32];
    snprintf(authorization, sizeof(authorization), "Authorization: Bearer %s", request->token);
    struct curl_slist *headers = http_append(NULL, authorization);
    if (request->body)
        headers = http_append(headers, "Content-Type: application/json");
    if (request->body && request->body->len > HTTP_EXPECT_BYTES)
        headers = http_append(headers, "Expect: 100-continue");
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

static CURLcode http_perform(struct http *http, const struct http_request *request,
                             struct http_answer *answer)
{
    CURLcode code = curl_easy_perform(http->easy);
    if (code != CURLE_COULDNT_RESOLVE_HOST || !request->target->loopback)
        return code;
    struct curl_slist *connect_to = http_append(NULL, request->target->loopback);
    HTTP_SET(http, CURLOPT_CONNECT_TO, connect_to);
    buf_clear(&answer->body);
    http->error[0] = '\0';
    code = curl_easy_perform(http->easy);
    HTTP_SET(http, CURLOPT_CONNECT_TO, NULL);
    curl_slist_free_all(connect_to);
    return code;
}

int http_send(struct http *http, const struct http_request *request, struct http_answer *answer)
{
    struct buf url;
    const struct target *target = request->target;
    struct curl_slist *headers = http_headers(request), *connect_to = NULL;
    *answer = (struct http_answer){0};
    buf_init(&answer->body, HTTP_ANSWER_BYTES_MAX);
    buf_init(&url, HTTP_URL_BYTES_MAX);
    CHECK(buf_printf(&url, "%s%s%s", target->url, request->path, request->query) == 0);
    CHECK(buf_append_byte(&url, '\0') == 0);
    http->error[0] = '\0';
    http_set_defaults(http);
    http_set_times(http, request);
    HTTP_SET(http, CURLOPT_URL, (const char *)url.data);
    HTTP_SET(http, CURLOPT_HTTPHEADER, headers);
    HTTP_SET(http, CURLOPT_WRITEDATA, &answer->body);
    if (target->connect_to) {
        connect_to = http_append(NULL, target->connect_to);
        HTTP_SET(http, CURLOPT_CONNECT_TO, connect_to);
    }
    if (request->body) {
        HTTP_SET(http, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body->len);
        HTTP_SET(http, CURLOPT_POSTFIELDS, (const char *)request->body->data);
    }
    CURLcode code = http_perform(http, request, answer);
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

void http_answer_fini(struct http_answer *answer)
{
    buf_fini(&answer->body);
}
