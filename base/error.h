/* error.h - the one list of result codes.
 *
 * Functions that can fail return 0 (E_OK) or one of these. The numbers of the codes marked
 * "stored" travel in messages and are kept in the session tables of the state workers, so a number,
 * once given, is never reused or changed. What HTTP makes of a code is decided in one place,
 * procs/gateway/http/reply.c.
 */
#ifndef INSI_BASE_ERROR_H
#define INSI_BASE_ERROR_H

/* X(name, number, text) */
#define ERROR_LIST(X)                                                                              \
    X(OK, 0, "ok")                                                                                 \
    /* outcomes of commands: stored */                                                             \
    X(NOT_FOUND, 1, "not found")                                                                   \
    X(CONFLICT, 2, "precondition failed")                                                          \
    X(NOT_A_NUMBER, 3, "not a number")                                                             \
    X(OVERFLOW, 4, "number out of range")                                                          \
    X(QUEUE_NOT_FOUND, 5, "queue not found")                                                       \
    X(QUEUE_EMPTY, 6, "queue empty")                                                               \
    X(STORAGE_FULL, 7, "storage full")                                                             \
    X(BAD_COMMAND, 8, "command not understood")                                                    \
    X(SESSION_EXPIRED, 9, "session not known")                                                     \
    X(OUTCOME_UNKNOWN, 10, "outcome unknown")                                                      \
    X(SCOPE_GONE, 11, "the API key was deleted")                                                   \
    X(QUEUE_WAITING, 12, "waits for an item")                                                      \
    /* cluster: in messages */                                                                     \
    X(NO_LEADER, 20, "no leader")                                                                  \
    X(NOT_LEADER, 21, "not the leader")                                                            \
    X(BUSY, 22, "too much in flight")                                                              \
    X(TIMEOUT, 23, "timed out")                                                                    \
    /* local: never stored, never sent */                                                          \
    X(IO, 40, "input/output error")                                                                \
    X(CORRUPT, 41, "data is corrupt")                                                              \
    X(TRUNCATED, 42, "data ends early")                                                            \
    X(TRAILING, 43, "data left over")                                                              \
    X(INVALID, 44, "invalid value")                                                                \
    X(TOO_LARGE, 45, "too large")                                                                  \
    X(VERSION, 46, "version mismatch")                                                             \
    X(FOREIGN, 47, "belongs to another node or cluster")                                           \
    X(EXISTS, 48, "exists already")                                                                \
    X(PEER_DOWN, 49, "peer is down")                                                               \
    X(CLOSED, 50, "closed")                                                                        \
    X(USAGE, 51, "wrong usage")                                                                    \
    X(DENIED, 52, "not permitted")

enum error {
#define X(name, number, text) E_##name = number,
    ERROR_LIST(X)
#undef X
};

/* The text of a code; "unknown error" for a number that is not in the list. Static storage. */
const char *error_text(int code);

/* The code's name without the E_ prefix ("NOT_FOUND"), for log lines. Static storage. */
const char *error_name(int code);

#endif
