/* client.c - sockets, commands and latencies of the bench's clients. */
#include "tests/bench/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"

/* ---- sockets ---- */

bool client_parse_ports(struct client_ports *ports, const char *text)
{
    char *end;

    ports->count = 0;
    do {
        unsigned long port = strtoul(text, &end, 10);
        if (end == text || port == 0 || port > UINT16_MAX || ports->count == CLIENT_PORTS_MAX)
            return false;
        ports->ports[ports->count++] = (uint16_t)port;
        text = end + 1;
    } while (*end == ',');
    return *end == '\0';
}

int client_connect(const struct client_ports *ports, unsigned number)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(ports->ports[number % ports->count]),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        fprintf(stderr, "connection %u: %s\n", number, strerror(errno));
        exit(1);
    }
    CHECK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0);
    CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    return fd;
}

bool client_send(int fd, struct slice bytes)
{
    return send(fd, bytes.data, bytes.len, MSG_NOSIGNAL) == (ssize_t)bytes.len;
}

void client_allow_files(unsigned count)
{
    struct rlimit limit;

    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_cur >= count)
        return;
    if (limit.rlim_max < count)
        limit.rlim_max = count;
    limit.rlim_cur = count;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        fprintf(stderr, "%u descriptors are not to be had: %s\n", count, strerror(errno));
}

/* ---- commands ---- */

bool client_read_commands(struct buf *input)
{
    uint8_t *room = buf_reserve(input, 256);
    ssize_t got;

    CHECK(room != NULL);
    got = read(STDIN_FILENO, room, 256);
    if (got <= 0)
        return false;
    input->len += (size_t)got;
    return true;
}

bool client_next_command(struct buf *input, char command[CLIENT_COMMAND_BYTES])
{
    const uint8_t *end = input->len ? memchr(input->data, '\n', input->len) : NULL;

    if (!end)
        return false;
    snprintf(command, CLIENT_COMMAND_BYTES, "%.*s", (int)(end - input->data),
             (const char *)input->data);
    buf_consume(input, (size_t)(end - input->data) + 1);
    return true;
}

/* ---- latencies ---- */

void stamp_write(char out[STAMP_BYTES], uint64_t ns)
{
    out[0] = '@';
    for (int i = STAMP_BYTES - 1; i > 0; i--, ns /= 10)
        out[i] = (char)('0' + ns % 10);
}

bool stamp_find(struct slice data, uint64_t *ns_out)
{
    const char *at = memchr(data.data, '@', data.len);

    if (!at || (const char *)data.data + data.len - at < STAMP_BYTES)
        return false;
    *ns_out = 0;
    for (int i = 1; i < STAMP_BYTES; i++)
        *ns_out = *ns_out * 10 + (uint64_t)(at[i] - '0');
    return true;
}

/* Slots are numbers of HISTOGRAM_STEPS * 2 at most, shifted: below that, one for each. */
static unsigned slot_of(uint64_t ns)
{
    unsigned shift = 0;

    while (ns >> shift >= 2 * (uint64_t)HISTOGRAM_STEPS)
        shift++;
    return shift * HISTOGRAM_STEPS + (unsigned)(ns >> shift);
}

static uint64_t slot_ns(unsigned slot)
{
    unsigned shift = slot < 2 * HISTOGRAM_STEPS ? 0 : slot / HISTOGRAM_STEPS - 1;

    return (uint64_t)(slot - shift * HISTOGRAM_STEPS) << shift;
}

void histogram_add(struct histogram *histogram, uint64_t ns)
{
    histogram->counts[slot_of(ns)]++;
    histogram->count++;
    if (ns > histogram->max)
        histogram->max = ns;
}

double histogram_ms(const struct histogram *histogram, double part)
{
    uint64_t wanted = (uint64_t)((double)histogram->count * part), seen = 0;

    for (unsigned slot = 0; slot < HISTOGRAM_SLOTS; slot++) {
        seen += histogram->counts[slot];
        if (seen > wanted)
            return (double)slot_ns(slot) / 1e6;
    }
    return (double)histogram->max / 1e6;
}
