/* asks.c - see asks.h. Ids are never used again, so an answer to a question of an earlier
 * connection finds nobody. */
#include "procs/gateway/asks.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"

static uint64_t asks_now(const struct asks *asks)
{
    return asks->wire.now_ns(asks->wire.arg);
}

void asks_init(struct asks *asks, const struct asks_wire *wire)
{
    *asks = (struct asks){.wire = *wire};
}

/* Under a fresh id each time. What raft's link does not take now is sent when it is up, or after a
 * moment. */
static void ask_send(struct asks *asks, struct ask *ask)
{
    int error;
    ask->id = ++asks->ids;
    if (ask->is_change) {
        ask->change.id = ask->id;
        error = asks->wire.change(asks->wire.arg, &ask->change);
    } else {
        error = asks->wire.ask_cluster(asks->wire.arg, &(struct msg_cluster_ask){ask->id});
    }
    CHECK(error == 0 || error == E_PEER_DOWN || error == E_BUSY);
    ask->is_sent = error == 0;
    if (error == E_BUSY)
        asks->retry_ns = asks_now(asks) + ASKS_RETRY_MS * NS_PER_MS;
}

int ask_begin(struct asks *asks, struct ask *ask)
{
    struct ask **at = &asks->first;
    CHECK(!ask->is_open);
    if (asks->count == ASKS_MAX)
        return E_BUSY;
    while (*at != NULL)
        at = &(*at)->next;
    *at = ask;
    ask->next = NULL;
    ask->is_open = true;
    asks->count++;
    ask_send(asks, ask);
    return 0;
}

void ask_end(struct asks *asks, struct ask *ask)
{
    struct ask **at = &asks->first;
    if (!ask->is_open)
        return;
    while (*at != ask)
        at = &(*at)->next;
    *at = ask->next;
    ask->is_open = false;
    asks->count--;
}

static void ask_finish(struct asks *asks, struct ask *ask, const struct ask_answer *answer)
{
    ask_end(asks, ask);
    ask->done(ask->arg, answer);
}

static struct ask *asks_find(const struct asks *asks, uint64_t id, bool is_change)
{
    struct ask *ask = asks->first;
    while (ask != NULL && (!ask->is_sent || ask->id != id || ask->is_change != is_change))
        ask = ask->next;
    return ask;
}

/* ---- what happens ---------------------------------------------------------------------------- */

static void asks_send_all(struct asks *asks)
{
    asks->retry_ns = 0;
    for (struct ask *ask = asks->first; ask != NULL && asks->retry_ns == 0; ask = ask->next) {
        if (!ask->is_sent)
            ask_send(asks, ask);
    }
}

void asks_on_raft_up(struct asks *asks)
{
    asks_send_all(asks);
}

/* One that has to end now: at the end of its time, or a change that was lost with the connection.
 * Which is looked for anew each time, because whoever is told may begin or end others. */
static struct ask *asks_find_over(const struct asks *asks, bool is_lost, uint64_t now_ns)
{
    struct ask *ask = asks->first;
    while (ask != NULL && !(is_lost ? ask->is_sent && ask->is_change : ask->deadline_ns <= now_ns))
        ask = ask->next;
    return ask;
}

static void asks_end_over(struct asks *asks, bool is_lost)
{
    uint64_t now_ns = asks_now(asks);
    struct ask *ask;
    while ((ask = asks_find_over(asks, is_lost, now_ns)) != NULL) {
        bool is_unknown = ask->is_change && ask->is_sent;
        const struct ask_answer answer = {.error = is_unknown ? E_OUTCOME_UNKNOWN : E_NO_LEADER};
        ask_finish(asks, ask, &answer);
    }
}

void asks_on_raft_down(struct asks *asks)
{
    asks_end_over(asks, true);
    for (struct ask *ask = asks->first; ask != NULL; ask = ask->next)
        ask->is_sent = false;
    asks->retry_ns = 0;
}

void asks_on_cluster(struct asks *asks, const struct msg_cluster_answer *msg)
{
    struct ask *ask = asks_find(asks, msg->id, false);
    if (ask != NULL)
        ask_finish(asks, ask, &(struct ask_answer){.cluster = msg});
}

void asks_on_change(struct asks *asks, const struct msg_change_answer *msg)
{
    struct ask *ask = asks_find(asks, msg->id, true);
    const struct ask_answer answer = {.error = (int)msg->error, .detail = msg->detail};
    if (ask != NULL)
        ask_finish(asks, ask, &answer);
}

void asks_tick(struct asks *asks)
{
    asks_end_over(asks, false);
    if (asks->retry_ns != 0 && asks->retry_ns <= asks_now(asks))
        asks_send_all(asks);
}

uint64_t asks_due_ns(const struct asks *asks)
{
    uint64_t due_ns = asks->retry_ns != 0 && asks->count > 0 ? asks->retry_ns : UINT64_MAX;
    for (const struct ask *ask = asks->first; ask != NULL; ask = ask->next) {
        if (ask->deadline_ns < due_ns)
            due_ns = ask->deadline_ns;
    }
    return due_ns;
}
