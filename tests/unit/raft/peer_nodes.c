/* peer_nodes.c - see peer_nodes.h. */
#include "tests/unit/raft/peer_nodes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/path.h"
#include "tests/unit/lib/ports.h"

#define NODES_SECRET "0123456789abcdef0123456789abcdef"

struct nodes nodes;

/* ---- setting up -------------------------------------------------------------------------------
 */

static void nodes_on_config_error(const char *message, void *arg)
{
    (void)arg;
    cr_assert_fail("%s", message);
}

static void nodes_parse(struct node *node, const char *secret, const char *extra)
{
    struct buf text;
    buf_init(&text, 1 << 16);
    buf_printf(&text,
               "instanceSecret: \"%s\"\nrootPrefix: \"%s\"\ndefaultLeader: node0\n"
               "dataDir: /tmp/none\n%snodes:\n",
               secret, NODES_SECRET, extra ? extra : "");
    for (unsigned i = 0; i < nodes.count; i++)
        buf_printf(&text,
                   "  node%u: {raftBinding: \"127.0.0.1:%u\", httpBinding: \"127.0.0.1:%u\", "
                   "clientDomain: localhost, nodeSecret: \"%u%s\"}\n",
                   i, nodes.list[i].port, 60000 + i, i, NODES_SECRET);
    cr_assert_eq(config_parse(&node->config, buf_slice(&text), "test", nodes_on_config_error, NULL),
                 0);
    buf_fini(&text);
}

static void nodes_on_turn_end(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < nodes.count; i++)
        if (nodes.list[i].peers)
            peers_flush(nodes.list[i].peers);
}

static char nodes_extra[1024];

void nodes_init(unsigned count, const char *extra)
{
    signal(SIGPIPE, SIG_IGN);
    nodes = (struct nodes){.loop = loop_new(), .count = count};
    snprintf(nodes_extra, sizeof(nodes_extra), "%s", extra ? extra : "");
    for (unsigned i = 0; i < count; i++) {
        snprintf(nodes.list[i].name, sizeof(nodes.list[i].name), "node%u", i);
        nodes.list[i].port = port_find(true);
    }
    cr_assert_eq(loop_add_runner(nodes.loop, nodes_on_turn_end, NULL), 0);
}

void nodes_fini(void)
{
    for (unsigned i = 0; i < nodes.count; i++)
        if (nodes.list[i].peers)
            node_close(i);
    loop_free(&nodes.loop);
    if (nodes.folder[0])
        path_remove_tree(nodes.folder);
}

/* ---- a node -----------------------------------------------------------------------------------
 */

static void node_on_up(void *arg, struct peer *peer)
{
    struct node *node = arg;
    cr_assert(peer_info(peer)->is_up);
    node->ups++;
}

static void node_on_down(void *arg, struct peer *peer)
{
    struct node *node = arg;
    cr_assert_not(peer_info(peer)->is_up);
    node->downs++;
}

static void node_on_heard(void *arg, struct peer *peer)
{
    struct node *node = arg;
    cr_assert(peer_info(peer)->is_heard);
    node->heards++;
}

static void node_on_message(void *arg, struct peer *from, enum peer_message number,
                            struct unpack *body)
{
    struct node *node = arg;
    struct peer_forward forward;
    bool flag = false;
    cr_assert_lt(node->message_count, NODE_MESSAGES);
    struct node_message *message = &node->messages[node->message_count];
    *message = (struct node_message){.number = number};
    snprintf(message->from, sizeof(message->from), "%s", peer_info(from)->name);
    if (number == node->refuses) {
        unpack_refuse(body);
        return;
    }
    switch (number) {
    case PEER_STATUS_ASK:
        peer_id_decode(&message->value, body);
        break;
    case PEER_JOIN:
        peer_join_decode(&flag, body);
        message->value = flag;
        break;
    case PEER_FORWARD:
        if (peer_forward_decode(&forward, body) == 0)
            message->bytes = forward.entry.len;
        break;
    default:
        unpack_refuse(body);
        return;
    }
    node->message_count++;
}

void node_open_as(unsigned i, const char *cluster, uint64_t raft_id, const char *secret)
{
    struct node *node = &nodes.list[i];
    struct peers_options options = {.config = &node->config,
                                    .node = node->name,
                                    .raft_id = raft_id,
                                    .start_id = raft_id * 1000 + clock_boot_ns() % 1000,
                                    .hooks = {.up = node_on_up,
                                              .down = node_on_down,
                                              .heard = node_on_heard,
                                              .message = node_on_message,
                                              .arg = node}};
    struct members *members = mem_alloc(sizeof(*members));
    nodes_parse(node, secret, nodes_extra);
    if (cluster)
        memset(options.cluster, cluster[0], sizeof(options.cluster));
    cr_assert_eq(peers_new(&node->peers, &options, nodes.loop), 0);
    for (unsigned j = 0; j < nodes.count; j++) {
        struct member *member = &members->list[members->count++];
        member->id = 100 + j;
        snprintf(member->name, sizeof(member->name), "node%u", j);
        snprintf(member->raft_address, sizeof(member->raft_address), "127.0.0.1:%u",
                 nodes.list[j].port);
    }
    peers_listen(node->peers);
    peers_set_members(node->peers, members);
    free(members);
}

void node_open(unsigned i, const char *cluster)
{
    node_open_as(i, cluster, 100 + i, NODES_SECRET);
}

void node_close(unsigned i)
{
    peers_free(&nodes.list[i].peers);
    config_fini(&nodes.list[i].config);
}

struct peer *node_peer(unsigned i, unsigned other)
{
    return peers_by_name(nodes.list[i].peers, slice_text(nodes.list[other].name));
}

bool node_is_up(unsigned i, unsigned other)
{
    return peer_info(node_peer(i, other))->is_up;
}

void node_say(unsigned i, unsigned other, uint64_t value)
{
    struct pack *pack;
    struct peer *peer = node_peer(i, other);
    cr_assert_eq(peer_begin(peer, PEER_STATUS_ASK, &pack), 0);
    peer_id_pack(pack, value);
    peer_end(peer);
}

void node_say_join(unsigned i, unsigned other, bool value)
{
    struct pack *pack;
    struct peer *peer = node_peer(i, other);
    cr_assert_eq(peer_begin(peer, PEER_JOIN, &pack), 0);
    peer_join_pack(pack, value);
    peer_end(peer);
}

int node_say_bytes(unsigned i, unsigned other, size_t bytes)
{
    struct pack *pack;
    struct peer *peer = node_peer(i, other);
    int error = peer_begin(peer, PEER_FORWARD, &pack);
    if (error)
        return error;
    uint8_t *data = mem_alloc(bytes);
    const struct peer_forward forward = {.term = 1, .entry = slice_of(data, bytes)};
    peer_forward_pack(pack, &forward);
    peer_end(peer);
    free(data);
    return 0;
}

unsigned node_heard(unsigned i, uint64_t value)
{
    unsigned count = 0;
    for (unsigned j = 0; j < nodes.list[i].message_count; j++)
        count += nodes.list[i].messages[j].number == PEER_STATUS_ASK &&
                 nodes.list[i].messages[j].value == value;
    return count;
}

/* ---- turns ------------------------------------------------------------------------------------
 */

static void nodes_stop(void *arg)
{
    (void)arg;
    loop_stop(nodes.loop);
}

void nodes_turn(unsigned ms)
{
    struct loop_timer timer = {.fire = nodes_stop};
    loop_timer_set(nodes.loop, &timer, clock_boot_ns() + ms * NS_PER_MS);
    loop_run(nodes.loop);
}

/* ---- strangers --------------------------------------------------------------------------------
 */

int stranger_dial(unsigned i)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)nodes.list[i].port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0, "%s", strerror(errno));
    return fd;
}

void stranger_greeting(int fd, uint8_t nonce[PEER_NONCE_BYTES])
{
    uint8_t greeting[PEER_GREETING_BYTES];
    uint32_t version;
    size_t len = 0;
    uint64_t end_ms = clock_boot_ms() + 10000;
    while (len < sizeof(greeting)) {
        cr_assert_lt(clock_boot_ms(), end_ms);
        ssize_t got = recv(fd, greeting + len, sizeof(greeting) - len, MSG_DONTWAIT);
        cr_assert(got > 0 || (got < 0 && errno == EAGAIN));
        len += got > 0 ? (size_t)got : 0;
        nodes_turn(1);
    }
    cr_assert_eq(peer_decode_greeting(greeting, nonce, &version), 0);
}

void stranger_send(int fd, const void *data, size_t len)
{
    const uint8_t *at = data;
    uint64_t end_ms = clock_boot_ms() + 10000;
    while (len > 0 && clock_boot_ms() < end_ms) {
        ssize_t put = send(fd, at, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (put < 0 && errno != EAGAIN)
            return; /* cut off */
        at += put > 0 ? put : 0;
        len -= put > 0 ? (size_t)put : 0;
        nodes_turn(1);
    }
}

bool stranger_is_cut(int fd)
{
    uint8_t bytes[256];
    for (ssize_t got; (got = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) != 0;)
        if (got < 0)
            return errno != EAGAIN;
    return true;
}

void stranger_frame(struct buf *out, const char *secret, const struct peer_head *head,
                    struct slice messages)
{
    struct hash_key *key = peer_frame_key(secret);
    peer_frame_begin(out);
    buf_append(out, messages.data, messages.len);
    peer_frame_seal(out, key, head);
    hash_key_free(&key);
}

void stranger_hello(struct buf *out, const char *secret, const char *name, uint64_t raft_id,
                    const uint8_t nonce[PEER_NONCE_BYTES])
{
    struct peer_hello hello = {.nonce = {1, 2, 3},
                               .start_id = 5,
                               .name = slice_text(name),
                               .raft_address = slice_text("127.0.0.1:1"),
                               .http_address = slice_text("127.0.0.1:2")};
    struct peer_head head = {.direction = PEER_SPOKEN, .sender = raft_id, .number = 1};
    struct buf inner, messages;
    struct pack pack;
    memcpy(head.nonce, nonce, sizeof(head.nonce));
    buf_init(&inner, 4096);
    buf_init(&messages, 4096);
    pack_init(&pack, &inner);
    pack_array(&pack, 1 + (uint32_t)peer_message_elements(PEER_HELLO));
    pack_u64(&pack, PEER_HELLO);
    peer_hello_pack(&pack, &hello);
    pack_init(&pack, &messages);
    pack_bytes(&pack, buf_slice(&inner));
    stranger_frame(out, secret, &head, buf_slice(&messages));
    buf_fini(&inner);
    buf_fini(&messages);
}
