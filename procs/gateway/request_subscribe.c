/* request_subscribe.c - see request.h: a request that becomes a subscriber. */
#include "base/check.h"
#include "base/error.h"
#include "procs/gateway/request.h"

static void request_refuse_session(struct request *request, int error)
{
    const char *message;
    enum reply_error type;
    switch (error) {
    case E_BUSY:
        request_refuse(request, REPLY_TOO_MANY_SESSIONS,
                       "this node has sessions.maxConnections subscribers");
        break;
    case E_CLOSED:
        request_refuse(request, REPLY_NO_LEADER, "this process is about to end; subscribe again");
        break;
    case E_TIMEOUT:
        request_refuse(request, REPLY_NO_LEADER,
                       "the process that keeps this node's subscriptions did not answer in time");
        break;
    default:
        type = reply_of_outcome(error, &message);
        request_refuse(request, type, message);
        break;
    }
}

static void request_on_placed(void *arg, int error)
{
    struct request *request = arg;
    struct session *session = request->session;
    request->session = NULL;
    if (error != 0) {
        request_refuse_session(request, error);
        request_send(request);
        return;
    }
    http_awaited(request->http, true);
    request->route->subscribed(request, session);
}

void request_subscribe(struct request *request, const struct session_wish *wish)
{
    struct session_wish whole = *wish;
    whole.scope = request->who.scope;
    whole.token_hash = request->who.is_root ? NULL : request->token_hash;
    whole.deadline_ns = request->deadline_ns;
    whole.placed = request_on_placed;
    whole.arg = request;
    request_wait_for_it(request);
    int error = session_begin(request->gateway->sessions, &whole, &request->session);
    if (error != 0)
        request_refuse_session(request, error);
}
