/* link_canary.h - is NNG still able to let connections go?
 *
 * NNG 1.5.2 ends all pipes of a process on one thread, which waits for each pipe's transfers. When
 * a pipe is closed between two parts of a large message, the transfer may never finish (its aio is
 * closed, so the next part is not begun, and nobody is told): the thread waits for ever, no pipe of
 * this process goes down any more, and its links are dead without knowing. Seen about once in 5000
 * kills of a peer in the middle of megabytes. Nothing but a new process helps, so whoever has lost
 * a pipe sends a canary: a connection of its own that is made and ended. If its end is not seen in
 * time, the process had better abort; its supervisor starts it anew.
 */
#ifndef INSI_IPC_LINK_CANARY_H
#define INSI_IPC_LINK_CANARY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <nng/nng.h>

struct link_canary {
    nng_socket cage, bird; /* the two ends */
    bool is_out;
    atomic_bool is_back; /* the end was seen, on NNG's thread */
};

void link_canary_send(struct link_canary *canary, uint64_t id); /* id: unique in this process */

/* True when there is none out, or it has come back; then its sockets are closed. */
bool link_canary_is_home(struct link_canary *canary);

/* Takes it back whatever has become of it. Hangs when NNG does, as nng_close would anyhow. */
void link_canary_call_off(struct link_canary *canary);

#endif
