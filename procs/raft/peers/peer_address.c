/* peer_address.c - see peer_address.h. */
#include "procs/raft/peers/peer_address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

int peer_address_print(char out[MEMBER_ADDRESS_BYTES], const char *host, unsigned port)
{
    bool v6 = strchr(host, ':') != NULL;
    int len =
        snprintf(out, MEMBER_ADDRESS_BYTES, "%s%s%s:%u", v6 ? "[" : "", host, v6 ? "]" : "", port);
    return len > 0 && len < MEMBER_ADDRESS_BYTES ? 0 : E_TOO_LARGE;
}

int peer_address_split(const char *address, char host[PEER_HOST_BYTES], char port[PEER_PORT_BYTES])
{
    const char *colon = strrchr(address, ':');
    if (!colon || colon == address)
        return E_INVALID;
    const char *begin = address, *end = colon;
    if (*begin == '[') {
        if (end[-1] != ']')
            return E_INVALID;
        begin++;
        end--;
    } else if (memchr(begin, ':', (size_t)(end - begin))) {
        return E_INVALID; /* two colons and no brackets */
    }
    size_t len = end > begin ? (size_t)(end - begin) : 0;
    size_t digits = strspn(colon + 1, "0123456789");
    if (len == 0 || len >= PEER_HOST_BYTES || digits == 0 || digits > 5 || colon[1 + digits])
        return E_INVALID;
    unsigned long number = strtoul(colon + 1, NULL, 10);
    if (number == 0 || number > 65535)
        return E_INVALID;
    memcpy(host, begin, len);
    host[len] = '\0';
    snprintf(port, PEER_PORT_BYTES, "%lu", number);
    return 0;
}

static int peer_address_look_up(const char *address, int flags, struct peer_sockaddrs *out)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags};
    char host[PEER_HOST_BYTES], port[PEER_PORT_BYTES];
    struct addrinfo *found = NULL;
    out->count = 0;
    int error = peer_address_split(address, host, port);
    if (error)
        return error;
    if (getaddrinfo(host, port, &hints, &found) != 0)
        return E_NOT_FOUND;
    for (const struct addrinfo *at = found; at && out->count < PEER_SOCKADDRS; at = at->ai_next) {
        struct peer_sockaddr *to = &out->list[out->count];
        if (at->ai_addrlen > sizeof(to->storage))
            continue;
        memcpy(&to->storage, at->ai_addr, at->ai_addrlen);
        to->len = at->ai_addrlen;
        out->count++;
    }
    freeaddrinfo(found);
    return out->count > 0 ? 0 : E_NOT_FOUND;
}

int peer_address_resolve(const char *address, bool passive, struct peer_sockaddrs *out)
{
    return peer_address_look_up(address, passive ? AI_PASSIVE : 0, out);
}

int peer_address_read(const char *address, struct peer_sockaddrs *out)
{
    int error = peer_address_look_up(address, AI_NUMERICHOST | AI_NUMERICSERV, out);
    return error == E_NOT_FOUND ? E_BUSY : error;
}

bool peer_address_is_any(const char *address)
{
    struct peer_sockaddrs found;
    if (peer_address_read(address, &found) != 0)
        return false;
    const struct sockaddr_storage *storage = &found.list[0].storage;
    if (storage->ss_family == AF_INET)
        return ((const struct sockaddr_in *)storage)->sin_addr.s_addr == htonl(INADDR_ANY);
    return storage->ss_family == AF_INET6 &&
           IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)storage)->sin6_addr);
}

/* A v4 address in v6 clothes is shown as what it is. */
static const char *peer_address_host(char out[INET6_ADDRSTRLEN],
                                     const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET)
        return inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, out,
                         INET6_ADDRSTRLEN);
    if (address->ss_family != AF_INET6)
        return NULL;
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *)address)->sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(v6))
        return inet_ntop(AF_INET, &v6->s6_addr[12], out, INET6_ADDRSTRLEN);
    return inet_ntop(AF_INET6, v6, out, INET6_ADDRSTRLEN);
}

int peer_address_replace_host(char out[MEMBER_ADDRESS_BYTES], const struct sockaddr_storage *where,
                              const char *address)
{
    char host[PEER_HOST_BYTES], port[PEER_PORT_BYTES], number[INET6_ADDRSTRLEN];
    int error = peer_address_split(address, host, port);
    const char *name = peer_address_host(number, where);
    if (error || !name)
        return E_INVALID;
    return peer_address_print(out, name, (unsigned)strtoul(port, NULL, 10));
}

void peer_address_name(char out[MEMBER_ADDRESS_BYTES], const struct sockaddr_storage *address)
{
    char number[INET6_ADDRSTRLEN];
    const char *host = peer_address_host(number, address);
    in_port_t port = address->ss_family == AF_INET6
                         ? ((const struct sockaddr_in6 *)address)->sin6_port
                         : ((const struct sockaddr_in *)address)->sin_port;
    if (!host || peer_address_print(out, host, ntohs(port)) != 0)
        snprintf(out, MEMBER_ADDRESS_BYTES, "?");
}
