/* http.h - one request to one server, on libcurl; its answer at once, or as a stream.
 *
 * HTTP/1.1, with or without TLS, never through a proxy (the environment's proxy variables are not
 * looked at: most nodes are local, and a token belongs to nobody in between) and never following a
 * redirect. Which server is asked, and what happens when it does not answer, is client.c's.
 */
#ifndef INSI_INSIC_HTTP_H
#define INSI_INSIC_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "insic/target.h"

struct http;

struct http_options {
    const char *ca;   /* file with the certificates to trust; NULL: the system's */
    bool ca_only;     /* trust no others than those of ca */
    bool skip_verify; /* accept any certificate */
};

/* Strings of the options must live as long as the result. */
struct http *http_new(const struct http_options *options);
void http_free(struct http **http);

struct http_request {
    const struct target *target;
    const char *path;  /* behind the target's URL: "/db/api/v1/get" */
    const char *query; /* "?key=a", or "" */
    const char *token;
    const struct buf *body;    /* of a POST; NULL: a GET */
    const char *last_event_id; /* up to where a stream was received; NULL: not said */
    uint64_t timeout_ms;       /* for all of it; of a stream, until it begins */
    uint64_t connect_ms;       /* for the connection alone */
    uint64_t stall_ms;         /* give up when nothing moves so long; 0: never. In whole seconds */
};

struct http_answer {
    long status;
    struct buf body;
    bool sent;         /* without an answer: some of the request may have reached a server */
    char problem[512]; /* without an answer: why */
};

/* 0 with an answer of any status; else E_TIMEOUT, E_PEER_DOWN or E_TOO_LARGE, with the reason in
 * the answer. http_answer_fini frees in every case. */
int http_send(struct http *http, const struct http_request *request, struct http_answer *answer);

struct http_stream { /* takes what comes; what it returns, if not 0, ends the stream */
    int (*on_bytes)(void *arg, struct slice bytes); /* first without any: the stream has begun */
    void *arg;
    uint64_t silence_ms; /* the server is gone when nothing came for so long */
};

/* The same for an answer that does not end: status 200, text/event-stream. Any other one comes as
 * from http_send, with 0. A stream always ends with a code: E_PEER_DOWN (also when the server ended
 * it in order) or E_TIMEOUT with the reason in the answer, E_CLOSED when nobody reads stdout any
 * more, or what on_bytes returned. */
int http_stream(struct http *http, const struct http_request *request,
                const struct http_stream *stream, struct http_answer *answer);
void http_answer_fini(struct http_answer *answer);

#endif
