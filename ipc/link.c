/* link.c - see link.h; the wire is described in docs/ipc.md. The sending half is link_send.c.
 *
 * NNG's threads put events into an inbox (link_inbox.h); everything else belongs to the owner's
 * thread. A connection is one NNG pipe. Each side draws a random nonce per connection and tells it
 * in its hello; a batch names the nonces of both ends, so whatever an earlier connection left
 * behind in a buffer, even between the same two processes, is recognised and dropped.
 *
 * A round trip of 128 bytes between two loops takes 130-140 us on the 2-core machine where a bare
 * NNG echo takes 88. Running handlers on NNG's thread instead of waking the owner was tried: 112
 * us. Not worth it, because a handler would then change threads between calls, and a write
 * transaction of LMDB must not.
 */
#include "ipc/link_private.h"

#include <nng/protocol/pair0/pair.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/token.h"
#include "ipc/hello.h"

#define LINK_RECONNECT_MIN_MS 10
#define LINK_RECONNECT_MAX_MS 25
#define LINK_REVIVE_MIN_MS 250 /* without a connection; doubling */
#define LINK_REVIVE_MAX_MS 2000
#define LINK_CANARY_MS 50    /* to the first look at a canary; doubling, three times */
#define LINK_CANARY_LOOKS 5  /* in vain, within some 1.2 s */
#define LINK_REFUSED_MS 1000 /* from refusing a pipe to closing it */

/* ---- listening and dialing ---- */

static int link_open_endpoint(struct link *link)
{
    int rv;
    if (link->listens) {
        rv = nng_listener_create(&link->listener, link->socket, link->url);
        if (rv == 0) {
            rv = nng_listener_set_int(link->listener, NNG_OPT_IPC_PERMISSIONS, 0600);
            rv = rv == 0 ? nng_listener_start(link->listener, 0) : rv;
            if (rv != 0)
                nng_listener_close(link->listener);
        }
    } else {
        rv = nng_dial(link->socket, link->url, &link->dialer, NNG_FLAG_NONBLOCK);
    }
    link->endpoint_is_open = rv == 0;
    return rv;
}

static void link_close_endpoint(struct link *link)
{
    if (!link->endpoint_is_open)
        return;
    link->endpoint_is_open = false;
    if (link->listens)
        nng_listener_close(link->listener);
    else
        nng_dialer_close(link->dialer);
}

static void link_log_failure(const struct link *link, int rv)
{
    LOG_ERROR("link_failed", LOG_STR("url", link->url), LOG_STR("error", nng_strerror(rv)));
}

/* See link_canary.h. Looked for several times, because a process that was stopped finds all its
 * timers due before its threads have run. */
static bool link_canary_is_lost(struct link *link)
{
    if (link_canary_is_home(&link->canary))
        link->canary_looks = 0;
    else
        link->canary_looks++;
    return link->canary_looks == LINK_CANARY_LOOKS;
}

/* A pipe whose other end closes before NNG has exchanged its first bytes ends, in NNG 1.5.2, the
 * listening or dialing for good: the EPIPE of that moment becomes NNG_ECLOSED, which NNG takes for
 * its own closing. A peer killed at that moment must not cost us the link, so while there is no
 * connection we listen or dial anew from time to time. */
static void link_set_revival(struct link *link)
{
    uint64_t now_ms = clock_boot_ms();
    uint64_t wait_ms = link->revive_due_ms > now_ms ? link->revive_due_ms - now_ms : 0;
    uint64_t look_ms = LINK_CANARY_MS << (link->canary_looks < 3 ? link->canary_looks : 3);
    if (link->revive_is_set)
        return;
    if (!link_canary_is_home(&link->canary) && (link->pipe != 0 || look_ms < wait_ms))
        wait_ms = look_ms;
    link->revive_is_set = true;
    nng_sleep_aio((nng_duration)wait_ms, link->revive_aio);
}

static void link_put_off_revival(struct link *link)
{
    link->revive_due_ms = clock_boot_ms() + link->revive_ms;
}

static void link_revive(struct link *link)
{
    link_close_endpoint(link);
    int rv = link_open_endpoint(link);
    if (rv != 0)
        link_log_failure(link, rv);
}

static void link_on_revival(struct link *link)
{
    link->revive_is_set = false;
    if (link_canary_is_lost(link)) {
        LOG_ERROR("nng_stuck", LOG_STR("url", link->url));
        abort();
    }
    if (link->pipe == 0 && clock_boot_ms() >= link->revive_due_ms) {
        link_revive(link);
        if (link->revive_ms < LINK_REVIVE_MAX_MS)
            link->revive_ms *= 2;
        link_put_off_revival(link);
    }
    if (link->pipe == 0 || link->canary_looks > 0)
        link_set_revival(link);
}

/* ---- the connection ---- */

/* The conversation ends; the pipe may live on. */
static void link_go_down(struct link *link)
{
    bool was_up = link->is_up;
    link->is_up = false;
    link->peer_nonce = 0;
    link_forget_unsent(link);
    if (was_up && link->options.handlers.on_down != NULL)
        link->options.handlers.on_down(link->options.arg);
}

static void link_lose_pipe(struct link *link)
{
    if (link->pipe == 0)
        return;
    link->pipe = 0;
    if (link->is_refused) {
        nng_aio_cancel(link->refuse_aio);
        nng_aio_wait(link->refuse_aio);
    }
    link_canary_send(&link->canary, (uintptr_t)link);
    link_put_off_revival(link);
    link_set_revival(link);
    link_go_down(link);
}

static void link_use_pipe(struct link *link, uint32_t pipe)
{
    link_lose_pipe(link);
    link->pipe = pipe;
    link->revive_ms = LINK_REVIVE_MIN_MS;
    link->is_refused = false;
    do {
        token_random(&link->own_nonce, sizeof(link->own_nonce));
    } while (link->own_nonce == 0);
    link_send_hello(link);
}

/* Takes the pipe off the list of offered ones; false when it is not there. */
static bool link_take_offered(struct link *link, uint32_t pipe)
{
    for (unsigned i = 0; i < link->offered_count; i++) {
        if (link->offered[i] == pipe) {
            link->offered_count--;
            memmove(&link->offered[i], &link->offered[i + 1],
                    (link->offered_count - i) * sizeof(link->offered[0]));
            return true;
        }
    }
    return false;
}

static void link_on_offered(struct link *link, uint32_t pipe)
{
    if (link->offered_count == LINK_OFFERED_PIPES)
        link_take_offered(link, link->offered[0]);
    link->offered[link->offered_count++] = pipe;
}

/* Nothing more is said or heard on this pipe; it is closed after a second, which the peer of a
 * refused hello needs to read ours, and which keeps a peer that is broken for good from taking our
 * time. */
static void link_shun(struct link *link)
{
    if (link->is_up)
        link_go_down(link);
    link->is_refused = true;
    link->refused_pipe.id = link->pipe;
    nng_sleep_aio(LINK_REFUSED_MS, link->refuse_aio);
}

static void link_refuse(struct link *link, const struct hello *hello, const char *what, int error)
{
    link_shun(link);
    if (link->refused_what == what && link->refused_start_id == hello->start_id)
        return;
    link->refused_what = what;
    link->refused_start_id = hello->start_id;
    char node[LIMIT_NODE_ID_BYTES] = "";
    if (hello->node.len > 0 && hello->node.len < sizeof(node))
        memcpy(node, hello->node.data, hello->node.len);
    LOG_ERROR("link_refused", LOG_STR("url", link->url), LOG_STR("reason", error_name(error)),
              LOG_STR("field", what), LOG_U64("own_version", LINK_PROTOCOL_VERSION),
              LOG_U64("peer_version", hello->version), LOG_U64("peer_process", hello->proc),
              LOG_U64("peer_index", hello->index), LOG_STR("peer_node", node));
}

static void link_on_hello(struct link *link, uint64_t peer_nonce, struct slice body)
{
    const struct hello expected = {.version = LINK_PROTOCOL_VERSION,
                                   .proc = (uint64_t)link->options.peer,
                                   .index = link->options.peer_index,
                                   .node = slice_text(link->node)};
    struct hello hello;
    const char *what = "hello";
    int error = hello_decode(&hello, body);
    if (error == 0 || error == E_VERSION)
        error = hello_compare(&hello, &expected, &what);
    if (error != 0) {
        link_refuse(link, &hello, what, error);
        return;
    }
    /* Another hello on the same pipe: the first one was left over from an earlier connection. */
    if (link->is_up)
        link_go_down(link);
    link->peer_nonce = peer_nonce;
    link->is_up = true;
    link->refused_what = NULL;
    const struct link_peer peer = {link->options.peer, link->options.peer_index, hello.start_id};
    if (link->options.handlers.on_up != NULL)
        link->options.handlers.on_up(link->options.arg, &peer);
}

/* ---- receiving ---- */

/* What is lost with it is unknown, and a conversation must not go on with a hole in it: both sides
 * begin anew and ask again. */
static void link_malformed(struct link *link, uint64_t type, const char *why)
{
    LOG_ERROR("message_malformed", LOG_STR("peer", proc_name(link->options.peer)),
              LOG_STR("type", type <= INT32_MAX ? msg_name((int)type) : "?"),
              LOG_U64("number", type), LOG_STR("reason", why));
    link_shun(link);
}

static void link_on_frame(struct link *link, struct slice frame)
{
    struct unpack body;
    unpack_init(&body, frame);
    uint32_t elements = unpack_array(&body);
    uint64_t type = unpack_u64(&body);
    if (body.error != 0 || type > INT32_MAX || type == MSG_HELLO ||
        elements != 1 + (uint32_t)msg_elements((int)type)) {
        link_malformed(link, type, "not a message");
        return;
    }
    if (!msg_may_travel((int)type, link->options.peer, link->options.self)) {
        link_malformed(link, type, "not for us");
        return;
    }
    link->options.handlers.on_message(link->options.arg, (enum msg)type, &body);
    int error = unpack_end(&body);
    if (error != 0)
        link_malformed(link, type, error_text(error));
}

/* A batch to nobody yet is a hello; one that names other nonces is of an earlier connection. */
static void link_on_batch(struct link *link, struct slice bytes)
{
    struct unpack unpack;
    unpack_init(&unpack, bytes);
    uint64_t sender_nonce = unpack_u64(&unpack);
    uint64_t receiver_nonce = unpack_u64(&unpack);
    if (unpack.error == 0 && receiver_nonce == 0) {
        struct slice hello = unpack_bytes(&unpack);
        if (unpack_end(&unpack) == 0 && sender_nonce != 0)
            link_on_hello(link, sender_nonce, hello);
        else
            link_malformed(link, MSG_HELLO, "batch");
        return;
    }
    if (unpack.error == 0 &&
        (!link->is_up || sender_nonce != link->peer_nonce || receiver_nonce != link->own_nonce)) {
        LOG_DEBUG("batch_dropped", LOG_STR("peer", proc_name(link->options.peer)),
                  LOG_U64("bytes", bytes.len));
        return;
    }
    while (unpack_more(&unpack) && !link->is_refused) {
        struct slice frame = unpack_bytes(&unpack);
        if (unpack.error == 0)
            link_on_frame(link, frame);
    }
    if (link->is_refused)
        return;
    if (unpack.error != 0)
        link_malformed(link, 0, "batch");
    else if (link->options.handlers.on_batch_end != NULL)
        link->options.handlers.on_batch_end(link->options.arg);
}

static void link_on_nng_message(struct link *link, uint32_t pipe, nng_msg *message)
{
    /* The first message may overtake the notice that the pipe is up. */
    if (pipe != link->pipe && link_take_offered(link, pipe))
        link_use_pipe(link, pipe);
    if (pipe == link->pipe && !link->is_refused)
        link_on_batch(link, slice_of(nng_msg_body(message), nng_msg_len(message)));
}

static void link_on_event(struct link *link, const struct link_event *event)
{
    switch (event->kind) {
    case LINK_EVENT_PIPE_OFFERED:
        link_on_offered(link, event->pipe);
        break;
    case LINK_EVENT_PIPE_UP:
        if (link_take_offered(link, event->pipe))
            link_use_pipe(link, event->pipe);
        break;
    case LINK_EVENT_PIPE_DOWN:
        link_take_offered(link, event->pipe);
        if (event->pipe == link->pipe)
            link_lose_pipe(link);
        break;
    case LINK_EVENT_MESSAGE:
        link_on_nng_message(link, event->pipe, event->message);
        break;
    case LINK_EVENT_SEND_DONE:
        link_on_send_done(link);
        break;
    case LINK_EVENT_REVIVE:
        link->wants_revival = true; /* after the events that are behind this one */
        break;
    }
}

void link_drain(struct link *link)
{
    struct link_events events;
    size_t bytes = 0;
    link_inbox_take(&link->inbox, &events);
    for (size_t i = 0; i < events.count; i++) {
        struct link_event *event = &events.items[i];
        link_on_event(link, event);
        if (event->message != NULL) {
            bytes += link_message_cost(event->message);
            nng_msg_free(event->message);
            event->message = NULL;
        }
    }
    link_events_fini(&events);
    if (link->wants_revival) {
        link->wants_revival = false;
        link_on_revival(link);
    }
    if (bytes > 0 && link_inbox_done(&link->inbox, bytes))
        nng_recv_aio(link->socket, link->receive_aio);
}

/* ---- on NNG's threads ---- */

static void link_nng_received(void *arg)
{
    struct link *link = arg;
    if (nng_aio_result(link->receive_aio) != 0)
        return; /* the socket is being closed */
    nng_msg *message = nng_aio_get_msg(link->receive_aio);
    nng_aio_set_msg(link->receive_aio, NULL);
    struct link_event event = {
        .kind = LINK_EVENT_MESSAGE, .pipe = nng_msg_get_pipe(message).id, .message = message};
    if (link_inbox_put(&link->inbox, event))
        nng_recv_aio(link->socket, link->receive_aio);
    link_inbox_wake(&link->inbox);
}

static void link_nng_sent(void *arg)
{
    struct link *link = arg;
    link_inbox_put(&link->inbox, (struct link_event){.kind = LINK_EVENT_SEND_DONE});
    link_inbox_wake(&link->inbox);
}

static void link_nng_refused(void *arg)
{
    struct link *link = arg;
    if (nng_aio_result(link->refuse_aio) == 0)
        nng_pipe_close(link->refused_pipe);
}

static void link_nng_revive(void *arg)
{
    struct link *link = arg;
    if (nng_aio_result(link->revive_aio) != 0)
        return; /* the link is being closed */
    link_inbox_put(&link->inbox, (struct link_event){.kind = LINK_EVENT_REVIVE});
    link_inbox_wake(&link->inbox);
}

static void link_nng_pipe(nng_pipe pipe, nng_pipe_ev kind, void *arg)
{
    struct link *link = arg;
    uint64_t uid = 0;
    struct link_event event = {.kind = LINK_EVENT_PIPE_DOWN, .pipe = pipe.id};
    if (kind == NNG_PIPE_EV_ADD_PRE) {
        int rv = nng_pipe_get_uint64(pipe, NNG_OPT_IPC_PEER_UID, &uid);
        if (rv != 0 || uid != (uint64_t)geteuid()) {
            LOG_WARN("link_stranger_refused", LOG_STR("url", link->url), LOG_U64("uid", uid));
            nng_pipe_close(pipe);
            return;
        }
        event.kind = LINK_EVENT_PIPE_OFFERED;
    } else if (kind == NNG_PIPE_EV_ADD_POST) {
        event.kind = LINK_EVENT_PIPE_UP;
    }
    link_inbox_put(&link->inbox, event);
    link_inbox_wake(&link->inbox);
}

/* ---- open and close ---- */

static int link_start(struct link *link)
{
    int rv = nng_pair0_open(&link->socket);
    link->socket_is_open = rv == 0;
    nng_socket socket = link->socket;
    if (rv == 0)
        rv = nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ, LIMIT_MESSAGE_BYTES);
    if (rv == 0)
        rv = nng_socket_set_ms(socket, NNG_OPT_RECONNMINT, LINK_RECONNECT_MIN_MS);
    if (rv == 0)
        rv = nng_socket_set_ms(socket, NNG_OPT_RECONNMAXT, LINK_RECONNECT_MAX_MS);
    for (int event = NNG_PIPE_EV_ADD_PRE; rv == 0 && event <= NNG_PIPE_EV_REM_POST; event++)
        rv = nng_pipe_notify(socket, (nng_pipe_ev)event, link_nng_pipe, link);
    if (rv == 0)
        rv = nng_aio_alloc(&link->receive_aio, link_nng_received, link);
    if (rv == 0)
        rv = nng_aio_alloc(&link->send_aio, link_nng_sent, link);
    if (rv == 0)
        rv = nng_aio_alloc(&link->refuse_aio, link_nng_refused, link);
    if (rv == 0)
        rv = nng_aio_alloc(&link->revive_aio, link_nng_revive, link);
    if (rv == 0)
        rv = link_open_endpoint(link);
    if (rv != 0) {
        link_log_failure(link, rv);
        return E_IO;
    }
    nng_recv_aio(socket, link->receive_aio);
    link_put_off_revival(link);
    link_set_revival(link);
    return 0;
}

int link_open(struct link **out, const struct link_options *options)
{
    CHECK(options->handlers.on_message != NULL && options->self != options->peer);
    *out = NULL;
    struct link *link = mem_alloc(sizeof(*link));
    link->options = *options;
    link->send_fd = -1;
    buf_init(&link->batch, LIMIT_MESSAGE_BYTES);
    size_t node_len = strlen(options->node);
    CHECK(node_len > 0 && node_len < sizeof(link->node));
    memcpy(link->node, options->node, node_len);
    link->options.node = link->node;
    link->options.run_dir = NULL; /* the caller's string need not outlive this call */

    /* In proc.h's order whoever comes first listens. */
    bool listens = options->self < options->peer;
    link->listens = listens;
    link->revive_ms = LINK_REVIVE_MIN_MS;
    int error = proc_link_url(link->url, options->run_dir, listens ? options->self : options->peer,
                              listens ? options->peer : options->self,
                              listens ? options->peer_index : options->self_index);
    int inbox_error = link_inbox_init(&link->inbox);
    if (error == 0)
        error = inbox_error;
    if (error == 0)
        error = link_start(link);
    if (error != 0)
        link_close(&link);
    *out = link;
    return error;
}

static void link_on_ready(void *arg)
{
    link_drain(arg);
}

static void link_on_turn_end(void *arg)
{
    link_flush(arg);
}

void link_close(struct link **link_pointer)
{
    struct link *link = *link_pointer;
    if (link == NULL)
        return;
    *link_pointer = NULL;
    if (link->loop != NULL) {
        loop_remove_fd(link->loop, link->inbox.wake_fd);
        loop_remove_runner(link->loop, link_on_turn_end, link);
    }
    link_canary_fini(&link->canary);
    /* Ends every operation and waits for the callbacks of its pipes. */
    if (link->socket_is_open)
        nng_close(link->socket);
    nng_aio *aios[] = {link->receive_aio, link->send_aio, link->refuse_aio, link->revive_aio};
    for (size_t i = 0; i < sizeof(aios) / sizeof(aios[0]); i++) {
        if (aios[i] != NULL)
            nng_aio_stop(aios[i]);
    }
    if (link->is_sending && nng_aio_result(link->send_aio) != 0)
        nng_msg_free(nng_aio_get_msg(link->send_aio));
    for (size_t i = 0; i < sizeof(aios) / sizeof(aios[0]); i++)
        nng_aio_free(aios[i]);
    link->is_sending = false;
    link_forget_unsent(link);
    link_inbox_fini(&link->inbox);
    buf_fini(&link->batch);
    free(link);
}

int link_fd(const struct link *link)
{
    return link->inbox.wake_fd;
}

bool link_is_up(const struct link *link)
{
    return link->is_up;
}

int link_attach(struct link *link, struct loop *loop)
{
    CHECK(link->loop == NULL);
    int error = loop_add_runner(loop, link_on_turn_end, link);
    if (error != 0)
        return error;
    error = loop_add_fd(loop, link->inbox.wake_fd, link_on_ready, link);
    if (error != 0) {
        loop_remove_runner(loop, link_on_turn_end, link);
        return error;
    }
    link->loop = loop;
    return 0;
}
