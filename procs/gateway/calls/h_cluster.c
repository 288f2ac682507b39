/* h_cluster.c - the cluster: who belongs to it, and changes of that. Raft knows and does both; this
 * file puts questions and answers into words. */
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "procs/gateway/calls/handlers.h"
#include "procs/gateway/calls/params.h"
#include "procs/gateway/http/json.h"

/* ---- the cluster ----------------------------------------------------------------------------- */

/* What comes from other nodes is text, but who knows which. */
static void cluster_append_text(struct buf *out, struct slice text)
{
    json_append_string(out, utf8_is_valid(text) ? text : slice_text("?"));
}

static void cluster_append_member(struct buf *out, const struct msg_cluster_member *member)
{
    static const char *const states[] = {[MSG_MEMBER_FOLLOWER] = "follower",
                                         [MSG_MEMBER_LEADER] = "leader",
                                         [MSG_MEMBER_UNREACHABLE] = "unreachable"};
    buf_append_text(out, "{\"id\":");
    cluster_append_text(out, member->name);
    buf_append_text(out, ",\"raft_address\":");
    cluster_append_text(out, member->raft_address);
    buf_append_text(out, ",\"http_address\":");
    cluster_append_text(out, member->http_address);
    buf_printf(out,
               ",\"role\":\"%s\",\"state\":\"%s\",\"match_index\":%" PRIu64 ",\"lag\":%" PRIu64 "}",
               member->is_voter ? "voter" : "learner", states[member->state], member->match_index,
               member->lag);
}

struct cluster_worker {
    uint64_t applied_index, state_hash;
};

static int cluster_look(struct map *map, MDB_txn *txn, void *arg)
{
    struct cluster_worker *worker = arg;
    int error = map_read_applied(map, txn, &worker->applied_index);
    return error != 0 ? error : map_meta_get(map, txn, MAP_META_STATE_HASH, &worker->state_hash);
}

/* The hash is that of the state in the map. The board may show a higher index: the entries between
 * the two are of other workers, and change nothing. It is read first, so that the state is not
 * older than it. No hash: the map is not there yet. */
static void cluster_append_worker(struct buf *out, const struct gateway_view *view)
{
    struct cluster_worker worker = {0};
    uint64_t shown = board_read_applied(view->gateway->board, view->worker);
    bool is_there = read_now(view->reads, READ_STALE, 0, cluster_look, &worker) == 0;
    uint64_t applied = worker.applied_index > shown ? worker.applied_index : shown;
    buf_printf(out, "\"%s\":{\"applied_index\":%" PRIu64 ",\"state_hash\":\"",
               proc_name(view->worker), applied);
    if (is_there)
        buf_printf(out, "%016" PRIx64, worker.state_hash);
    buf_append_text(out, "\"}");
}

static void cluster_append_node(struct buf *out, const struct gateway *gateway,
                                uint64_t commit_index)
{
    buf_append_text(out, "{\"id\":");
    json_append_string(out, slice_text(gateway->skel.node));
    buf_printf(out, ",\"commit_index\":%" PRIu64 ",\"workers\":{", commit_index);
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++) {
        if (i > 0)
            buf_append_byte(out, ',');
        cluster_append_worker(out, &gateway->views[i]);
    }
    buf_append_text(out, "}}");
}

void cluster_shown(struct request *request, const struct ask_answer *answer)
{
    const struct msg_cluster_answer *cluster = answer->cluster;
    char id[2 * MSG_CLUSTER_ID_BYTES + 1];
    struct buf *out = request_answer(request);
    if (cluster == NULL) {
        request_refuse(request, REPLY_NO_LEADER, "this node's raft process does not answer");
        return;
    }
    hash_hex(cluster->cluster_id.data, cluster->cluster_id.len, id);
    buf_printf(out, "{\"cluster_id\":\"%s\",\"leader\":", id);
    cluster_append_text(out, cluster->leader);
    buf_printf(out, ",\"term\":%" PRIu64 ",\"members\":[", cluster->term);
    for (uint32_t i = 0; i < cluster->member_count; i++) {
        if (i > 0)
            buf_append_byte(out, ',');
        cluster_append_member(out, &cluster->members[i]);
    }
    buf_append_text(out, "],\"node\":");
    cluster_append_node(out, request->gateway, cluster->commit_index);
    buf_append_byte(out, '}');
    request_reply(request);
}

void cluster_show(struct request *request)
{
    request_ask(request);
}

/* ---- changes --------------------------------------------------------------------------------- */

static enum reply_error cluster_error(int error, const char **message)
{
    switch (error) {
    case E_NOT_FOUND:
        *message = "the cluster has no such member";
        return REPLY_NOT_FOUND;
    case E_CONFLICT:
        *message = "the cluster is not in a state to do this";
        return REPLY_CONFLICT;
    case E_BUSY:
        *message = "another change of the cluster is under way";
        return REPLY_CONFLICT;
    case E_BAD_COMMAND:
        *message = "'raft_address' is no address";
        return REPLY_BAD_REQUEST;
    case E_NO_LEADER:
        *message = "no leader, or the node cannot be reached; nothing was changed";
        return REPLY_NO_LEADER;
    default:
        *message = "the change may or may not have happened";
        return REPLY_OUTCOME_UNKNOWN;
    }
}

void cluster_changed(struct request *request, const struct ask_answer *answer)
{
    if (answer->error == 0) {
        buf_append_text(request_answer(request), "{\"status\":\"ok\"}");
        request_reply(request);
        return;
    }
    const char *message;
    enum reply_error error = cluster_error(answer->error, &message);
    if (answer->detail.len > 0 && utf8_is_valid(answer->detail))
        request_refuse_about(request, error, "", answer->detail, "");
    else
        request_refuse(request, error, message);
}

/* A text of 1 to max - 1 bytes without NUL, copied to the request's memory. */
static bool cluster_take_text(struct request *request, const json_t *body, const char *name,
                              size_t max, struct slice *out)
{
    struct slice text;
    if (!json_text(json_object_get(body, name), &text) || text.len == 0 || text.len >= max ||
        memchr(text.data, '\0', text.len) != NULL) {
        request_refuse_about(request, REPLY_BAD_REQUEST, "'", slice_text(name),
                             "' must be a string, not empty, not too long and without NUL");
        return false;
    }
    char *copy = h2o_mem_alloc_pool(&request->http->pool, text.len);
    memcpy(copy, text.data, text.len);
    *out = slice_of(copy, text.len);
    return true;
}

static void cluster_change(struct request *request, enum msg_change_kind kind)
{
    struct msg_change *change = &request->ask.change;
    json_t *body;
    if (!params_body(request, REPLY_BAD_REQUEST, &body))
        return;
    *change = (struct msg_change){.kind = kind};
    request->ask.is_change = true;
    if (cluster_take_text(request, body, "id", LIMIT_NODE_ID_BYTES, &change->name) &&
        (kind != MSG_CHANGE_JOIN || cluster_take_text(request, body, "raft_address",
                                                      MSG_ADDRESS_BYTES, &change->raft_address)))
        request_ask(request);
    json_decref(body);
}

void cluster_join(struct request *request)
{
    cluster_change(request, MSG_CHANGE_JOIN);
}

void cluster_remove(struct request *request)
{
    cluster_change(request, MSG_CHANGE_REMOVE);
}

void cluster_transfer(struct request *request)
{
    cluster_change(request, MSG_CHANGE_TRANSFER);
}
