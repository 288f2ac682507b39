/* volatile_write.h - a write to the cache or a queue on its way from the handler to raft. */
#ifndef INSI_GATEWAY_VOLATILE_WRITE_H
#define INSI_GATEWAY_VOLATILE_WRITE_H

#include "ipc/command.h"
#include "procs/gateway/request.h"

/* Proposes it in the token's scope, with the limit of the moment; or says that it is too large. */
void volatile_propose(struct request *request, struct command *command);

#endif
