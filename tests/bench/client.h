/* client.h - what the two clients of the bench of events share: sockets, commands, latencies.
 *
 * A stamp is "@" and 20 digits, boot time in ns, somewhere in an event's data: whoever finds it on
 * the same machine knows how long the event was on its way.
 */
#ifndef INSI_TESTS_BENCH_CLIENT_H
#define INSI_TESTS_BENCH_CLIENT_H

#include <stdint.h>

#include "base/buf.h"

/* ---- sockets ---- */

#define CLIENT_PORTS_MAX 16

/* Ports of 127.0.0.1, which connections take in turn. */
struct client_ports {
    uint16_t ports[CLIENT_PORTS_MAX];
    unsigned count;
};

bool client_parse_ports(struct client_ports *ports, const char *text); /* "8001,8002" */

/* A connected socket that does not block, TCP_NODELAY; the program ends when there is none. */
int client_connect(const struct client_ports *ports, unsigned number);

/* Sends it all, at once: these are small requests on sockets that have room. False: the other side
 * has gone. */
bool client_send(int fd, struct slice bytes);

void client_allow_files(unsigned count); /* raises RLIMIT_NOFILE as far as that goes */

/* ---- commands: lines on standard input ---- */

#define CLIENT_COMMAND_BYTES 32

bool client_read_commands(struct buf *input); /* false: none will come any more */
/* The next whole line, without its end. False: there is none. */
bool client_next_command(struct buf *input, char command[CLIENT_COMMAND_BYTES]);

/* ---- latencies ---- */

#define STAMP_BYTES 21

void stamp_write(char out[STAMP_BYTES], uint64_t ns); /* no NUL */
bool stamp_find(struct slice data, uint64_t *ns_out); /* false: there is none */

/* 32 steps for each power of two: exact to 3 %. */
#define HISTOGRAM_STEPS 32
#define HISTOGRAM_SLOTS (HISTOGRAM_STEPS * 60)

struct histogram {
    uint64_t counts[HISTOGRAM_SLOTS];
    uint64_t count, max;
};

void histogram_add(struct histogram *histogram, uint64_t ns);
double histogram_ms(const struct histogram *histogram, double part); /* 0.99: the 99th percentile */

#endif
