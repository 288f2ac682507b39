/* volatile_write.c - see volatile_write.h. */
#include "procs/gateway/calls/volatile_write.h"

#include "base/clock.h"
#include "procs/gateway/gateway.h"

void volatile_propose(struct request *request, struct command *command)
{
    struct gateway *gateway = request->gateway;

    command->scope = request->who.scope;
    command->limit_bytes =
        volatile_limit_at(&gateway->volatile_limit, gateway->skel.paths.volatile_map,
                          gateway->skel.config.cache.max_bytes, clock_boot_ns() / NS_PER_MS);
    if (command_encode(request_command(request), command) == 0)
        request_propose(request, PROC_CACHEQ);
    else
        request_refuse(request, REPLY_PAYLOAD_TOO_LARGE, "the request is too large");
}
