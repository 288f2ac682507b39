/* peer_address.h - "host:port", as members name it, and what it resolves to.
 *
 * Host names are looked up in a helper thread; numbers are not looked up at all.
 */
#ifndef INSI_RAFT_PEER_ADDRESS_H
#define INSI_RAFT_PEER_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "base/config.h"
#include "procs/raft/members.h"

#define PEER_SOCKADDRS 4 /* of one name */
#define PEER_HOST_BYTES 256
#define PEER_PORT_BYTES 8

struct peer_sockaddr {
    struct sockaddr_storage storage;
    socklen_t len;
};

struct peer_sockaddrs {
    struct peer_sockaddr list[PEER_SOCKADDRS];
    unsigned count;
};

/* "host:port" or "[v6]:port"; port 1 to 65535. E_INVALID. */
int peer_address_split(const char *address, char host[PEER_HOST_BYTES], char port[PEER_PORT_BYTES]);
int peer_address_print(char out[MEMBER_ADDRESS_BYTES], const char *host, unsigned port);

/* Blocks unless the host is a number. E_INVALID: not an address. E_NOT_FOUND: no such host.
 * passive: to listen at. */
int peer_address_resolve(const char *address, bool passive, struct peer_sockaddrs *out);
/* The same, but never blocks: E_BUSY when the host is a name. */
int peer_address_read(const char *address, struct peer_sockaddrs *out);

/* Nobody can connect to 0.0.0.0 or [::]: a node that is bound there is reached at the address that
 * its connections come from. */
bool peer_address_is_any(const char *address);
/* The host of where with the port of address. */
int peer_address_replace_host(char out[MEMBER_ADDRESS_BYTES], const struct sockaddr_storage *where,
                              const char *address);

/* For log lines: "127.0.0.1:2222". */
void peer_address_name(char out[MEMBER_ADDRESS_BYTES], const struct sockaddr_storage *address);

#endif
