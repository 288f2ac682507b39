/* tcp.h - what the kernel knows of a connection. */
#ifndef INSI_GATEWAY_TCP_H
#define INSI_GATEWAY_TCP_H

#include <stdint.h>

/* Bytes that the other machine has acknowledged so far; 0 when the kernel does not tell. */
uint64_t tcp_acknowledged(int fd);

/* So many bytes at most wait in the kernel for their turn to be sent (what is under way comes on
 * top): the others wait here, where they are counted. */
void tcp_limit_unsent(int fd, uint64_t bytes);

#endif
