/* link_streamer.c - the far end of a link, in a process of its own, for tests that kill it.
 *
 *     link-streamer <run folder> <node> <start id> <window>
 *
 * Waits for a byte on stdin, then opens gateway 0's link to raft and streams READ_INDEX, numbered
 * from 1 in each connection, until it is killed or its stdin ends. A REFUSE is an answer to one of
 * them; at most as many as the window says are unanswered, any number if it is 0.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "ipc/gateway_raft.h"

#define STREAMER_QUEUE_BYTES 100000

struct streamer {
    struct loop *loop;
    struct link *link;
    uint64_t next, answers, window;
};

static void streamer_on_up(void *arg, const struct link_peer *peer)
{
    struct streamer *streamer = arg;
    (void)peer;
    streamer->next = 1;
    streamer->answers = 0;
}

static void streamer_on_message(void *arg, enum msg type, struct unpack *body)
{
    struct streamer *streamer = arg;
    struct msg_refuse msg;
    if (type == MSG_REFUSE && msg_refuse_decode(&msg, body) == 0)
        streamer->answers++;
}

static void streamer_on_stdin(void *arg)
{
    struct streamer *streamer = arg;
    char byte;
    if (read(STDIN_FILENO, &byte, 1) <= 0)
        loop_stop(streamer->loop);
}

static bool streamer_may_send(const struct streamer *streamer)
{
    uint64_t unanswered = streamer->next - 1 - streamer->answers;
    return link_is_up(streamer->link) && link_queued_bytes(streamer->link) < STREAMER_QUEUE_BYTES &&
           (streamer->window == 0 || unanswered < streamer->window);
}

/* Registered before the link's own runner, so what it queues leaves in the same turn. */
static void streamer_fill(void *arg)
{
    struct streamer *streamer = arg;
    while (streamer_may_send(streamer)) {
        const struct msg_read_index msg = {streamer->next++};
        CHECK(msg_read_index_send(streamer->link, &msg) == 0);
    }
}

int main(int argc, char **argv)
{
    struct streamer streamer = {0};
    char byte;
    if (argc != 5 || read(STDIN_FILENO, &byte, 1) != 1)
        return 2;
    const struct link_options options = {.run_dir = argv[1],
                                         .node = argv[2],
                                         .self = PROC_GATEWAY,
                                         .peer = PROC_RAFT,
                                         .start_id = strtoull(argv[3], NULL, 10),
                                         .handlers.on_up = streamer_on_up,
                                         .handlers.on_message = streamer_on_message,
                                         .arg = &streamer};
    streamer.window = strtoull(argv[4], NULL, 10);
    streamer.loop = loop_new();
    CHECK(loop_add_runner(streamer.loop, streamer_fill, &streamer) == 0);
    CHECK(loop_add_fd(streamer.loop, STDIN_FILENO, streamer_on_stdin, &streamer) == 0);
    CHECK(link_open(&streamer.link, &options) == 0);
    CHECK(link_attach(streamer.link, streamer.loop) == 0);
    loop_run(streamer.loop);
    link_close(&streamer.link);
    loop_free(&streamer.loop);
    return 0;
}
