/* link_ends.c - see link_ends.h. */
#include "link_ends.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/path.h"
#include "ipc/link_private.h"

#define ENDS_MAX 4

char ends_dir[64];
static struct end *ends[ENDS_MAX];
static char logged[1 << 16];
static size_t logged_len;
static pthread_mutex_t logged_mutex = PTHREAD_MUTEX_INITIALIZER;

static void ends_on_log(enum log_level level, const char *line, void *arg)
{
    (void)level;
    (void)arg;
    size_t len = strlen(line);
    pthread_mutex_lock(&logged_mutex);
    if (logged_len + len + 2 < sizeof(logged)) {
        memcpy(logged + logged_len, line, len);
        logged[logged_len + len] = '\n';
        logged_len += len + 1;
        logged[logged_len] = '\0';
    }
    pthread_mutex_unlock(&logged_mutex);
}

unsigned ends_logged(const char *text)
{
    unsigned count = 0;
    pthread_mutex_lock(&logged_mutex);
    for (const char *at = logged; (at = strstr(at, text)) != NULL; at++)
        count++;
    pthread_mutex_unlock(&logged_mutex);
    return count;
}

void ends_init(void)
{
    strcpy(ends_dir, "/tmp/insi-link-XXXXXX");
    cr_assert_not_null(mkdtemp(ends_dir));
    log_set_hook(ends_on_log, NULL);
}

void ends_fini(void)
{
    for (unsigned i = 0; i < ENDS_MAX; i++) {
        if (ends[i] != NULL)
            end_close(ends[i]);
    }
    cr_expect_eq(path_remove_tree(ends_dir), 0);
    log_set_hook(NULL, NULL);
}

static void end_on_up(void *arg, const struct link_peer *peer)
{
    struct end *end = arg;
    cr_assert(link_is_up(end->link));
    end->ups++;
    end->peer = *peer;
    end->count = 0;
    end->has_gap = false;
}

static void end_on_down(void *arg)
{
    struct end *end = arg;
    cr_assert(!link_is_up(end->link));
    end->downs++;
    cr_assert_eq(end->ups, end->downs, "down without up");
}

static void end_on_number(struct end *end, uint64_t number)
{
    if (end->count == 0)
        end->first = number;
    else if (number != end->last + 1)
        end->has_gap = true;
    end->last = number;
    end->count++;
}

static void end_on_message(void *arg, enum msg type, struct unpack *body)
{
    struct end *end = arg;
    cr_assert(link_is_up(end->link));
    if (type == MSG_READ_INDEX) {
        struct msg_read_index msg;
        if (msg_read_index_decode(&msg, body) == 0)
            end_on_number(end, msg.id);
        if (end->echoes > 0) {
            end->echoes--;
            cr_assert_eq(end_send(end, msg.id), 0);
        }
    } else if (type == MSG_REFUSE) {
        struct msg_refuse msg;
        if (msg_refuse_decode(&msg, body) == 0)
            end_on_number(end, msg.sequence);
    } else if (type == MSG_PROPOSE) {
        struct msg_propose msg;
        if (msg_propose_decode(&msg, body) == 0) {
            const uint8_t *bytes = msg.entry.data;
            end->entry_bytes = msg.entry.len;
            end->entry_sum = 0;
            for (size_t i = 0; i < msg.entry.len; i += 1021)
                end->entry_sum = (uint8_t)(end->entry_sum + bytes[i]);
        }
    }
}

static void end_on_batch_end(void *arg)
{
    struct end *end = arg;
    end->batch_ends++;
}

void end_open_as(struct end *end, enum proc self, const char *node, uint64_t start_id)
{
    struct link_options options = {
        .run_dir = ends_dir,
        .node = node,
        .self = self,
        .peer = self == PROC_RAFT ? PROC_GATEWAY : PROC_RAFT,
        .start_id = start_id,
        .handlers = {end_on_up, end_on_down, end_on_message, end_on_batch_end},
        .arg = end,
    };
    end->self = self;
    end->ups = end->downs = end->batch_ends = 0;
    cr_assert_eq(link_open(&end->link, &options), 0);
    for (unsigned i = 0; i < ENDS_MAX; i++) {
        if (ends[i] == NULL) {
            ends[i] = end;
            return;
        }
    }
    cr_assert_fail("too many ends");
}

void end_open(struct end *end, enum proc self, uint64_t start_id)
{
    end_open_as(end, self, NODE, start_id);
}

void end_close(struct end *end)
{
    for (unsigned i = 0; i < ENDS_MAX; i++) {
        if (ends[i] == end)
            ends[i] = NULL;
    }
    link_close(&end->link);
    cr_assert_null(end->link);
}

int end_send(struct end *end, uint64_t number)
{
    if (end->self == PROC_RAFT) {
        struct msg_refuse refuse = {.session = 1, .sequence = number, .error = E_BUSY};
        return msg_refuse_send(end->link, &refuse);
    }
    struct msg_read_index read_index = {number};
    return msg_read_index_send(end->link, &read_index);
}

void ends_turn(int timeout_ms)
{
    struct pollfd fds[ENDS_MAX];
    unsigned count = 0;
    struct end *open[ENDS_MAX];
    for (unsigned i = 0; i < ENDS_MAX; i++) {
        if (ends[i] == NULL)
            continue;
        open[count] = ends[i];
        fds[count++] = (struct pollfd){.fd = link_fd(ends[i]->link), .events = POLLIN};
    }
    poll(fds, count, timeout_ms);
    for (unsigned i = 0; i < count; i++) {
        if (fds[i].revents != 0)
            link_drain(open[i]->link);
    }
    for (unsigned i = 0; i < count; i++)
        link_flush(open[i]->link);
}

/* ---- the raw peer ---- */

struct raw_hello raw_good_hello(void)
{
    return (struct raw_hello){LINK_PROTOCOL_VERSION, PROC_GATEWAY, 0, NODE, 77};
}

uint32_t end_connection(const struct end *end)
{
    return link_wire_is_open(&end->link->wire) ? end->link->wire.generation : 0;
}

struct sockaddr_un raw_address(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char url[PROC_LINK_BYTES];
    cr_assert_eq(proc_link_url(url, ends_dir, PROC_RAFT, PROC_GATEWAY, 0), 0);
    size_t len = strlen(url) - strlen("ipc://");
    cr_assert_lt(len, sizeof(address.sun_path));
    memcpy(address.sun_path, url + strlen("ipc://"), len);
    return address;
}

static size_t raw_length(const struct buf *in)
{
    if (in->len < 4)
        return 0;
    return (size_t)in->data[0] << 24 | (size_t)in->data[1] << 16 | (size_t)in->data[2] << 8 |
           in->data[3];
}

bool raw_receive(struct raw *raw)
{
    uint8_t bytes[4096];
    ssize_t got = recv(raw->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (got > 0)
        cr_assert_eq(buf_append(&raw->in, bytes, (size_t)got), 0);
    size_t len = raw_length(&raw->in);
    if (len == 0 || raw->in.len < 4 + len)
        return false;
    buf_clear(&raw->last);
    cr_assert_eq(buf_append(&raw->last, raw->in.data + 4, len), 0);
    buf_consume(&raw->in, 4 + len);
    return true;
}

void raw_connect(struct raw *raw)
{
    const struct sockaddr_un address = raw_address();
    struct unpack unpack;
    buf_init(&raw->in, LIMIT_MESSAGE_BYTES);
    buf_init(&raw->last, LIMIT_MESSAGE_BYTES);
    raw->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_geq(raw->fd, 0);
    raw->is_open = true;
    cr_assert_eq(connect(raw->fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    WAIT_FOR(raw_receive(raw));
    unpack_init(&unpack, buf_slice(&raw->last));
    raw->peer_nonce = unpack_u64(&unpack);
    cr_assert_neq(raw->peer_nonce, 0);
    cr_assert_eq(unpack_u64(&unpack), 0, "a hello is for nobody yet");
}

void raw_close(struct raw *raw)
{
    if (raw->is_open)
        close(raw->fd);
    raw->is_open = false;
    buf_fini(&raw->in);
    buf_fini(&raw->last);
}

void raw_send_bytes(struct raw *raw, struct slice bytes)
{
    cr_assert_eq(send(raw->fd, bytes.data, bytes.len, MSG_NOSIGNAL), (ssize_t)bytes.len);
}

void raw_send(struct raw *raw, struct slice batch)
{
    uint8_t bytes[4096] = {0};
    cr_assert_lt(batch.len, sizeof(bytes) - 4);
    bytes[2] = (uint8_t)(batch.len >> 8);
    bytes[3] = (uint8_t)batch.len;
    memcpy(bytes + 4, batch.data, batch.len);
    raw_send_bytes(raw, slice_of(bytes, 4 + batch.len));
}

static void raw_send_batch(struct raw *raw, uint64_t sender_nonce, uint64_t receiver_nonce,
                           struct slice frame, struct slice second)
{
    struct buf batch;
    struct pack pack;
    buf_init(&batch, LIMIT_MESSAGE_BYTES);
    pack_init(&pack, &batch);
    pack_u64_fixed(&pack, sender_nonce);
    pack_u64_fixed(&pack, receiver_nonce);
    pack_bytes(&pack, frame);
    if (second.data != NULL)
        pack_bytes(&pack, second);
    raw_send(raw, buf_slice(&batch));
    buf_fini(&batch);
}

void raw_send_frame(struct raw *raw, struct slice frame)
{
    raw_send_batch(raw, raw->own_nonce, raw->peer_nonce, frame, slice_of(NULL, 0));
}

void raw_send_frames(struct raw *raw, struct slice first, struct slice second)
{
    raw_send_batch(raw, raw->own_nonce, raw->peer_nonce, first, second);
}

void raw_send_hello(struct raw *raw, uint64_t nonce, const struct raw_hello *hello)
{
    struct buf body;
    struct pack pack;
    buf_init(&body, 4096);
    pack_init(&pack, &body);
    pack_array(&pack, 6);
    pack_u64(&pack, MSG_HELLO);
    pack_u64(&pack, hello->version);
    pack_u64(&pack, hello->proc);
    pack_u64(&pack, hello->index);
    pack_text(&pack, slice_text(hello->node));
    pack_u64(&pack, hello->start_id);
    raw->own_nonce = nonce;
    raw_send_batch(raw, nonce, 0, buf_slice(&body), slice_of(NULL, 0));
    buf_fini(&body);
}

void raw_send_number(struct raw *raw, uint64_t sender_nonce, uint64_t receiver_nonce,
                     uint64_t number)
{
    struct buf body;
    struct pack pack;
    buf_init(&body, 64);
    pack_init(&pack, &body);
    pack_array(&pack, 2);
    pack_u64(&pack, MSG_READ_INDEX);
    pack_u64(&pack, number);
    raw_send_batch(raw, sender_nonce, receiver_nonce, buf_slice(&body), slice_of(NULL, 0));
    buf_fini(&body);
}

void raw_meet(struct raw *raw, struct end *end, uint64_t nonce)
{
    unsigned ups = end->ups;
    raw_connect(raw);
    struct raw_hello hello = raw_good_hello();
    raw_send_hello(raw, nonce, &hello);
    WAIT_FOR(end->ups == ups + 1);
}
