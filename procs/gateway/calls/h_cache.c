/* h_cache.c - cache entries: values with a deadline in cluster time. */
#include "base/error.h"
#include "ipc/command.h"
#include "procs/gateway/calls/handlers.h"
#include "procs/gateway/calls/page.h"
#include "procs/gateway/calls/params.h"
#include "procs/gateway/calls/volatile_write.h"
#include "procs/gateway/http/json.h"
#include "shm/volatile.h"

#define CACHE_MS_PER_S 1000.0

/* ---- reads ----------------------------------------------------------------------------------- */

static int cache_answer(struct request *request, const struct cache_view *entry, uint64_t now_ms)
{
    struct buf *out = request_answer(request);
    buf_append_text(out, "{\"data\":");
    int error = json_append_string(out, entry->data);
    if (error != 0)
        return error;
    buf_printf(out, ",\"ttl\":%.15g}", (double)(entry->deadline_ms - now_ms) / CACHE_MS_PER_S);
    request_reply(request);
    return 0;
}

int cache_look(struct request *request, struct map *map, MDB_txn *txn)
{
    struct slice key;
    struct cache_view entry;
    uint64_t now_ms = board_cluster_time_ms(request->gateway->board);
    if (!params_query_key(request, "key", &key))
        return 0;
    int error =
        cache_get(txn, map_database(map, MAP_CACHE), &request->who.scope, key, now_ms, &entry);
    if (error == 0)
        return cache_answer(request, &entry, now_ms);
    if (error != E_NOT_FOUND)
        return error;
    request_refuse_about(request, REPLY_NOT_FOUND, "key '", key, "' does not exist");
    return 0;
}

int cache_iterate(struct request *request, struct map *map, MDB_txn *txn)
{
    struct page page;
    uint64_t now_ms = board_cluster_time_ms(request->gateway->board);
    if (!page_begin(&page, request))
        return 0;
    int error = cache_scan(txn, map_database(map, MAP_CACHE), &request->who.scope, page.prefix,
                           page.after, now_ms, page_on_key, page_on_gone, &page);
    return page_end(&page, request, error);
}

/* ---- writes ---------------------------------------------------------------------------------- */

static bool cache_ttl(struct request *request, const json_t *body, uint64_t *ttl_ms)
{
    const struct config *config = &request->gateway->skel.config;
    const struct params_seconds wanted = {.name = "ttl",
                                          .limit = "cache.maxTTL",
                                          .otherwise_ms = config->cache.default_ttl_ms,
                                          .least_ms = 1,
                                          .max_ms = config->cache.max_ttl_ms,
                                          .too_long = REPLY_TTL_TOO_LONG};
    return params_seconds(request, body, &wanted, ttl_ms);
}

static void cache_propose_pair(struct request *request, enum command_operation operation)
{
    struct command command = {.operation = operation};
    json_t *body;
    if (!params_body(request, REPLY_BAD_REQUEST, &body))
        return;
    if (params_key(request, body, "key", &command.key) &&
        params_value(request, body, "value", &command.value) &&
        cache_ttl(request, body, &command.ttl_ms))
        volatile_propose(request, &command);
    json_decref(body);
}

void cache_set(struct request *request)
{
    cache_propose_pair(request, COMMAND_CACHE_SET);
}

void cache_setnx(struct request *request)
{
    cache_propose_pair(request, COMMAND_CACHE_SETNX);
}

void cache_cas(struct request *request)
{
    struct command command = {.operation = COMMAND_CACHE_CAS};
    json_t *body;
    if (!params_body(request, REPLY_BAD_REQUEST, &body))
        return;
    if (params_key(request, body, "key", &command.key) &&
        params_value(request, body, "old_value", &command.expected) &&
        params_value(request, body, "new_value", &command.value) &&
        cache_ttl(request, body, &command.ttl_ms))
        volatile_propose(request, &command);
    json_decref(body);
}

void cache_delete(struct request *request)
{
    struct command command = {.operation = COMMAND_CACHE_DELETE};
    json_t *body;
    if (!params_body(request, REPLY_BAD_REQUEST, &body))
        return;
    if (params_key(request, body, "key", &command.key))
        volatile_propose(request, &command);
    json_decref(body);
}
