/* gateways.c - the conversation with the gateways. */
#include "procs/raft/gateways.h"

#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "ipc/entry.h"

/* ---- what gateways say ------------------------------------------------------------------------
 */

/* A gateway has several, and gets others in time. A refusal from afar names its session only. */
static bool gateways_has_session(const struct gateways_link *from, uint64_t session)
{
    bool has = false;
    for (unsigned i = 0; i < GATEWAYS_SESSIONS; i++)
        has |= from->sessions[i] == session;
    return has;
}

static void gateways_note_session(struct gateways_link *from, uint64_t session)
{
    if (gateways_has_session(from, session))
        return;
    from->sessions[from->session_next] = session;
    from->session_next = (from->session_next + 1) % GATEWAYS_SESSIONS;
}

static void gateways_on_propose(struct gateways_link *from, struct unpack *body)
{
    struct gateways *gateways = from->gateways;
    struct msg_propose propose;
    struct entry entry = {0};
    if (msg_propose_decode(&propose, body) != 0)
        return;
    int error = entry_decode(&entry, propose.entry);
    const struct proposal_origin origin = {.gateway = (uint32_t)(from - gateways->links),
                                           .connection = from->connection,
                                           .session = entry.session,
                                           .sequence = entry.sequence};
    /* Without a session nobody would recognise a repetition. */
    if (error == 0 && entry.session != 0) {
        gateways_note_session(from, entry.session);
        gateways->hooks.propose(gateways->hooks.arg, &origin, propose.entry);
        return;
    }
    LOG_WARN("entry_refused", LOG_U64("gateway", origin.gateway),
             LOG_STR("error", error_text(error ? error : E_INVALID)));
    gateways_refuse(gateways, &origin, E_BAD_COMMAND);
}

static struct reads_origin gateways_origin(const struct gateways_link *from, uint64_t id)
{
    return (struct reads_origin){.gateway = (uint32_t)(from - from->gateways->links),
                                 .connection = from->connection,
                                 .id = id};
}

static void gateways_on_read_index(struct gateways_link *from, struct unpack *body)
{
    struct gateways *gateways = from->gateways;
    struct msg_read_index ask;
    if (msg_read_index_decode(&ask, body) != 0)
        return;
    const struct reads_origin origin = gateways_origin(from, ask.id);
    gateways->hooks.ask(gateways->hooks.arg, &origin);
}

static void gateways_on_cluster_ask(struct gateways_link *from, struct unpack *body)
{
    struct gateways *gateways = from->gateways;
    struct msg_cluster_ask ask;
    if (msg_cluster_ask_decode(&ask, body) != 0)
        return;
    const struct reads_origin origin = gateways_origin(from, ask.id);
    gateways->hooks.ask_cluster(gateways->hooks.arg, &origin);
}

static void gateways_on_change(struct gateways_link *from, struct unpack *body)
{
    struct gateways *gateways = from->gateways;
    struct msg_change change;
    if (msg_change_decode(&change, body) != 0)
        return;
    const struct reads_origin origin = gateways_origin(from, change.id);
    gateways->hooks.change(gateways->hooks.arg, &origin, &change);
}

static void gateways_on_message(void *arg, enum msg type, struct unpack *body)
{
    switch (type) {
    case MSG_PROPOSE:
        gateways_on_propose(arg, body);
        break;
    case MSG_READ_INDEX:
        gateways_on_read_index(arg, body);
        break;
    case MSG_CLUSTER_ASK:
        gateways_on_cluster_ask(arg, body);
        break;
    case MSG_CHANGE:
        gateways_on_change(arg, body);
        break;
    default:
        unpack_refuse(body);
    }
}

/* ---- what they are told -----------------------------------------------------------------------
 */

/* What a gateway does not hear because its link is down or has too much queued it asks again, or
 * gives up in time. */
static void gateways_check_sent(int error)
{
    CHECK(error == 0 || error == E_PEER_DOWN || error == E_BUSY);
}

static void gateways_tell_leader(const struct gateways_link *to)
{
    const struct msg_leader leader = {to->gateways->term, to->gateways->leader_is_known};
    gateways_check_sent(msg_leader_send(to->link, &leader));
}

static void gateways_on_up(void *arg, const struct link_peer *peer)
{
    struct gateways_link *from = arg;
    (void)peer;
    from->connection++;
    memset(from->sessions, 0, sizeof(from->sessions));
    gateways_tell_leader(from);
}

void gateways_set_leader(struct gateways *gateways, uint64_t term, bool is_known)
{
    if (gateways->term == term && gateways->leader_is_known == is_known)
        return;
    gateways->term = term;
    gateways->leader_is_known = is_known;
    for (unsigned i = 0; i < gateways->count; i++)
        if (gateways->links[i].link && link_is_up(gateways->links[i].link))
            gateways_tell_leader(&gateways->links[i]);
}

/* The link of a connection; NULL when that is over. */
static struct link *gateways_find(const struct gateways *gateways, uint32_t gateway,
                                  uint32_t connection)
{
    CHECK(gateway < gateways->count);
    const struct gateways_link *to = &gateways->links[gateway];
    return to->connection == connection && link_is_up(to->link) ? to->link : NULL;
}

void gateways_refuse(struct gateways *gateways, const struct proposal_origin *origin, int error)
{
    const struct msg_refuse refuse = {origin->session, origin->sequence, (uint64_t)error};
    if (origin->gateway == PROPOSAL_OF_WORKER)
        return;
    struct link *link = gateways_find(gateways, origin->gateway, origin->connection);
    if (link)
        gateways_check_sent(msg_refuse_send(link, &refuse));
}

void gateways_refuse_session(struct gateways *gateways, const struct msg_refuse *refuse)
{
    for (unsigned i = 0; i < gateways->count; i++) {
        const struct gateways_link *to = &gateways->links[i];
        if (gateways_has_session(to, refuse->session) && link_is_up(to->link))
            gateways_check_sent(msg_refuse_send(to->link, refuse));
    }
}

void gateways_answer(struct gateways *gateways, const struct reads_origin *origin, int error,
                     uint64_t index)
{
    const struct msg_read_index_reply reply = {origin->id, (uint64_t)error, index};
    struct link *link = gateways_find(gateways, origin->gateway, origin->connection);
    if (link)
        gateways_check_sent(msg_read_index_reply_send(link, &reply));
}

void gateways_show_cluster(struct gateways *gateways, const struct reads_origin *origin,
                           const struct msg_cluster_answer *answer)
{
    struct link *link = gateways_find(gateways, origin->gateway, origin->connection);
    if (link)
        gateways_check_sent(msg_cluster_answer_send(link, answer));
}

void gateways_answer_change(struct gateways *gateways, const struct reads_origin *origin,
                            const struct msg_change_answer *answer)
{
    struct link *link = gateways_find(gateways, origin->gateway, origin->connection);
    if (link)
        gateways_check_sent(msg_change_answer_send(link, answer));
}

/* ---- opening and closing ----------------------------------------------------------------------
 */

void gateways_init(struct gateways *gateways, const struct gateways_options *options)
{
    CHECK(options->count <= LIMIT_GATEWAYS);
    *gateways = (struct gateways){.hooks = options->hooks, .count = options->count};
    for (unsigned i = 0; i < options->count; i++)
        gateways->links[i].gateways = gateways;
}

int gateways_open(struct gateways *gateways, const struct gateways_options *options,
                  struct loop *loop)
{
    int error = 0;
    for (unsigned i = 0; i < gateways->count && !error; i++) {
        struct gateways_link *link = &gateways->links[i];
        const struct link_options how = {
            .run_dir = options->run_dir,
            .node = options->node,
            .self = PROC_RAFT,
            .peer = PROC_GATEWAY,
            .peer_index = i,
            .start_id = options->start_id,
            .handlers = {.on_up = gateways_on_up, .on_message = gateways_on_message},
            .arg = link};
        error = link_open(&link->link, &how);
        error = error ? error : link_attach(link->link, loop);
    }
    return error;
}

void gateways_close(struct gateways *gateways)
{
    for (unsigned i = 0; i < gateways->count; i++)
        link_close(&gateways->links[i].link);
}

bool gateways_are_idle(struct gateways *gateways)
{
    bool idle = true;
    for (unsigned i = 0; i < gateways->count; i++)
        idle &= link_is_idle(gateways->links[i].link);
    return idle;
}
