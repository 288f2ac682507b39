/* listen.h - the node's listening sockets. */
#ifndef INSI_SUPERVISOR_LISTEN_H
#define INSI_SUPERVISOR_LISTEN_H

#include "base/config.h"

/* Opens count sockets that share a binding (SO_REUSEPORT), listening. Refuses a binding that
 * anybody else listens on, although the kernel would share it too. E_IO after saying on stderr what
 * failed; then fds are all -1. key: the setting, for the message. */
int listen_open(const struct config_address *binding, const char *key, int *fds, unsigned count);
void listen_close(int *fds, unsigned count);

#endif
