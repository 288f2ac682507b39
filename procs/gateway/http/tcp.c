/* tcp.c - see tcp.h. The kernel's own header: the C library's lacks the newer counters, and the two
 * do not go together. */
#include "procs/gateway/http/tcp.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>

uint64_t tcp_acknowledged(int fd)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0 ||
        len < offsetof(struct tcp_info, tcpi_bytes_acked) + sizeof(info.tcpi_bytes_acked))
        return 0;
    return info.tcpi_bytes_acked;
}

void tcp_limit_unsent(int fd, uint64_t bytes)
{
    uint32_t limit = bytes < INT32_MAX ? (uint32_t)bytes : INT32_MAX;
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &limit, sizeof(limit));
}
