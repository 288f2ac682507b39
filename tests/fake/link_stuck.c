/* link_stuck.c - a process in which NNG's one thread that ends pipes is held up, as the fault of
 * ipc/link_canary.h does it, for tests of what becomes of it.
 *
 *     link-stuck canary          0 when canaries come home before, and not after
 *     link-stuck link <folder>   two ends of a link in that folder; expected to abort
 *
 * A program of its own, because nothing of NNG can be closed afterwards.
 */
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "ipc/link_private.h"

#include <nng/protocol/pair0/pair.h>

#define STUCK_PATIENCE_MS 10000

static atomic_bool is_held;

static void stuck_end_pipe(nng_pipe pipe, nng_pipe_ev kind, void *arg)
{
    (void)kind;
    (void)arg;
    nng_pipe_close(pipe);
}

static void stuck_hold(nng_pipe pipe, nng_pipe_ev kind, void *arg)
{
    (void)pipe;
    (void)kind;
    (void)arg;
    atomic_store(&is_held, true);
    for (;;)
        pause();
}

static void stuck_wait(unsigned ms)
{
    const struct timespec pause = {0, (long)(ms * NS_PER_MS)};
    nanosleep(&pause, NULL);
}

static void stuck_begin(void)
{
    static nng_socket one, other;
    CHECK(nng_pair0_open(&one) == 0 && nng_pair0_open(&other) == 0);
    CHECK(nng_pipe_notify(one, NNG_PIPE_EV_ADD_POST, stuck_end_pipe, NULL) == 0);
    CHECK(nng_pipe_notify(one, NNG_PIPE_EV_REM_POST, stuck_hold, NULL) == 0);
    CHECK(nng_listen(one, "inproc://held", NULL, 0) == 0);
    CHECK(nng_dial(other, "inproc://held", NULL, NNG_FLAG_NONBLOCK) == 0);
    while (!atomic_load(&is_held))
        stuck_wait(1);
}

static int stuck_canary(void)
{
    struct link_canary canary = {0};
    if (!link_canary_is_home(&canary))
        return 10;
    for (unsigned i = 0; i < 20; i++) {
        uint64_t give_up = clock_boot_ms() + STUCK_PATIENCE_MS;
        link_canary_send(&canary, 1);
        while (!link_canary_is_home(&canary)) {
            if (clock_boot_ms() >= give_up)
                return 11;
            stuck_wait(1);
        }
    }
    stuck_begin();
    link_canary_send(&canary, 1);
    stuck_wait(300);
    return link_canary_is_home(&canary) ? 13 : 0;
}

/* ---- a link ---- */

static void stuck_on_message(void *arg, enum msg type, struct unpack *body)
{
    (void)arg;
    (void)type;
    (void)body;
}

static void stuck_on_down(void *arg)
{
    unsigned *downs = arg;
    (*downs)++;
}

static struct link *stuck_open(const char *folder, enum proc self, enum proc peer, unsigned *downs)
{
    struct link *link = NULL;
    const struct link_options options = {.run_dir = folder,
                                         .node = "node0",
                                         .self = self,
                                         .peer = peer,
                                         .start_id = 1,
                                         .handlers.on_down = stuck_on_down,
                                         .handlers.on_message = stuck_on_message,
                                         .arg = downs};
    CHECK(link_open(&link, &options) == 0);
    return link;
}

static void stuck_turn(struct link *a, struct link *b)
{
    struct pollfd fds[] = {{link_fd(a), POLLIN, 0}, {link_fd(b), POLLIN, 0}};
    poll(fds, 2, 5);
    link_drain(a);
    link_drain(b);
    link_flush(a);
    link_flush(b);
}

static int stuck_link(const char *folder)
{
    unsigned downs[2] = {0};
    struct link *raft = stuck_open(folder, PROC_RAFT, PROC_GATEWAY, &downs[0]);
    struct link *gateway = stuck_open(folder, PROC_GATEWAY, PROC_RAFT, &downs[1]);
    while (!link_is_up(raft) || !link_is_up(gateway))
        stuck_turn(raft, gateway);
    nng_pipe_close((nng_pipe){gateway->pipe});
    while (downs[0] == 0 || downs[1] == 0)
        stuck_turn(raft, gateway);
    while (!link_is_up(raft) || !link_is_up(gateway))
        stuck_turn(raft, gateway);
    stuck_begin();
    link_canary_send(&gateway->canary, 1); /* as if it were held by the pipe that was lost */
    uint64_t give_up = clock_boot_ms() + STUCK_PATIENCE_MS;
    while (clock_boot_ms() < give_up)
        stuck_turn(raft, gateway);
    return 20;
}

int main(int argc, char **argv)
{
    int status = 2;
    if (argc == 2 && strcmp(argv[1], "canary") == 0)
        status = stuck_canary();
    else if (argc == 3 && strcmp(argv[1], "link") == 0)
        status = stuck_link(argv[2]);
    _exit(status); /* past NNG's own end, which would hang */
}
