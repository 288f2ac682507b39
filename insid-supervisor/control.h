/* control.h - the socket by which an operator's `insid ctl` talks to a node's supervisor.
 *
 * <runDir>/control.sock, mode 0600; whoever is neither this user nor root is turned away. One
 * request per connection, in one packet of text: "status", "restart <worker>", "stop". The answer
 * is one packet: '+' and text for stdout, or '!' and what is wrong. A restart is answered when the
 * worker serves again ("gateway": all of them, one after the other). A stop is answered when all
 * workers have ended; what the operator waits for is the end of the connection, which is the end of
 * the process.
 *
 * Bounds: CONTROL_CLIENTS_MAX connections, CONTROL_REQUEST_BYTES, CONTROL_SILENT_MS to say what is
 * wanted. One thread: the supervisor's.
 */
#ifndef INSI_SUPERVISOR_CONTROL_H
#define INSI_SUPERVISOR_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "insid-supervisor/child.h"

#define CONTROL_SOCKET "control.sock"
#define CONTROL_CLIENTS_MAX 8
#define CONTROL_REQUEST_BYTES 128
#define CONTROL_ANSWER_BYTES (16u << 10) /* a table of all workers, with room */
#define CONTROL_SILENT_MS 5000

struct control;

struct control_options {
    const char *run_dir, *node;
    const struct child *children; /* the supervisor's */
    unsigned child_count;
    void (*restart)(void *arg, unsigned child);
    void (*stop)(void *arg);
    void *arg;
};

/* E_IO with errno. */
int control_open(struct control **out, const struct control_options *options);
/* Those who wait for the end of a stop keep their connections: this process's end closes them. */
void control_close(struct control **control);

int control_fd(const struct control *control); /* readable when control_drain has something to do */
void control_drain(struct control *control);

/* After every turn: answers those whose worker serves again, drops those that say nothing. */
void control_look(struct control *control, bool is_stopping);
uint64_t control_due_ms(const struct control *control); /* look by then; 0: no need */

void control_stopped(struct control *control, bool failed); /* all workers have ended */

/* The path of a node's socket. E_TOO_LARGE when it fits no socket address. */
struct sockaddr_un;
int control_address(struct sockaddr_un *out, const char *run_dir);

#endif
