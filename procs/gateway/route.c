/* route.c - see route.h. */
#include "procs/gateway/route.h"

#include <string.h>

#include "procs/gateway/calls/handlers.h"

/* For a change of the cluster: a node that joins may have to be waited for. Less than insic's own
 * patience, so that it hears what is known. */
#define ROUTE_CHANGE_MS 9000

static const struct route route_table[] = {
    /* values */
    {.method = "GET",
     .path = "/get",
     .kind = ROUTE_READ,
     .who = ROUTE_ANY_TOKEN,
     .rate_class = RATE_VALUES,
     .look = values_get},
    {.method = "GET",
     .path = "/iterate/prefix",
     .kind = ROUTE_READ,
     .who = ROUTE_ANY_TOKEN,
     .rate_class = RATE_VALUES,
     .look = values_iterate},
    {.method = "POST",
     .path = "/set",
     .kind = ROUTE_WRITE,
     .who = ROUTE_ANY_TOKEN,
     .rate_class = RATE_VALUES,
     .write = values_set},
    {.method = "POST",
     .path = "/delete",
     .kind = ROUTE_WRITE,
     .who = ROUTE_ANY_TOKEN,
     .rate_class = RATE_VALUES,
     .write = values_delete},
    {.method = "POST",
     .path = "/batchset",
     .kind = ROUTE_WRITE,
     .who = ROUTE_ANY_TOKEN,
     .rate_class = RATE_VALUES,
     .write = values_batchset},
    {.method = "POST",
     .path = "/batchdelete",
     .kind = ROUTE_WRITE,
     .who = ROUTE_ANY_TOKEN,
     .rate_class = RATE_VALUES,
     .write = values_batchdelete},
    {.method = "POST",
     .path = "/setnx",
     .kind = ROUTE_WRITE,
     .who = ROUTE_ANY_TOKEN,
     .rate_class = RATE_VALUES,
     .write = values_setnx,
     .conflict = "the key exists already"},
    {.method = "POST",
     .path = "/cas",
     .kind = ROUTE_WRITE,
     .who = ROUTE_ANY_TOKEN,
     .rate_class = RATE_VALUES,
     .write = values_cas,
     .conflict = "the key is absent or holds another value"},
    {.method = "POST",
     .path = "/bump",
     .kind = ROUTE_WRITE,
     .who = ROUTE_ANY_TOKEN,
     .rate_class = RATE_VALUES,
     .write = values_bump,
     .applied = values_bumped},
    /* the cache */
    {.method = "GET",
     .path = "/cache/get",
     .kind = ROUTE_READ,
     .who = ROUTE_ANY_TOKEN,
     .rate_class = RATE_CACHE,
     .look = cache_look,
     .of_cacheq = true},
    {.method = "GET",
     .path = "/cache/iterate/prefix",
     .kind = ROUTE_READ,
     .who = ROUTE_ANY_TOKEN,
     .rate_class = RATE_CACHE,
     .look = cache_iterate,
     .of_cacheq = true},
    {.method = "POST",
     .path = "/cache/set",
     .kind = ROUTE_WRITE,
     .who = ROUTE_ANY_TOKEN,
     .rate_class = RATE_CACHE,
     .write = cache_set},
    {.method = "POST",
     .path = "/cache/delete",
     .kind = ROUTE_WRITE,
     .who = ROUTE_ANY_TOKEN,
     .rate_class = RATE_CACHE,
     .write = cache_delete},
    {.method = "POST",
     .path = "/cache/setnx",
     .kind = ROUTE_WRITE,
     .who = ROUTE_ANY_TOKEN,
     .rate_class = RATE_CACHE,
     .write = cache_setnx,
     .conflict = "the key exists already"},
    {.method = "POST",
     .path = "/cache/cas",
     .kind = ROUTE_WRITE,
     .who = ROUTE_ANY_TOKEN,
     .rate_class = RATE_CACHE,
     .write = cache_cas,
     .conflict = "the key is absent or holds another value"},
    /* counters */
    {.method = "GET",
     .path = "/atomic/get",
     .kind = ROUTE_READ,
     .who = ROUTE_ANY_TOKEN,
     .rate_class = RATE_ATOMICS,
     .look = atomics_get},
    {.method = "POST",
     .path = "/atomic/add",
     .kind = ROUTE_WRITE,
     .who = ROUTE_ANY_TOKEN,
     .rate_class = RATE_ATOMICS,
     .write = atomics_add,
     .applied = atomics_added},
    {.method = "POST",
     .path = "/atomic/new",
     .kind = ROUTE_WRITE,
     .who = ROUTE_ANY_TOKEN,
     .rate_class = RATE_ATOMICS,
     .write = atomics_new,
     .conflict = "the counter exists already"},
    {.method = "POST",
     .path = "/atomic/delete",
     .kind = ROUTE_WRITE,
     .who = ROUTE_ANY_TOKEN,
     .rate_class = RATE_ATOMICS,
     .write = atomics_delete},
    /* queues */
    {.method = "POST",
     .path = "/queue/push",
     .kind = ROUTE_WRITE,
     .who = ROUTE_ANY_TOKEN,
     .rate_class = RATE_QUEUES,
     .write = queues_push,
     .applied = queues_pushed},
    {.method = "POST",
     .path = "/queue/pop",
     .kind = ROUTE_WRITE,
     .who = ROUTE_ANY_TOKEN,
     .rate_class = RATE_QUEUES,
     .write = queues_pop,
     .applied = queues_popped},
    {.method = "GET",
     .path = "/queue/length",
     .kind = ROUTE_READ,
     .who = ROUTE_ANY_TOKEN,
     .rate_class = RATE_QUEUES,
     .look = queues_length,
     .of_cacheq = true},
    {.method = "GET",
     .path = "/queue/peek",
     .kind = ROUTE_READ,
     .who = ROUTE_ANY_TOKEN,
     .rate_class = RATE_QUEUES,
     .look = queues_peek,
     .of_cacheq = true},
    {.method = "POST",
     .path = "/queue/new",
     .kind = ROUTE_WRITE,
     .who = ROUTE_ANY_TOKEN,
     .rate_class = RATE_QUEUES,
     .write = queues_new},
    {.method = "POST",
     .path = "/queue/delete",
     .kind = ROUTE_WRITE,
     .who = ROUTE_ANY_TOKEN,
     .rate_class = RATE_QUEUES,
     .write = queues_delete},
    /* events */
    {.method = "POST",
     .path = "/events",
     .kind = ROUTE_WRITE,
     .who = ROUTE_ANY_TOKEN,
     .rate_class = RATE_EVENTS,
     .write = events_publish},
    {.method = "GET",
     .path = "/events/subscribe",
     .kind = ROUTE_SUBSCRIBE,
     .who = ROUTE_ANY_TOKEN,
     .rate_class = RATE_EVENTS,
     .subscribe = events_subscribe,
     .subscribed = events_subscribed},
    {.method = "GET",
     .path = "/events/stream",
     .kind = ROUTE_SUBSCRIBE,
     .who = ROUTE_ANY_TOKEN,
     .rate_class = RATE_EVENTS,
     .subscribe = events_stream,
     .subscribed = events_streamed},
    /* system */
    {.method = "GET",
     .path = "/ping",
     .kind = ROUTE_LOCAL,
     .who = ROUTE_ANY_TOKEN,
     .rate_class = RATE_SYSTEM,
     .answer = system_ping},
    {.method = "POST",
     .path = "/admin/api/create",
     .kind = ROUTE_WRITE,
     .who = ROUTE_ROOT_ONLY,
     .rate_class = RATE_SYSTEM,
     .write = admin_create,
     .applied = admin_created},
    {.method = "POST",
     .path = "/admin/api/delete",
     .kind = ROUTE_WRITE,
     .who = ROUTE_ROOT_ONLY,
     .rate_class = RATE_SYSTEM,
     .write = admin_delete,
     .not_found = "there is no such API key"},
    {.method = "GET",
     .path = "/admin/api/list",
     .kind = ROUTE_READ,
     .who = ROUTE_ROOT_ONLY,
     .rate_class = RATE_SYSTEM,
     .look = admin_list},
    /* the cluster */
    {.method = "GET",
     .path = "/admin/cluster",
     .kind = ROUTE_LOCAL,
     .who = ROUTE_ROOT_ONLY,
     .rate_class = RATE_SYSTEM,
     .answer = cluster_show,
     .asked = cluster_shown},
    {.method = "POST",
     .path = "/admin/cluster/join",
     .kind = ROUTE_WRITE,
     .who = ROUTE_ROOT_ONLY,
     .rate_class = RATE_SYSTEM,
     .patience_ms = ROUTE_CHANGE_MS,
     .write = cluster_join,
     .asked = cluster_changed},
    {.method = "POST",
     .path = "/admin/cluster/remove",
     .kind = ROUTE_WRITE,
     .who = ROUTE_ROOT_ONLY,
     .rate_class = RATE_SYSTEM,
     .patience_ms = ROUTE_CHANGE_MS,
     .write = cluster_remove,
     .asked = cluster_changed},
    {.method = "POST",
     .path = "/admin/cluster/transfer",
     .kind = ROUTE_WRITE,
     .who = ROUTE_ROOT_ONLY,
     .rate_class = RATE_SYSTEM,
     .patience_ms = ROUTE_CHANGE_MS,
     .write = cluster_transfer,
     .asked = cluster_changed},
};

/* Below the base and beside it, on both listeners, for whoever watches over the node. */
static const struct route route_health[] = {
    {.method = "GET",
     .path = "/healthz",
     .kind = ROUTE_LOCAL,
     .rate_class = ROUTE_UNLIMITED,
     .answer = system_healthz},
    {.method = "GET",
     .path = "/readyz",
     .kind = ROUTE_READ,
     .rate_class = ROUTE_UNLIMITED,
     .patience_ms = 500,
     .of_both = true,
     .look = system_readyz},
};

static bool route_answers_head(const struct route *route)
{
    return strcmp(route->method, "GET") == 0 && route->kind != ROUTE_SUBSCRIBE;
}

static bool route_method_fits(const struct route *route, struct slice method)
{
    return slice_equal(method, slice_text(route->method)) ||
           (route_answers_head(route) && slice_equal(method, slice_text("HEAD")));
}

static const struct route *route_search(const struct route *routes, size_t count,
                                        struct slice method, struct slice path, const char **allow)
{
    for (size_t i = 0; i < count; i++) {
        if (!slice_equal(path, slice_text(routes[i].path)))
            continue;
        if (route_method_fits(&routes[i], method))
            return &routes[i];
        *allow = route_answers_head(&routes[i]) ? "GET, HEAD" : routes[i].method;
    }
    return NULL;
}

const struct route *route_find(enum route_listener listener, struct slice method, struct slice path,
                               const char **allow)
{
    const size_t base = sizeof(ROUTE_BASE) - 1;
    const size_t count = sizeof(route_table) / sizeof(route_table[0]);
    const size_t health = sizeof(route_health) / sizeof(route_health[0]);
    bool is_below = path.len > base && memcmp(path.data, ROUTE_BASE, base) == 0;
    *allow = NULL;
    if (is_below)
        path = slice_of((const char *)path.data + base, path.len - base);
    if (is_below && listener == ROUTE_LISTENER_HTTP) {
        const struct route *route = route_search(route_table, count, method, path, allow);
        if (route != NULL || *allow != NULL)
            return route;
    }
    return route_search(route_health, health, method, path, allow);
}
