/* link_canary.h - is NNG still able to let connections go?
 *
 * NNG 1.5.2 ends all pipes of a process on one thread, which waits for each pipe's transfers. When
 * a pipe is closed between two parts of a message, the transfer may never finish (its aio is
 * closed, so the next part is not begun, and nobody is told): the thread waits for ever, no pipe of
 * this process goes down any more, and its links are dead without knowing. Every message has two
 * parts, its length being the first, and a failed send is what closes a pipe while it still
 * receives: with traffic both ways, it was seen once in 30 to 1000 kills of the peer. Nothing but a
 * new process helps, so whoever has lost a pipe sends a canary: a connection of its own is ended.
 * If that is not seen to happen, the process had better abort; its supervisor starts it anew.
 */
#ifndef INSI_IPC_LINK_CANARY_H
#define INSI_IPC_LINK_CANARY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <nng/nng.h>

struct link_canary {       /* zeroed before first use */
    nng_socket cage, bird; /* both ends; opened when first needed, then kept */
    bool is_open;
    atomic_bool is_out;
    atomic_uint pipe; /* of the cage; 0: none now, NNG makes a new one */
};

void link_canary_send(struct link_canary *canary, uint64_t id); /* id: unique in this process */

/* True when there is none out, or it has come back. */
bool link_canary_is_home(const struct link_canary *canary);

/* Closes the sockets. Hangs when NNG does, as every nng_close then would. */
void link_canary_fini(struct link_canary *canary);

#endif
