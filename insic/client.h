/* client.h - calls of the API: servers in order, answers as JSON, errors as text.
 *
 * A call is tried at one server after the other. The next one is asked when a server cannot be
 * reached or answers 503 NO_LEADER; for a read also when the answer does not come. A write whose
 * request may have reached a server is never repeated: its outcome is unknown, and the caller is
 * told so. --timeout holds for one call, over all servers that are tried.
 */
#ifndef INSI_INSIC_CLIENT_H
#define INSI_INSIC_CLIENT_H

#include <jansson.h>

#include "base/config.h"
#include "insic/http.h"
#include "insic/options.h"
#include "insic/target.h"

#define CLIENT_API "/db/api/v1" /* every path begins with it */

struct client {
    const struct options *options;
    struct config config; /* all zero without one */
    bool configured;
    struct targets targets;
    unsigned first; /* is asked first: it answered last */
    char token[TARGET_TOKEN_BYTES];
    struct http *http;
};

/* Reads what the flags ask for. With needs_token false no token is looked for. E_USAGE, E_INVALID
 * or E_IO after saying what is wrong; client_close in every case. */
int client_open(struct client *client, const struct options *options, bool needs_token);
void client_close(struct client *client);

/* From now on this node is asked first, if it is one of those that may be asked. */
void client_prefer(struct client *client, const char *id);

struct call {
    const char *path;       /* "/get" */
    const char *query;      /* "?key=a"; NULL: none */
    json_t *body;           /* of a POST, taken over and freed; NULL: see text */
    const struct buf *text; /* of a POST, JSON as it is to be sent; NULL too: a GET */
    const char *token;      /* NULL: the client's */
    const char *missing;    /* what 404 NOT_FOUND means; NULL: the server's message */
    const char *conflict;   /* what 409 CONFLICT means; NULL: the server's message */
    uint64_t hold_ms;       /* the server may hold the request so long, beyond --timeout */
};

/* 0 with the answer (*out, to be decref'ed). Otherwise the error was reported: E_NOT_FOUND,
 * E_CONFLICT, E_DENIED (401, 403), E_TIMEOUT, E_PEER_DOWN, E_OUTCOME_UNKNOWN, or E_IO for any other
 * refusal. With -o json the server's answer, whatever it says, is on stdout already. */
int client_call(struct client *client, const struct call *call, json_t **out);

/* The same for a command that has nothing to print but "OK". */
int client_call_ok(struct client *client, const struct call *call);

/* The same for one that prints a member of the answer: the bytes of a JSON_STRING, or a
 * JSON_INTEGER. */
int client_call_member(struct client *client, const struct call *call, const char *member,
                       json_type type);

/* A GET of what belongs to a key ("?key=..."), which prints a member of the answer. */
int client_get_member(struct client *client, const struct call *call, const char *key,
                      const char *member, json_type type);

/* For what is more than a call: an attempt at one server. */
struct client_attempt {
    const struct target *target;
    struct http_answer answer;
    int error;
};

/* Reports that no server answers; the last error. */
int client_report_unreachable(const struct client_attempt *attempts, unsigned count);

/* Reports what a server said instead of what was hoped for; a code as of client_call. */
int client_report_answer(struct client *client, const struct client_attempt *attempt);

/* Reports an answer that lacks what the API promises; E_IO. */
int client_refuse_answer(void);

#endif
