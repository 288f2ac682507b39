/* link.c - see link.h; the wire is described in docs/ipc.md. Below it: link_meet.c (listening and
 * dialling), link_wire.c (a connection's bytes), link_send.c (batches), link_timer.c, and
 * link_inbox.c, by which NNG's threads tell what happened; everything else belongs to the owner's
 * thread.
 *
 * Each side draws a random nonce per connection and tells it in its hello; a batch names the nonces
 * of both ends, so nothing that belongs to another conversation is ever taken for a part of this
 * one.
 */
#include "ipc/link_private.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/token.h"
#include "ipc/hello.h"

#define LINK_DIAL_MIN_MS 10 /* between two attempts: an eighth of the time apart, within bounds */
#define LINK_DIAL_MAX_MS 250
#define LINK_LISTEN_MIN_MS 250 /* likewise, between two looks at the socket file */
#define LINK_LISTEN_MAX_MS 2000
#define LINK_HELLO_MS 5000   /* a dialer that says nothing keeps others waiting */
#define LINK_REFUSED_MS 1000 /* from refusing a peer to closing the connection */

/* ---- the connection ---- */

/* Sets the time of the next attempt. */
static void link_wait(struct link *link)
{
    uint64_t min_ms = link->meet.listens ? LINK_LISTEN_MIN_MS : LINK_DIAL_MIN_MS;
    uint64_t max_ms = link->meet.listens ? LINK_LISTEN_MAX_MS : LINK_DIAL_MAX_MS;
    uint64_t wait_ms = (clock_boot_ms() - link->apart_since_ms) / 8;
    wait_ms = wait_ms < min_ms ? min_ms : wait_ms;
    link_timer_set(&link->timer, wait_ms < max_ms ? wait_ms : max_ms);
}

static void link_seek(struct link *link)
{
    link_wait(link);
    link_meet_ask(&link->meet);
}

static void link_on_met(struct link *link, struct link_event *event)
{
    nng_stream *stream = link_meet_take(&link->meet, event);
    if (stream == NULL)
        return; /* the timer is set */
    CHECK(!link_wire_is_open(&link->wire));
    link->is_refused = false;
    if (link->meet.listens)
        link_timer_set(&link->timer, LINK_HELLO_MS);
    else
        link_timer_clear(&link->timer);
    do {
        token_random(&link->own_nonce, sizeof(link->own_nonce));
    } while (link->own_nonce == 0);
    link_wire_begin(&link->wire, stream);
    link_send_hello(link);
}

/* The conversation ends; the connection may live on. */
static void link_go_down(struct link *link)
{
    bool was_up = link->is_up;
    link->is_up = false;
    link->peer_nonce = 0;
    link_forget_unsent(link);
    if (!was_up)
        return;
    link->apart_since_ms = clock_boot_ms();
    if (link->options.handlers.on_down != NULL)
        link->options.handlers.on_down(link->options.arg);
}

static void link_lose(struct link *link)
{
    link_wire_end(&link->wire);
    link_go_down(link);
    link_wait(link); /* a listener that always hangs up is not dialled all the time */
    if (link->meet.listens)
        link_meet_ask(&link->meet);
}

static void link_on_timer(struct link *link)
{
    if (!link_wire_is_open(&link->wire))
        link_seek(link);
    else if (!link->is_up)
        link_lose(link);
}

/* Nothing more is said or heard on this connection; it is closed after a second, which the peer of
 * a refused hello needs to read ours, and which keeps a peer that is broken for good from taking
 * our time. */
static void link_shun(struct link *link)
{
    if (link->is_up)
        link_go_down(link);
    link->is_refused = true;
    link_timer_set(&link->timer, LINK_REFUSED_MS);
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
    if (link->is_up)
        link_go_down(link); /* the peer begins anew */
    link->peer_nonce = peer_nonce;
    link->is_up = true;
    link->refused_what = NULL;
    link_timer_clear(&link->timer);
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

/* A batch to nobody yet is a hello; one that names other nonces is of another conversation. */
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

/* An event of whole batches, one behind the other. */
static void link_on_bytes(struct link *link, const struct link_event *event)
{
    struct slice bytes = slice_of(event->bytes, event->len);
    while (bytes.len > 0 && !link->is_refused)
        link_on_batch(link, link_wire_next_batch(&bytes));
}

static void link_on_event(struct link *link, struct link_event *event)
{
    switch (event->kind) {
    case LINK_EVENT_MET:
        link_on_met(link, event);
        break;
    case LINK_EVENT_BYTES:
        if (link_wire_is_of(&link->wire, event))
            link_on_bytes(link, event);
        break;
    case LINK_EVENT_ENDED:
        if (link_wire_is_of(&link->wire, event))
            link_lose(link);
        break;
    case LINK_EVENT_SENT: /* the flush at the end of this turn is what it is for */
        break;
    case LINK_EVENT_TIMER:
        if (link_timer_is_due(&link->timer))
            link_on_timer(link);
        break;
    }
}

void link_drain(struct link *link)
{
    struct link_events events;
    size_t done = 0;
    link_inbox_take(&link->inbox, &events);
    for (size_t i = 0; i < events.count; i++) {
        struct link_event *event = &events.items[i];
        link_on_event(link, event);
        done += link_event_cost(event);
        free(event->bytes); /* not only when all are done: they may be large */
        event->bytes = NULL;
    }
    link_events_fini(&events);
    if (done > 0 && link_inbox_done(&link->inbox, done))
        link_wire_receive(&link->wire);
}

/* ---- open and close ---- */

static int link_start(struct link *link, bool listens)
{
    int error = link_wire_init(&link->wire, &link->inbox);
    if (error == 0)
        error = link_timer_init(&link->timer, &link->inbox);
    if (error == 0)
        error = link_meet_init(&link->meet, &link->inbox, link->url, listens);
    if (error == 0) {
        link->apart_since_ms = clock_boot_ms();
        link_seek(link);
    }
    return error;
}

int link_open(struct link **out, const struct link_options *options)
{
    CHECK(options->handlers.on_message != NULL && options->self != options->peer);
    *out = NULL;
    struct link *link = mem_alloc(sizeof(*link));
    link->options = *options;
    buf_init(&link->batch, LINK_WIRE_HEAD_BYTES + LIMIT_MESSAGE_BYTES);
    size_t node_len = strlen(options->node);
    CHECK(node_len > 0 && node_len < sizeof(link->node));
    memcpy(link->node, options->node, node_len);
    link->options.node = link->node;
    link->options.run_dir = NULL; /* the caller's string need not outlive this call */

    /* In proc.h's order whoever comes first listens. */
    bool listens = options->self < options->peer;
    int error = proc_link_url(link->url, options->run_dir, listens ? options->self : options->peer,
                              listens ? options->peer : options->self,
                              listens ? options->peer_index : options->self_index);
    int inbox_error = link_inbox_init(&link->inbox);
    if (error == 0)
        error = inbox_error;
    if (error == 0)
        error = link_start(link, listens);
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
    link_meet_fini(&link->meet);
    link_timer_fini(&link->timer);
    link_wire_fini(&link->wire);
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
