/* peer_in.c - the connections of those who dial this node: listening, strangers, frames.
 *
 * Whatever is wrong with what a connection brings ends it. A stranger costs a descriptor and
 * PEER_STRANGER_BYTES; when there are too many of them the oldest has to go, so that there is
 * always room for one who can prove who it is.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/token.h"
#include "procs/raft/peers/peers_private.h"

#define IN_ACCEPTS 16             /* at once */
#define IN_READ_BYTES (64u << 10) /* at once */
#define IN_TURN_BYTES (1u << 20)  /* of one connection, then the others get their turn */
#define IN_KEEP_BYTES (256u << 10)
#define IN_RETRY_MS 1000

static void peer_in_on_ready(void *arg);

/* ---- the list ---------------------------------------------------------------------------------
 */

static void peer_in_name(const struct inbound *in, char out[MEMBER_ADDRESS_BYTES])
{
    if (in->peer)
        snprintf(out, MEMBER_ADDRESS_BYTES, "%s", in->peer->info.name);
    else
        peer_address_name(out, &in->from);
}

static void peer_in_free(struct inbound *in)
{
    buf_fini(&in->in);
    free(in);
}

void peer_in_close(struct inbound *in)
{
    struct peers *peers = in->peers;
    if (in->is_over)
        return;
    in->is_over = true;
    loop_timer_clear(peers->loop, &in->timer);
    loop_remove_fd(peers->loop, in->socket.fd);
    peer_socket_close(&in->socket);
    if (in->previous)
        in->previous->next = in->next;
    else
        peers->inbounds = in->next;
    if (in->next)
        in->next->previous = in->previous;
    if (in->peer) {
        in->peer->in = NULL;
        in->peer->info.is_heard = false;
        peers->sweeps = true;
    } else {
        peers->strangers--;
    }
    if (!in->is_used)
        peer_in_free(in);
}

static void peer_in_fault(struct inbound *in, enum peer_fault fault, const char *detail)
{
    char who[MEMBER_ADDRESS_BYTES];
    peer_in_name(in, who);
    peers_note_fault(in->peers, fault, who, detail);
    peer_in_close(in);
}

static void peer_in_stop_listening(struct peers *peers)
{
    for (unsigned i = 0; i < peers->listener_count; i++) {
        if (peers->listeners[i].fd < 0)
            continue;
        loop_remove_fd(peers->loop, peers->listeners[i].fd);
        close(peers->listeners[i].fd);
    }
    peers->listener_count = 0;
}

void peer_in_close_all(struct peers *peers)
{
    while (peers->inbounds)
        peer_in_close(peers->inbounds);
    peer_in_stop_listening(peers);
    loop_timer_clear(peers->loop, &peers->listen_timer);
}

static void peer_in_make_room(struct peers *peers)
{
    struct inbound *oldest = NULL;
    for (struct inbound *in = peers->inbounds; in; in = in->next)
        if (!in->peer) // NOLINT(clang-analyzer-unix.Malloc): what is freed left the list before
            oldest = in;
    if (oldest)
        peer_in_fault(oldest, PEER_FAULT_CROWD, "too many strangers");
}

/* ---- a frame ----------------------------------------------------------------------------------
 */

static bool peer_in_is_of_cluster(const struct peers *peers, const struct peer_head *head)
{
    static const uint8_t none[WAL_CLUSTER_BYTES];
    return memcmp(peers->cluster, none, sizeof(none)) != 0 &&
           memcmp(peers->cluster, head->cluster, sizeof(none)) == 0;
}

/* False: the connection is over. */
static bool peer_in_on_message(struct inbound *in, const struct peer_head *head, struct slice bytes)
{
    struct peers *peers = in->peers;
    struct unpack body;
    unpack_init(&body, bytes);
    uint32_t elements = unpack_array(&body);
    uint64_t number = unpack_u64(&body);
    if (body.error || number > INT32_MAX ||
        elements != 1 + (uint32_t)peer_message_elements((int)number)) {
        peer_in_fault(in, PEER_FAULT_MALFORMED, "not a message");
        return false;
    }
    if (peer_message_is_for_members((int)number) && !peer_in_is_of_cluster(peers, head)) {
        peers_note_fault(peers, PEER_FAULT_FOREIGN, in->peer->info.name,
                         peer_message_name((int)number));
        return true;
    }
    peers->hooks.message(peers->hooks.arg, in->peer, (enum peer_message)number, &body);
    if (in->is_over)
        return false;
    if (unpack_end(&body) == 0)
        return true;
    peer_in_fault(in, PEER_FAULT_MALFORMED, peer_message_name((int)number));
    return false;
}

static void peer_in_on_messages(struct inbound *in, const struct peer_head *head,
                                struct slice messages)
{
    struct unpack frame;
    struct peer *peer = in->peer;
    struct peers *peers = in->peers;
    peer->info.heard_ns = loop_now_ns(peers->loop);
    memcpy(peer->info.cluster, head->cluster, WAL_CLUSTER_BYTES);
    if (!peer->is_member)
        peer->wanted_until_ns = peer->info.heard_ns + PEERS_LINGER_MS * NS_PER_MS;
    if (peer->out.line == PEER_LINE_IDLE)
        peer_out_dial(peer);
    unpack_init(&frame, messages);
    while (unpack_more(&frame)) {
        struct slice bytes = unpack_bytes(&frame);
        if (frame.error == 0 && !peer_in_on_message(in, head, bytes))
            return;
    }
    if (frame.error)
        peer_in_fault(in, PEER_FAULT_MALFORMED, "a frame of something else than messages");
}

/* ---- strangers --------------------------------------------------------------------------------
 */

/* So small that an empty socket always takes it. */
static bool peer_in_answer(struct inbound *in, const void *data, size_t len)
{
    size_t done;
    if (peer_socket_write(&in->socket, data, len, &done) == 0 && done == len)
        return true;
    peer_in_close(in);
    return false;
}

static void peer_in_greet(struct inbound *in)
{
    uint8_t greeting[PEER_GREETING_BYTES];
    token_random(in->nonce, sizeof(in->nonce));
    peer_encode_greeting(greeting, in->nonce);
    peer_in_answer(in, greeting, sizeof(greeting));
}

static bool peer_in_welcome(struct inbound *in, const struct peer_hello *hello)
{
    struct peers *peers = in->peers;
    struct peer_hello own;
    struct peer_head head;
    struct pack pack;
    struct buf out;
    peers_fill_hello(peers, &own);
    peers_fill_head(peers, &head);
    head.direction = PEER_ANSWERED;
    head.receiver = in->peer->info.id;
    head.number = 1;
    memcpy(head.nonce, hello->nonce, sizeof(head.nonce));
    buf_init(&out, PEER_STRANGER_BYTES);
    peer_frame_begin(&out);
    size_t begin = out.len;
    peer_message_begin(&out, &pack, PEER_WELCOME);
    peer_welcome_pack(&pack, &own);
    CHECK(pack_result(&pack) == 0);
    peer_message_end(&out, begin);
    peer_frame_seal(&out, peers->key, &head);
    bool is_sent = peer_in_answer(in, out.data, out.len);
    buf_fini(&out);
    return is_sent;
}

static int peer_in_decode_hello(struct slice messages, struct peer_hello *hello)
{
    struct unpack body;
    int error = peer_message_single(messages, PEER_HELLO, &body);
    return error ? error : peer_hello_decode(hello, &body);
}

/* From now on it is somebody, and its connection takes the place of an earlier one. */
static void peer_in_accept(struct inbound *in, struct peer *peer)
{
    struct peers *peers = in->peers;
    if (peer->in)
        peer_in_close(peer->in);
    in->peer = peer;
    peer->in = in;
    peers->strangers--;
    peer->info.is_heard = true;
    peer->info.heard_ns = loop_now_ns(peers->loop);
    loop_timer_clear(peers->loop, &in->timer);
    in->in.max = LIMIT_MESSAGE_BYTES + PEER_LENGTH_BYTES;
    if (peer->out.line == PEER_LINE_IDLE)
        peer_out_dial(peer);
    peers->hooks.heard(peers->hooks.arg, peer);
}

static void peer_in_on_hello(struct inbound *in, const struct peer_head *head,
                             struct slice messages)
{
    struct peer_hello hello;
    if (peer_in_decode_hello(messages, &hello) != 0) {
        peer_in_fault(in, PEER_FAULT_MALFORMED, "not a hello");
        return;
    }
    struct peer *peer = peers_introduce(in->peers, head, &hello, &in->from);
    if (!peer) {
        peer_in_close(in);
        return;
    }
    peer_in_accept(in, peer);
    if (!in->is_over)
        peer_in_welcome(in, &hello);
}

/* ---- frames -----------------------------------------------------------------------------------
 */

static void peer_in_on_frame(struct inbound *in, struct slice frame)
{
    struct peers *peers = in->peers;
    struct peer_head head;
    struct slice messages;
    int error = peer_frame_open(frame, peers->key, &head, &messages);
    if (error) {
        peer_in_fault(in, error == E_VERSION ? PEER_FAULT_VERSION : PEER_FAULT_FORGED,
                      "not authentic: is instanceSecret the same there?");
        return;
    }
    if (head.direction != PEER_SPOKEN || head.number != in->number + 1 ||
        memcmp(head.nonce, in->nonce, sizeof(in->nonce)) != 0) {
        peer_in_fault(in, PEER_FAULT_REPLAYED, "a frame of another connection, or out of order");
        return;
    }
    in->number = head.number;
    if (!in->peer) {
        peer_in_on_hello(in, &head, messages);
        return;
    }
    if (head.sender != in->peer->info.id || head.receiver != peers->raft_id) {
        peer_in_fault(in, PEER_FAULT_IDENTITY, "from or to another node");
        return;
    }
    peer_in_on_messages(in, &head, messages);
}

/* The whole frames in the buffer. False: the connection is over. */
static bool peer_in_parse(struct inbound *in)
{
    size_t at = 0;
    uint32_t length;
    while (in->in.len - at >= PEER_LENGTH_BYTES) {
        int error = peer_frame_length(in->in.data + at, &length);
        if (error || (!in->peer && length > PEER_STRANGER_BYTES)) {
            peer_in_fault(in, PEER_FAULT_LENGTH, "no frame is so long");
            return false;
        }
        if (in->in.len - at < PEER_LENGTH_BYTES + length)
            break;
        peer_in_on_frame(in, slice_of(in->in.data + at + PEER_LENGTH_BYTES, length));
        if (in->is_over)
            return false;
        at += PEER_LENGTH_BYTES + length;
    }
    buf_consume(&in->in, at);
    buf_shrink(&in->in, IN_KEEP_BYTES);
    return true;
}

/* ---- the socket -------------------------------------------------------------------------------
 */

/* Room for the rest of the frame that has begun, or for some. */
static size_t peer_in_room(const struct inbound *in)
{
    uint32_t length;
    if (!in->peer)
        return PEER_STRANGER_BYTES + PEER_LENGTH_BYTES - in->in.len;
    if (in->in.len < PEER_LENGTH_BYTES || peer_frame_length(in->in.data, &length) != 0)
        return IN_READ_BYTES;
    size_t missing = PEER_LENGTH_BYTES + length - in->in.len;
    return missing > IN_READ_BYTES ? missing : IN_READ_BYTES;
}

/* One read, and what it completes. False: there is nothing more, or the connection is over. */
static bool peer_in_read(struct inbound *in, size_t *bytes)
{
    size_t done, room = peer_in_room(in);
    if (room > in->in.max - in->in.len)
        room = in->in.max - in->in.len;
    uint8_t *to = buf_reserve(&in->in, room);
    CHECK(to && room > 0); /* a whole frame would have been taken out */
    if (room > IN_TURN_BYTES)
        room = IN_TURN_BYTES;
    int error = peer_socket_read(&in->socket, to, room, &done);
    if (error) {
        peer_in_close(in);
        return false;
    }
    in->in.len += done;
    *bytes += done;
    return peer_in_parse(in) && done == room;
}

/* A plain socket whose buffer was emptied is not asked once more. */
static void peer_in_take(struct inbound *in)
{
    size_t bytes = 0;
    in->has_more = false;
    bool goes_on = true;
    while (goes_on && !in->is_over && bytes < IN_TURN_BYTES)
        goes_on = peer_in_read(in, &bytes) || (!in->is_over && peer_socket_has_more(&in->socket));
    if (in->is_over || !peer_socket_has_more(&in->socket))
        return; /* the descriptor will say when */
    in->has_more = in->peers->has_more = true;
    loop_run_again(in->peers->loop);
}

static void peer_in_shake(struct inbound *in)
{
    char reason[PEER_TLS_REASON_BYTES];
    int error = peer_socket_shake(&in->socket);
    if (error == E_BUSY) {
        loop_watch_write(in->peers->loop, in->socket.fd, in->socket.wants_write);
        return;
    }
    if (error) {
        peer_tls_reason(reason);
        peer_in_fault(in, PEER_FAULT_TLS, reason);
        return;
    }
    loop_watch_write(in->peers->loop, in->socket.fd, false);
    peer_in_greet(in);
    if (!in->is_over)
        peer_in_take(in);
}

static void peer_in_on_ready(void *arg)
{
    struct inbound *in = arg;
    in->is_used = true;
    if (in->socket.is_shaking)
        peer_in_shake(in);
    else
        peer_in_take(in);
    in->is_used = false;
    if (in->is_over)
        peer_in_free(in);
}

static struct inbound *peer_in_next_due(const struct peers *peers)
{
    struct inbound *in = peers->inbounds;
    while (in &&
           !in->is_due) // NOLINT(clang-analyzer-unix.Malloc): what is freed left the list before
        in = in->next;
    return in;
}

/* Each once; what one of them says may end another one. */
void peer_in_go_on(struct peers *peers)
{
    peers->has_more = false;
    for (struct inbound *in = peers->inbounds; in; in = in->next)
        in->is_due = in->has_more;
    for (struct inbound *in; (in = peer_in_next_due(peers));) {
        in->is_due = false;
        peer_in_on_ready(in);
    }
}

static void peer_in_on_timer(void *arg)
{
    peer_in_fault(arg, PEER_FAULT_SILENT, "no hello in time");
}

/* ---- listening --------------------------------------------------------------------------------
 */

static void peer_in_add(struct peers *peers, int fd, const struct sockaddr_storage *from)
{
    struct inbound *in = mem_alloc(sizeof(*in));
    if (loop_add_fd(peers->loop, fd, peer_in_on_ready, in) != 0) {
        close(fd);
        free(in);
        return;
    }
    in->peers = peers;
    in->from = *from;
    in->timer = (struct loop_timer){.fire = peer_in_on_timer, .arg = in};
    buf_init(&in->in, PEER_STRANGER_BYTES + PEER_LENGTH_BYTES);
    peer_socket_adopt(&in->socket, fd);
    in->next = peers->inbounds;
    if (in->next)
        in->next->previous = in;
    peers->inbounds = in;
    peers->strangers++;
    loop_timer_set(peers->loop, &in->timer, loop_now_ns(peers->loop) + PEERS_HELLO_MS * NS_PER_MS);
    if (peers->tls)
        peer_socket_secure(&in->socket, peer_tls_begin(peers->tls, fd, false));
    else
        peer_in_greet(in);
}

static void peer_in_rest(struct peers *peers)
{
    loop_timer_set(peers->loop, &peers->listen_timer,
                   loop_now_ns(peers->loop) + IN_RETRY_MS * NS_PER_MS);
}

/* Out of descriptors: a stranger's is given back, or nobody is accepted for a while (the listening
 * socket would be ready again and again). */
static void peer_in_on_shortage(struct peers_listener *listener)
{
    struct peers *peers = listener->peers;
    peers_note_fault(peers, PEER_FAULT_CROWD, peers->binding, "no descriptors are left");
    if (peers->strangers > 0) {
        peer_in_make_room(peers);
        return;
    }
    loop_remove_fd(peers->loop, listener->fd);
    close(listener->fd);
    listener->fd = -1;
    peer_in_rest(peers);
}

static void peer_in_on_knock(void *arg)
{
    struct peers_listener *listener = arg;
    struct peers *peers = listener->peers;
    for (unsigned i = 0; i < IN_ACCEPTS; i++) {
        struct sockaddr_storage from = {0};
        socklen_t len = sizeof(from);
        int fd =
            accept4(listener->fd, (struct sockaddr *)&from, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                peer_in_on_shortage(listener);
            return; /* nobody, or one who has gone again */
        }
        if (peers->strangers >= PEERS_STRANGERS)
            peer_in_make_room(peers);
        peer_in_add(peers, fd, &from);
    }
}

static int peer_in_listen_at(struct peers *peers, const struct peer_sockaddr *at, unsigned number)
{
    struct peers_listener *listener = &peers->listeners[number];
    *listener = (struct peers_listener){.peers = peers, .fd = -1};
    int error = peer_socket_listen(at, &listener->fd);
    if (error)
        return error;
    CHECK(loop_add_fd(peers->loop, listener->fd, peer_in_on_knock, listener) == 0);
    return 0;
}

static void peer_in_on_listen_timer(void *arg)
{
    peer_in_listen(arg);
}

void peer_in_listen(struct peers *peers)
{
    struct peer_sockaddrs found = {.count = 0};
    peers->listen_timer.fire = peer_in_on_listen_timer;
    peers->listen_timer.arg = peers;
    peer_in_stop_listening(peers);
    int error = peer_address_resolve(peers->binding, true, &found);
    errno = error ? EADDRNOTAVAIL : 0;
    for (unsigned i = 0; i < found.count && !error; i++) {
        error = peer_in_listen_at(peers, &found.list[i], i);
        peers->listener_count = i + 1;
    }
    if (!error) {
        LOG_INFO("peers_listening", LOG_STR("address", peers->binding));
        peers->is_told = false;
        return;
    }
    if (!peers->is_told)
        LOG_ERROR("peers_not_listening", LOG_STR("address", peers->binding), LOG_ERRNO(errno));
    peers->is_told = true;
    peer_in_stop_listening(peers);
    peer_in_rest(peers);
}
