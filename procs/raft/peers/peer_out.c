/* peer_out.c - the connection that this node dials: finding the peer, saying hello.
 * What is said on it then is peer_send.c's.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/token.h"
#include "procs/raft/peers/peers_private.h"

#define OUT_DELAY_MIN_MS 10
#define OUT_DELAY_MAX_MS 1000
#define OUT_DIAL_MS 1000 /* for TCP's part: an answer that is lost is better asked for again */
#define OUT_STEADY_NS NS_PER_S /* a connection that lived so long was a good one */

static void peer_out_on_ready(void *arg);
static void peer_out_on_timer(void *arg);

/* ---- lines ------------------------------------------------------------------------------------
 */

void peer_out_init(struct peer *peer)
{
    struct peer_out *out = &peer->out;
    peer_socket_init(&out->socket);
    out->timer = (struct loop_timer){.fire = peer_out_on_timer, .arg = peer};
    out->delay_ms = OUT_DELAY_MIN_MS;
    buf_init(&out->in, PEER_STRANGER_BYTES + PEER_LENGTH_BYTES);
    buf_init(&out->open, LIMIT_MESSAGE_BYTES);
}

static uint64_t peer_out_now(const struct peer *peer)
{
    return loop_now_ns(peer->peers->loop);
}

static void peer_out_set_line(struct peer *peer, enum peer_line line)
{
    peer->out.line = line;
    peer->out.since_ns = peer_out_now(peer);
}

/* What this line waits for, and until when. */
void peer_out_set_timer(struct peer *peer)
{
    struct peer_out *out = &peer->out;
    uint64_t due_ns = 0;
    if (out->line == PEER_LINE_DIALING)
        due_ns = out->since_ns + OUT_DIAL_MS * NS_PER_MS;
    else if (out->line == PEER_LINE_SHAKING || out->line == PEER_LINE_GREETED ||
             out->line == PEER_LINE_WELCOMED)
        due_ns = out->since_ns + PEERS_HELLO_MS * NS_PER_MS;
    else if (out->line == PEER_LINE_OPEN && out->blocked_ns != 0)
        due_ns = out->blocked_ns + PEER_SILENCE_MS * NS_PER_MS;
    else if (out->line == PEER_LINE_OPEN && !peer->is_member && peer->wanted_until_ns != 0)
        due_ns = peer->wanted_until_ns;
    if (due_ns)
        loop_timer_set(peer->peers->loop, &out->timer, due_ns);
    else
        loop_timer_clear(peer->peers->loop, &out->timer);
}

void peer_out_watch(struct peer *peer)
{
    loop_watch_write(peer->peers->loop, peer->out.socket.fd, peer->out.socket.wants_write);
    peer_out_set_timer(peer);
}

static void peer_out_forget(struct peer *peer)
{
    struct peer_out *out = &peer->out;
    while (out->first) {
        struct peer_chunk *chunk = out->first;
        out->first = chunk->next;
        free(chunk->data);
        free(chunk);
    }
    out->last = NULL;
    out->chunk_bytes = 0;
    out->blocked_ns = 0;
    buf_clear(&out->open);
    buf_shrink(&out->open, PEER_OUT_KEEP_BYTES);
    buf_clear(&out->in);
}

static void peer_out_disconnect(struct peer *peer)
{
    struct peer_out *out = &peer->out;
    if (out->socket.fd >= 0)
        loop_remove_fd(peer->peers->loop, out->socket.fd);
    peer_socket_close(&out->socket);
    peer_out_forget(peer);
    peer_out_set_line(peer, PEER_LINE_IDLE);
    loop_timer_clear(peer->peers->loop, &out->timer);
}

/* Half as much again, or half as much less: peers that went together do not come back in step. */
static void peer_out_retry_later(struct peer *peer)
{
    struct peer_out *out = &peer->out;
    uint64_t delay_ms = out->delay_ms / 2 + rng_below(&peer->peers->rng, out->delay_ms + 1);
    out->delay_ms = out->delay_ms * 2 < OUT_DELAY_MAX_MS ? out->delay_ms * 2 : OUT_DELAY_MAX_MS;
    loop_timer_set(peer->peers->loop, &out->timer, peer_out_now(peer) + (delay_ms + 1) * NS_PER_MS);
}

void peer_out_hang_up(struct peer *peer, const char *reason)
{
    struct peer_out *out = &peer->out;
    bool was_up = peer->info.is_up;
    bool was_steady = was_up && peer_out_now(peer) - out->since_ns >= OUT_STEADY_NS;
    CHECK(!out->in_message);
    if (out->line == PEER_LINE_IDLE)
        return;
    if (was_up || !out->is_told)
        LOG_INFO(was_up ? "peer_down" : "peer_not_reached", LOG_STR("peer", peer->info.name),
                 LOG_STR("address", out->address), LOG_STR("reason", reason));
    out->is_told = true;
    peer_out_disconnect(peer);
    peer->info.is_up = false;
    if (was_steady)
        out->delay_ms = OUT_DELAY_MIN_MS;
    out->tries += !was_up;
    if (peer_is_wanted(peer))
        peer_out_retry_later(peer);
    else
        peer->peers->sweeps = true;
    if (was_up && peer->peers->hooks.down)
        peer->peers->hooks.down(peer->peers->hooks.arg, peer);
}

/* The other end, or we, did something that is not in the book. */
static void peer_out_fault(struct peer *peer, enum peer_fault fault, const char *detail)
{
    peers_note_fault(peer->peers, fault, peer->out.address, detail);
    peer_out_hang_up(peer, peer_fault_name(fault));
}

/* ---- dialing ----------------------------------------------------------------------------------
 */

/* The places in turn, each with the addresses that its name has. NULL: nobody knows where it is. */
static const char *peer_out_place(const struct peer *peer)
{
    const char *places[PEER_PLACES] = {NULL};
    unsigned count = 0;
    for (unsigned i = 0; i < PEER_PLACES; i++) {
        const char *place = i == 0 ? peer->info.raft_address : peer->places[i];
        bool is_known = place[0] == '\0';
        for (unsigned j = 0; j < count; j++)
            is_known |= strcmp(places[j], place) == 0;
        if (!is_known)
            places[count++] = place;
    }
    return count > 0 ? places[peer->out.tries % count] : NULL;
}

static void peer_out_connect(struct peer *peer)
{
    struct peer_out *out = &peer->out;
    const struct peer_sockaddr *to = &out->found.list[out->tries % out->found.count];
    if (peer_socket_dial(&out->socket, to) != 0) {
        peer_out_hang_up(peer, log_errno_text(errno));
        return;
    }
    peer_out_set_line(peer, PEER_LINE_DIALING);
    if (loop_add_fd(peer->peers->loop, out->socket.fd, peer_out_on_ready, peer) != 0) {
        peer_out_hang_up(peer, "no descriptors are left");
        return;
    }
    peer_out_watch(peer);
}

static void peer_out_resolve(struct peer *peer);

static void peer_out_look_up(struct helper_job *job)
{
    struct peer_lookup *lookup = (struct peer_lookup *)job;
    lookup->error = peer_address_resolve(lookup->address, false, &lookup->found);
}

static void peer_out_on_found(struct helper_job *job)
{
    struct peer_lookup *lookup = (struct peer_lookup *)job;
    struct peer *peer = lookup->peer;
    bool is_right = strcmp(lookup->address, peer->out.address) == 0;
    int error = lookup->error;
    peer->out.lookup = NULL;
    peer->out.found = lookup->found;
    free(lookup);
    if (peer->out.line != PEER_LINE_RESOLVING)
        return;
    if (!is_right)
        peer_out_resolve(peer);
    else if (error)
        peer_out_hang_up(peer, error_text(error));
    else
        peer_out_connect(peer);
}

static void peer_out_resolve(struct peer *peer)
{
    struct peers *peers = peer->peers;
    peer_out_set_line(peer, PEER_LINE_RESOLVING);
    if (peer->out.lookup)
        return; /* when that one is done */
    struct peer_lookup *lookup = mem_alloc(sizeof(*lookup));
    lookup->job.run = peer_out_look_up;
    lookup->job.done = peer_out_on_found;
    lookup->peer = peer;
    memcpy(lookup->address, peer->out.address, sizeof(lookup->address));
    peer->out.lookup = lookup;
    if (!peers->helper)
        peers->helper = helper_new(peers->loop);
    helper_give(peers->helper, &lookup->job);
}

void peer_out_dial(struct peer *peer)
{
    struct peer_out *out = &peer->out;
    const char *place = peer_out_place(peer);
    if (out->line != PEER_LINE_IDLE || !place)
        return;
    loop_timer_clear(peer->peers->loop, &out->timer);
    snprintf(out->address, sizeof(out->address), "%s", place);
    int error = peer_address_read(out->address, &out->found);
    if (error == E_BUSY) {
        peer_out_resolve(peer);
    } else if (error) {
        peer_out_set_line(peer, PEER_LINE_RESOLVING);
        peer_out_hang_up(peer, error_text(error));
    } else {
        peer_out_connect(peer);
    }
}

/* ---- saying hello -----------------------------------------------------------------------------
 */

static void peer_out_greet(struct peer *peer)
{
    struct peer_out *out = &peer->out;
    struct peer_hello hello;
    peers_fill_hello(peer->peers, &hello);
    token_random(out->own_nonce, sizeof(out->own_nonce));
    memcpy(hello.nonce, out->own_nonce, sizeof(hello.nonce));
    out->number = 0;
    peer_hello_pack(peer_out_start(peer, PEER_HELLO), &hello);
    peer_end(peer);
    peer_out_set_line(peer, PEER_LINE_WELCOMED);
    peer_out_flush(peer);
}

static void peer_out_on_greeting(struct peer *peer)
{
    struct peer_out *out = &peer->out;
    uint32_t version = 0;
    int error = peer_decode_greeting(out->in.data, out->nonce, &version);
    if (error == E_VERSION) {
        peer_out_fault(peer, PEER_FAULT_VERSION, "it speaks another version of the protocol");
        return;
    }
    if (error) {
        peer_out_fault(peer, PEER_FAULT_MALFORMED, "no greeting of a node: is it TLS there?");
        return;
    }
    buf_consume(&out->in, PEER_GREETING_BYTES);
    peer_out_greet(peer);
}

static int peer_out_decode_welcome(struct slice messages, struct peer_hello *hello)
{
    struct unpack body;
    int error = peer_message_single(messages, PEER_WELCOME, &body);
    return error ? error : peer_welcome_decode(hello, &body);
}

/* Is it who we wanted? */
static bool peer_out_is_right(struct peer *peer, const struct peer_head *head,
                              const struct peer_hello *hello)
{
    const char *detail = NULL;
    if (!slice_equal(hello->name, slice_text(peer->info.name)))
        detail = head->sender == peer->peers->raft_id ? "this node itself is there"
                                                      : "another node is there";
    else if (head->sender == RAFT_NONE || head->sender == peer->peers->raft_id)
        detail = "it has this node's raft id";
    if (!detail)
        return true;
    peer_out_fault(peer, PEER_FAULT_IDENTITY, detail);
    return false;
}

static void peer_out_open(struct peer *peer, const struct peer_head *head,
                          const struct peer_hello *hello)
{
    struct peers *peers = peer->peers;
    struct peer_out *out = &peer->out;
    if (!peer_out_is_right(peer, head, hello))
        return;
    if (!peers_introduce(peers, head, hello,
                         &out->found.list[out->tries % out->found.count].storage)) {
        peer_out_hang_up(peer, "identity");
        return;
    }
    LOG_INFO("peer_up", LOG_STR("peer", peer->info.name), LOG_STR("address", out->address),
             LOG_U64("raft_id", peer->info.id));
    peer_out_set_line(peer, PEER_LINE_OPEN);
    out->is_told = false;
    out->tries = 0;
    peer->info.is_up = true;
    peer_out_watch(peer);
    peers->hooks.up(peers->hooks.arg, peer);
}

static void peer_out_on_welcome(struct peer *peer, struct slice frame)
{
    struct peer_out *out = &peer->out;
    struct peer_head head;
    struct peer_hello hello;
    struct slice messages;
    int error = peer_frame_open(frame, peer->peers->key, &head, &messages);
    if (error) {
        peer_out_fault(peer, error == E_VERSION ? PEER_FAULT_VERSION : PEER_FAULT_FORGED,
                       "its answer is not authentic: is instanceSecret the same there?");
        return;
    }
    if (head.direction != PEER_ANSWERED || head.number != 1 ||
        memcmp(head.nonce, out->own_nonce, sizeof(head.nonce)) != 0) {
        peer_out_fault(peer, PEER_FAULT_REPLAYED, "an answer to another connection");
        return;
    }
    if (peer_out_decode_welcome(messages, &hello) != 0) {
        peer_out_fault(peer, PEER_FAULT_MALFORMED, "its answer makes no sense");
        return;
    }
    peer_out_open(peer, &head, &hello);
}

/* What is said on this connection beyond the greeting and one frame is too much. */
static void peer_out_on_input(struct peer *peer)
{
    struct peer_out *out = &peer->out;
    uint32_t length;
    if (out->line == PEER_LINE_GREETED && out->in.len >= PEER_GREETING_BYTES)
        peer_out_on_greeting(peer);
    if (out->line != PEER_LINE_WELCOMED || out->in.len < PEER_LENGTH_BYTES)
        return;
    if (peer_frame_length(out->in.data, &length) != 0 || length > PEER_STRANGER_BYTES) {
        peer_out_fault(peer, PEER_FAULT_LENGTH, "no frame is so long");
        return;
    }
    if (out->in.len < PEER_LENGTH_BYTES + length)
        return;
    struct slice frame = slice_of(out->in.data + PEER_LENGTH_BYTES, length);
    peer_out_on_welcome(peer, frame);
}

static void peer_out_read(struct peer *peer)
{
    struct peer_out *out = &peer->out;
    size_t done, room = out->in.max - out->in.len;
    uint8_t spare[16];
    uint8_t *to = out->line == PEER_LINE_OPEN ? spare : buf_reserve(&out->in, room);
    int error = peer_socket_read(&out->socket, to,
                                 out->line == PEER_LINE_OPEN ? sizeof(spare) : room, &done);
    if (error) {
        peer_out_hang_up(peer, error == E_CLOSED ? "it closed the connection"
                                                 : "the connection was lost");
        return;
    }
    if (done == 0)
        return;
    if (out->line == PEER_LINE_OPEN) {
        peer_out_fault(peer, PEER_FAULT_MALFORMED, "it speaks where it should listen");
        return;
    }
    out->in.len += done;
    peer_out_on_input(peer);
}

/* ---- the socket -------------------------------------------------------------------------------
 */

static void peer_out_shake(struct peer *peer)
{
    struct peer_out *out = &peer->out;
    char reason[PEER_TLS_REASON_BYTES], host[PEER_HOST_BYTES] = "", port[PEER_PORT_BYTES];
    int error = peer_socket_shake(&out->socket);
    if (error == E_BUSY) {
        peer_out_watch(peer);
        return;
    }
    if (error) {
        peer_tls_reason(reason);
        peer_out_fault(peer, PEER_FAULT_TLS, reason);
        return;
    }
    (void)peer_address_split(out->address, host, port);
    if (!peer_tls_fits(out->socket.session, host, peer->domain)) {
        peer_out_fault(peer, PEER_FAULT_TLS, "its certificate is for another host");
        return;
    }
    peer_out_set_line(peer, PEER_LINE_GREETED);
    peer_out_watch(peer);
    peer_out_read(peer); /* it may have come with the handshake */
}

static void peer_out_on_dialed(struct peer *peer)
{
    struct peer_out *out = &peer->out;
    if (peer_socket_dialed(&out->socket) != 0) {
        peer_out_hang_up(peer, log_errno_text(errno));
        return;
    }
    if (peer->peers->tls) {
        peer_socket_secure(&out->socket, peer_tls_begin(peer->peers->tls, out->socket.fd, true));
        peer_out_set_line(peer, PEER_LINE_SHAKING);
        peer_out_shake(peer);
        return;
    }
    peer_out_set_line(peer, PEER_LINE_GREETED);
    peer_out_watch(peer);
}

static void peer_out_on_ready(void *arg)
{
    struct peer *peer = arg;
    switch (peer->out.line) {
    case PEER_LINE_DIALING:
        peer_out_on_dialed(peer);
        break;
    case PEER_LINE_SHAKING:
        peer_out_shake(peer);
        break;
    case PEER_LINE_GREETED:
    case PEER_LINE_WELCOMED:
    case PEER_LINE_OPEN:
        if (peer->out.socket.wants_write)
            peer_out_flush(peer);
        if (peer->out.line >= PEER_LINE_GREETED)
            peer_out_read(peer);
        break;
    default:
        CHECK(!"a descriptor of an idle line");
    }
}

static void peer_out_on_timer(void *arg)
{
    struct peer *peer = arg;
    struct peer_out *out = &peer->out;
    switch (out->line) {
    case PEER_LINE_IDLE:
        if (peer_is_wanted(peer))
            peer_out_dial(peer);
        else
            peer->peers->sweeps = true;
        break;
    case PEER_LINE_DIALING:
        peer_out_hang_up(peer, "no answer");
        break;
    case PEER_LINE_OPEN:
        if (out->blocked_ns != 0)
            peer_out_hang_up(peer, "it takes nothing");
        else
            peer_reconsider(peer);
        break;
    default:
        peer_out_fault(peer, PEER_FAULT_SILENT, "it did not say what a node says first");
    }
}

void peer_out_fini(struct peer *peer)
{
    peer_out_disconnect(peer);
    buf_fini(&peer->out.in);
    buf_fini(&peer->out.open);
    free(peer->out.lookup); /* its helper is gone, or there never was one */
}
