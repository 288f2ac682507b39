/* h_system.c - how the node is. */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "procs/gateway/calls/handlers.h"
#include "procs/gateway/http/json.h"

#define SYSTEM_UPTIME_BYTES 48

/* "2h3m4s", "3m4s", "4s" */
static void system_uptime(uint64_t seconds, char out[SYSTEM_UPTIME_BYTES])
{
    uint64_t hours = seconds / 3600, minutes = seconds / 60 % 60;
    if (hours > 0)
        snprintf(out, SYSTEM_UPTIME_BYTES, "%" PRIu64 "h%" PRIu64 "m%" PRIu64 "s", hours, minutes,
                 seconds % 60);
    else if (minutes > 0)
        snprintf(out, SYSTEM_UPTIME_BYTES, "%" PRIu64 "m%" PRIu64 "s", minutes, seconds % 60);
    else
        snprintf(out, SYSTEM_UPTIME_BYTES, "%" PRIu64 "s", seconds);
}

void system_ping(struct request *request)
{
    const struct gateway *gateway = request->gateway;
    char uptime[SYSTEM_UPTIME_BYTES];
    struct board_lease lease;
    struct buf *out = request_answer(request);
    if (board_read_lease(gateway->board, &lease) != 0)
        lease.leader[0] = '\0';
    system_uptime((clock_boot_ns() - gateway->started_ns) / NS_PER_S, uptime);
    buf_append_text(out, "{\"status\":\"ok\",\"entity\":");
    json_append_string(out, slice_of(request->who.name, request->who.name_len));
    buf_append_text(out, ",\"node\":");
    json_append_string(out, slice_text(gateway->skel.node));
    buf_append_text(out, ",\"leader\":");
    json_append_string(out, slice_text(lease.leader));
    buf_printf(out, ",\"uptime\":\"%s\"}", uptime);
    request_reply(request);
}

static void system_ok(struct request *request)
{
    buf_append_text(request_answer(request), "{\"status\":\"ok\"}");
    request_reply(request);
}

void system_healthz(struct request *request)
{
    system_ok(request);
}

/* That this is called is the answer: within a linearizable read. */
int system_readyz(struct request *request, struct map *map, MDB_txn *txn)
{
    (void)map;
    (void)txn;
    system_ok(request);
    return 0;
}
