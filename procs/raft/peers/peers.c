/* peers.c - who the peers are, and which of them are spoken to. */
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/token.h"
#include "procs/raft/peers/peers_private.h"

/* ---- what was wrong ---------------------------------------------------------------------------
 */

const char *peer_fault_name(enum peer_fault fault)
{
    static const char *const names[PEER_FAULTS] = {
        [PEER_FAULT_LENGTH] = "length",       [PEER_FAULT_VERSION] = "version",
        [PEER_FAULT_FORGED] = "forged",       [PEER_FAULT_REPLAYED] = "replayed",
        [PEER_FAULT_MALFORMED] = "malformed", [PEER_FAULT_FOREIGN] = "foreign",
        [PEER_FAULT_IDENTITY] = "identity",   [PEER_FAULT_TLS] = "tls",
        [PEER_FAULT_SILENT] = "silent",       [PEER_FAULT_CROWD] = "crowd",
        [PEER_FAULT_REFUSED] = "refused"};
    return names[fault];
}

/* One line per kind and PEERS_LOG_MS, whoever knocks however often. */
void peers_note_fault(struct peers *peers, enum peer_fault fault, const char *who,
                      const char *detail)
{
    peers->faults[fault].count++;
    if (!pace_allows(&peers->faults[fault].pace, clock_boot_ns(), PEERS_LOG_MS * NS_PER_MS))
        return;
    LOG_WARN(
        "peer_refused", LOG_STR("fault", peer_fault_name(fault)), LOG_STR("peer", who),
        LOG_STR("detail", detail), LOG_U64("count", peers->faults[fault].count),
        LOG_U64("since_last_line", peers->faults[fault].count - peers->faults[fault].logged_count));
    peers->faults[fault].logged_count = peers->faults[fault].count;
}

uint64_t peers_faults(const struct peers *peers, enum peer_fault fault)
{
    return peers->faults[fault].count;
}

void peers_note_refused(struct peers *peers, const struct peer *from)
{
    peers_note_fault(peers, PEER_FAULT_REFUSED, from->info.name, "the message makes no sense");
}

uint64_t peers_frames_sent(const struct peers *peers)
{
    return peers->frames_sent;
}

/* ---- the list ---------------------------------------------------------------------------------
 */

struct peer *peers_next(const struct peers *peers, const struct peer *peer)
{
    return peer ? peer->next : peers->list;
}

struct peer *peers_by_id(const struct peers *peers, uint64_t raft_id)
{
    for (struct peer *peer = peers->list; peer; peer = peer->next)
        if (peer->info.id == raft_id && raft_id != RAFT_NONE)
            return peer;
    return NULL;
}

struct peer *peers_by_name(const struct peers *peers, struct slice name)
{
    for (struct peer *peer = peers->list; peer; peer = peer->next)
        if (slice_equal(slice_text(peer->info.name), name))
            return peer;
    return NULL;
}

const struct peer_info *peer_info(const struct peer *peer)
{
    return &peer->info;
}

static struct peer *peers_add(struct peers *peers, struct slice name)
{
    CHECK(name.len > 0 && name.len < LIMIT_NODE_ID_BYTES);
    if (peers->count == PEERS_MAX)
        return NULL;
    struct peer *peer = mem_alloc(sizeof(*peer));
    peer->peers = peers;
    memcpy(peer->info.name, name.data, name.len);
    peer_out_init(peer);
    peer->next = peers->list;
    peers->list = peer;
    peers->count++;
    return peer;
}

static void peers_drop(struct peer *peer)
{
    struct peer **at = &peer->peers->list;
    while (*at != peer)
        at = &(*at)->next;
    *at = peer->next;
    peer->peers->count--;
    if (peer->in)
        peer_in_close(peer->in);
    peer_out_fini(peer);
    free(peer);
}

/* ---- who is spoken to -------------------------------------------------------------------------
 */

bool peer_is_wanted(const struct peer *peer)
{
    return peer->is_member || (peer->is_configured && peer->peers->seeks) ||
           loop_now_ns(peer->peers->loop) < peer->wanted_until_ns;
}

void peer_reconsider(struct peer *peer)
{
    bool is_wanted = peer_is_wanted(peer);
    if (is_wanted && peer->out.line == PEER_LINE_IDLE && peer->out.timer.due_ns == 0)
        peer_out_dial(peer);
    else if (!is_wanted && peer->out.line != PEER_LINE_IDLE)
        peer_out_hang_up(peer, "not wanted");
    else if (peer->out.line == PEER_LINE_OPEN)
        peer_out_set_timer(peer);
}

/* Those who came by and are gone. Only at the end of a turn: nobody holds a peer then. */
static void peers_sweep(struct peers *peers)
{
    peers->sweeps = false;
    for (struct peer *peer = peers->list, *next; peer; peer = next) {
        next = peer->next;
        bool is_idle = peer->out.line == PEER_LINE_IDLE && !peer->out.lookup && !peer->in;
        if (is_idle && !peer->is_configured && !peer_is_wanted(peer))
            peers_drop(peer);
    }
}

void peers_seek(struct peers *peers, bool all)
{
    if (peers->seeks == all)
        return;
    peers->seeks = all;
    for (struct peer *peer = peers->list; peer; peer = peer->next)
        peer_reconsider(peer);
}

struct peer *peers_meet(struct peers *peers, struct slice name, const char *address,
                        uint64_t wanted_ms)
{
    struct peer *peer = peers_by_name(peers, name);
    if (!peer)
        peer = peers_add(peers, name);
    peers->sweeps |= !peer || peers->count > PEERS_MAX / 2;
    if (!peer)
        return NULL;
    uint64_t until_ns = loop_now_ns(peers->loop) + wanted_ms * NS_PER_MS;
    if (peer->wanted_until_ns < until_ns)
        peer->wanted_until_ns = until_ns;
    if (address[0] && !peer->info.is_up)
        snprintf(peer->info.raft_address, sizeof(peer->info.raft_address), "%s", address);
    peer_reconsider(peer);
    return peer;
}

void peers_set_members(struct peers *peers, const struct members *members)
{
    for (struct peer *peer = peers->list; peer; peer = peer->next) {
        if (peer->is_member) /* whoever is not any more may have to be told so */
            peer->wanted_until_ns = loop_now_ns(peers->loop) + PEERS_LINGER_MS * NS_PER_MS;
        peer->is_member = false;
    }
    for (uint32_t i = 0; i < members->count; i++) {
        const struct member *member = &members->list[i];
        if (strcmp(member->name, peers->node) == 0)
            continue;
        struct peer *peer = peers_by_name(peers, slice_text(member->name));
        if (!peer)
            peer = peers_add(peers, slice_text(member->name));
        if (!peer) {
            peers_note_fault(peers, PEER_FAULT_CROWD, member->name, "too many peers");
            continue;
        }
        peer->is_member = true;
        snprintf(peer->places[2], sizeof(peer->places[2]), "%s", member->raft_address);
    }
    for (struct peer *peer = peers->list; peer; peer = peer->next)
        peer_reconsider(peer);
    peers->sweeps = true;
}

void peers_set_cluster(struct peers *peers, const uint8_t cluster[WAL_CLUSTER_BYTES])
{
    memcpy(peers->cluster, cluster, WAL_CLUSTER_BYTES);
}

/* ---- introductions ----------------------------------------------------------------------------
 */

void peers_fill_hello(const struct peers *peers, struct peer_hello *hello)
{
    *hello = (struct peer_hello){.start_id = peers->start_id,
                                 .name = slice_text(peers->node),
                                 .raft_address = slice_text(peers->binding),
                                 .http_address = slice_text(peers->http_address)};
}

void peers_fill_head(const struct peers *peers, struct peer_head *head)
{
    *head = (struct peer_head){.sender = peers->raft_id};
    memcpy(head->cluster, peers->cluster, WAL_CLUSTER_BYTES);
}

static void peer_copy_text(char *out, size_t room, struct slice text)
{
    CHECK(text.len < room);
    memcpy(out, text.data, text.len);
    out[text.len] = '\0';
}

/* Where it says that it is; where it comes from, when it is bound to all addresses. */
static void peer_note_place(char out[MEMBER_ADDRESS_BYTES], struct slice said,
                            const struct sockaddr_storage *from)
{
    char address[MEMBER_ADDRESS_BYTES];
    peer_copy_text(address, sizeof(address), said);
    if (!peer_address_is_any(address) || peer_address_replace_host(out, from, address) != 0)
        snprintf(out, MEMBER_ADDRESS_BYTES, "%s", address);
}

static void peer_note_hello(struct peer *peer, const struct peer_head *head,
                            const struct peer_hello *hello, const struct sockaddr_storage *from)
{
    struct peer_info *info = &peer->info;
    info->id = head->sender;
    info->start_id = hello->start_id;
    memcpy(info->cluster, head->cluster, WAL_CLUSTER_BYTES);
    peer_note_place(info->raft_address, hello->raft_address, from);
    peer_note_place(info->http_address, hello->http_address, from);
}

struct peer *peers_introduce(struct peers *peers, const struct peer_head *head,
                             const struct peer_hello *hello, const struct sockaddr_storage *from)
{
    char name[LIMIT_NODE_ID_BYTES];
    peer_copy_text(name, sizeof(name), hello->name);
    if (head->sender == RAFT_NONE || head->sender == peers->raft_id ||
        strcmp(name, peers->node) == 0) {
        peers_note_fault(peers, PEER_FAULT_IDENTITY, name, "it says that it is this node");
        return NULL;
    }
    struct peer *other = peers_by_id(peers, head->sender);
    if (other && strcmp(other->info.name, name) != 0) {
        peers_note_fault(peers, PEER_FAULT_IDENTITY, name, "another node has its raft id");
        return NULL;
    }
    struct peer *peer = peers_meet(peers, hello->name, "", PEERS_LINGER_MS);
    if (!peer)
        peers_note_fault(peers, PEER_FAULT_CROWD, name, "too many peers");
    else
        peer_note_hello(peer, head, hello, from);
    return peer;
}

/* ---- the end of a turn ------------------------------------------------------------------------
 */

void peers_flush(struct peers *peers)
{
    if (peers->has_more)
        peer_in_go_on(peers);
    if (peers->sweeps)
        peers_sweep(peers);
    for (struct peer *peer = peers->list; peer; peer = peer->next)
        if (!peer->out.socket.wants_write) /* else its descriptor will say when */
            peer_out_flush(peer);
}

bool peers_are_idle(const struct peers *peers)
{
    bool idle = true;
    for (const struct peer *peer = peers->list; peer; peer = peer->next)
        idle &= peer_out_is_idle(peer);
    return idle;
}

/* ---- life -------------------------------------------------------------------------------------
 */

static int peers_load_tls(struct peer_tls **out, const struct config *config)
{
    *out = NULL;
    if (!config->tls.enabled)
        return 0;
    return peer_tls_new(out, config->tls.cert, config->tls.key, config->tls.ca);
}

int peers_reload(struct peers *peers, const struct config *config)
{
    struct peer_tls *fresh;
    if (config->tls.enabled != (peers->tls != NULL)) {
        LOG_WARN("tls_not_switched", LOG_STR("reason", "only a start does that"));
        return 0;
    }
    int error = peers_load_tls(&fresh, config);
    if (error)
        return error;
    peer_tls_free(&peers->tls);
    peers->tls = fresh;
    return 0;
}

/* The other nodes of the file. */
static void peers_add_configured(struct peers *peers, const struct config *config)
{
    for (unsigned i = 0; i < config->node_count; i++) {
        const struct config_node *node = &config->nodes[i];
        if (strcmp(node->id, peers->node) == 0)
            continue;
        struct peer *peer = peers_add(peers, slice_text(node->id));
        CHECK(peer); /* LIMIT_NODES */
        peer->is_configured = true;
        if (peer_address_print(peer->places[1], node->raft.host, node->raft.port) != 0 ||
            peer_address_is_any(peer->places[1]))
            peer->places[1][0] = '\0';
        snprintf(peer->domain, sizeof(peer->domain), "%s", node->client_domain);
    }
}

int peers_new(struct peers **out, const struct peers_options *options, struct loop *loop)
{
    const struct config *config = options->config;
    const struct config_node *self = config_find_node(config, options->node);
    struct peers *peers = mem_alloc(sizeof(*peers));
    uint64_t seed;
    CHECK(self && options->raft_id != RAFT_NONE);
    *out = NULL;
    peers->hooks = options->hooks;
    peers->loop = loop;
    peers->node = options->node;
    peers->raft_id = options->raft_id;
    peers->start_id = options->start_id;
    memcpy(peers->cluster, options->cluster, WAL_CLUSTER_BYTES);
    token_random(&seed, sizeof(seed));
    rng_init(&peers->rng, seed);
    int error = peer_address_print(peers->binding, self->raft.host, self->raft.port);
    error =
        error ? error : peer_address_print(peers->http_address, self->http.host, self->http.port);
    error = error ? error : peers_load_tls(&peers->tls, config);
    if (error) {
        free(peers);
        return error;
    }
    peers->key = peer_frame_key(config->instance_secret);
    peers_add_configured(peers, config);
    *out = peers;
    return 0;
}

void peers_listen(struct peers *peers)
{
    peer_in_listen(peers);
}

void peers_free(struct peers **peers_pointer)
{
    struct peers *peers = *peers_pointer;
    *peers_pointer = NULL;
    if (!peers)
        return;
    peers->hooks.down = NULL;
    peer_in_close_all(peers);
    if (peers->helper)
        helper_free(&peers->helper);
    while (peers->list)
        peers_drop(peers->list); // NOLINT(clang-analyzer-unix.Malloc): it leaves the list
    hash_key_free(&peers->key);
    peer_tls_free(&peers->tls);
    free(peers);
}
