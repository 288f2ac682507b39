/* reply.h - answers: the one place where results become HTTP.
 *
 * An answer is built first (status and body, in the request's memory) and sent later, because what
 * was read under a lease may turn out not to be told. Building again replaces what was built.
 */
#ifndef INSI_GATEWAY_REPLY_H
#define INSI_GATEWAY_REPLY_H

#include <stdint.h>

#include <h2o.h>

#include "base/buf.h"

/* X(error_type, status): docs/http.md says when */
#define REPLY_ERRORS(X)                                                                            \
    X(BAD_REQUEST, 400)                                                                            \
    X(KEY_TOO_LONG, 400)                                                                           \
    X(VALUE_TOO_LARGE, 400)                                                                        \
    X(TTL_TOO_LONG, 400)                                                                           \
    X(BATCH_TOO_LARGE, 400)                                                                        \
    X(AUTHENTICATION_FAILED, 401)                                                                  \
    X(FORBIDDEN, 403)                                                                              \
    X(NOT_FOUND, 404)                                                                              \
    X(QUEUE_NOT_FOUND, 404)                                                                        \
    X(QUEUE_EMPTY, 404)                                                                            \
    X(METHOD_NOT_ALLOWED, 405)                                                                     \
    X(CONFLICT, 409)                                                                               \
    X(OVERFLOW, 409)                                                                               \
    X(NOT_A_NUMBER, 409)                                                                           \
    X(PAYLOAD_TOO_LARGE, 413)                                                                      \
    X(UPGRADE_REQUIRED, 426)                                                                       \
    X(RATE_LIMITED, 429)                                                                           \
    X(INTERNAL, 500)                                                                               \
    X(NO_LEADER, 503)                                                                              \
    X(TOO_MANY_SESSIONS, 503)                                                                      \
    X(OUTCOME_UNKNOWN, 503)                                                                        \
    X(STORAGE_FULL, 507)

enum reply_error {
#define X(name, status) REPLY_##name,
    REPLY_ERRORS(X)
#undef X
        REPLY_ERROR_COUNT
};

const char *reply_error_name(enum reply_error error); /* "NOT_FOUND" */
unsigned reply_error_status(enum reply_error error);

struct reply {
    unsigned status; /* 0: not built */
    h2o_iovec_t body;
    const char *allow;        /* of 405, else NULL */
    const char *upgrade;      /* of 426: the version of WebSocket; else NULL */
    uint64_t retry_after_s;   /* of 429, else 0 */
    bool wants_authorization; /* of 401 */
    bool closes;              /* the connection, afterwards */
};

/* {"error_type":...,"message":...} appended to out; the message is before, about (may be empty)
 * and after in a row. */
void reply_error_body(struct buf *out, enum reply_error error, const char *before,
                      struct slice about, const char *after);

/* Copies what was built into the request's memory, or hands the buffer over when it is large. */
void reply_seal(struct reply *reply, h2o_req_t *http, unsigned status, struct buf *built);

/* Status, length and headers onto the response, in place of what it had. */
void reply_describe(const struct reply *reply, h2o_req_t *http);

void reply_send(struct reply *reply, h2o_req_t *http);

/* What a write ends with, when not with success: which error, and which words. */
enum reply_error reply_of_outcome(int error, const char **message);

#endif
