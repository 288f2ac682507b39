/* rig.c - see rig.h. */
#include "tests/unit/raft/rig.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/hash.h"
#include "ipc/entry.h"
#include "tests/unit/lib/ports.h"

struct rig rig;

/* ---- setting up -------------------------------------------------------------------------------
 */

static void rig_on_config_error(const char *message, void *arg)
{
    (void)arg;
    cr_assert_fail("%s", message);
}

static void rig_write_config(const char *extra)
{
    bool has_other = extra && strstr(extra, "node1");
    struct buf text;
    buf_init(&text, 1 << 16);
    buf_printf(&text,
               "instanceSecret: \"0123456789abcdef0123456789abcdef\"\n"
               "rootPrefix: \"0123456789abcdef0123456789abcdef\"\n"
               "dataDir: %s/data\nshmDir: %s\n"
               "gateway: {processes: 1}\n"
               "%s"
               "nodes:\n"
               "  node0: {raftBinding: \"127.0.0.1:%u\", httpBinding: 127.0.0.1:8443, "
               "nodeSecret: \"0123456789abcdef0123456789abcdef\"}\n",
               rig.dir, rig.dir, extra ? extra : "", rig.port);
    if (has_other)
        buf_printf(&text,
                   "  node1: {raftBinding: \"127.0.0.1:%u\", httpBinding: 127.0.0.1:8444, "
                   "nodeSecret: \"1123456789abcdef0123456789abcdef\"}\n",
                   rig.other_port);
    if (!extra || !strstr(extra, "defaultLeader"))
        buf_append_text(&text, "defaultLeader: node0\n");
    cr_assert_eq(config_parse(&rig.config, buf_slice(&text), "test", rig_on_config_error, NULL), 0);
    buf_append_byte(&text, '\0');
    rig.config_text = mem_copy_string((char *)text.data);
    buf_fini(&text);
}

void rig_init(const char *extra)
{
    rig = (struct rig){.control_fd = -1, .port = port_find(true), .other_port = port_find(true)};
    snprintf(rig.dir, sizeof(rig.dir), "/tmp/insi-rig-XXXXXX");
    cr_assert_not_null(mkdtemp(rig.dir));
    rig_write_config(extra);
    cr_assert_eq(path_of_node(&rig.paths, &rig.config, "node0"), 0);
    cr_assert_eq(path_make_folder(rig.paths.data), 0);
    cr_assert_eq(path_make_folder(rig.paths.run), 0);
    cr_assert_eq(path_make_folder(rig.paths.shm), 0);
    cr_assert_eq(board_create(rig.paths.board), 0);
    cr_assert_eq(board_open(&rig.board, rig.paths.board, false), 0);
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++)
        rig.workers[i].proc = (enum proc)(PROC_FIRST_WORKER + (int)i);
}

void rig_fini(void)
{
    if (rig.pid > 0)
        rig_kill();
    link_close(&rig.gateway.link);
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++) {
        link_close(&rig.workers[i].link);
        free(rig.workers[i].applied);
    }
    board_close(&rig.board);
    config_fini(&rig.config);
    free(rig.config_text);
    cr_expect_eq(path_remove_tree(rig.dir), 0);
}

/* ---- the supervisor ---------------------------------------------------------------------------
 */

static void rig_become(const char *program, int control, int config)
{
    char log[128], name[] = "insi-raft", node[] = "--node", node0[] = "node0", index[] = "--index",
                   zero[] = "0", config_name[] = "--config-name", file[] = "cluster.yaml";
    char *arguments[] = {name, node, node0, index, zero, config_name, file, NULL};
    snprintf(log, sizeof(log), "%s/raft.log", rig.dir);
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    int high_control = fcntl(control, F_DUPFD, 100), high_config = fcntl(config, F_DUPFD, 100);
    if (out < 0 || dup2(out, 2) < 0 || dup2(high_control, PROC_FD_CONTROL) < 0 ||
        dup2(high_config, PROC_FD_CONFIG) < 0)
        _exit(99);
    for (int fd = PROC_FD_HTTP; fd < 256; fd++)
        close(fd);
    execv(program, arguments);
    _exit(98);
}

void rig_launch(void)
{
    char self[PATH_BYTES], program[PATH_BYTES + 64];
    int pair[2];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    cr_assert_gt(len, 0);
    self[len] = '\0';
    snprintf(program, sizeof(program), "%s/../libexec/insi-raft", dirname(self));
    cr_assert_eq(access(program, X_OK), 0, "%s is to be built first", program);
    cr_assert_eq(rig.control_fd, -1);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    int config = memfd_create("config", MFD_CLOEXEC);
    size_t text_len = strlen(rig.config_text);
    cr_assert_eq(write(config, rig.config_text, text_len), (ssize_t)text_len);
    rig.pid = fork();
    cr_assert_geq(rig.pid, 0);
    if (rig.pid == 0)
        rig_become(program, pair[1], config);
    close(pair[1]);
    close(config);
    rig.control_fd = pair[0];
    rig.is_ready = false;
}

void rig_start(void)
{
    rig_launch();
    RIG_WAIT(rig.is_ready);
}

static bool rig_is_down(const struct link *link)
{
    return link == NULL || !link_is_up(link);
}

/* Who goes on before may still say something to the process that was. */
static bool rig_is_alone(void)
{
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++)
        if (!rig_is_down(rig.workers[i].link))
            return false;
    return rig_is_down(rig.gateway.link);
}

int rig_wait_exit(void)
{
    int status;
    uint64_t end_ms = clock_boot_ms() + 30000;
    pid_t pid;
    while ((pid = waitpid(rig.pid, &status, WNOHANG)) == 0) {
        cr_assert_lt(clock_boot_ms(), end_ms, "insi-raft does not end");
        rig_turn(2);
    }
    cr_assert_eq(pid, rig.pid);
    rig.pid = 0;
    if (rig.control_fd >= 0)
        close(rig.control_fd);
    rig.control_fd = -1;
    RIG_WAIT(rig_is_alone());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

void rig_kill(void)
{
    cr_assert_gt(rig.pid, 0);
    kill(rig.pid, SIGKILL);
    cr_assert_eq(rig_wait_exit(), -SIGKILL);
}

void rig_yield(void)
{
    const char yield = PROC_CONTROL_YIELD;
    rig.has_yielded = false;
    cr_assert_eq(send(rig.control_fd, &yield, 1, 0), 1);
}

int rig_stop(int signal_number)
{
    const char stop = PROC_CONTROL_STOP;
    cr_assert_gt(rig.pid, 0);
    if (signal_number)
        kill(rig.pid, signal_number);
    else
        cr_assert_eq(send(rig.control_fd, &stop, 1, 0), 1);
    return rig_wait_exit();
}

static void rig_hear_control(void)
{
    char byte;
    ssize_t got = recv(rig.control_fd, &byte, 1, MSG_DONTWAIT);
    if (got == 1 && byte == PROC_CONTROL_READY)
        rig.is_ready = true;
    if (got == 1 && byte == PROC_CONTROL_YIELD)
        rig.has_yielded = true;
    if (got == 0 || (got < 0 && errno != EAGAIN)) {
        close(rig.control_fd);
        rig.control_fd = -1;
    }
}

/* ---- turns ------------------------------------------------------------------------------------
 */

void rig_turn(int timeout_ms)
{
    struct pollfd fds[2 + PROC_WORKER_COUNT];
    struct link *links[2 + PROC_WORKER_COUNT] = {rig.gateway.link};
    unsigned count = 0;
    for (unsigned i = 0; i < PROC_WORKER_COUNT; i++)
        links[1 + i] = rig.workers[i].link;
    for (unsigned i = 0; i <= PROC_WORKER_COUNT; i++)
        if (links[i])
            link_flush(links[i]);
    for (unsigned i = 0; i <= PROC_WORKER_COUNT; i++)
        if (links[i])
            fds[count++] = (struct pollfd){.fd = link_fd(links[i]), .events = POLLIN};
    if (rig.control_fd >= 0)
        fds[count++] = (struct pollfd){.fd = rig.control_fd, .events = POLLIN};
    poll(fds, count, timeout_ms);
    if (rig.control_fd >= 0)
        rig_hear_control();
    for (unsigned i = 0; i <= PROC_WORKER_COUNT; i++)
        if (links[i])
            link_drain(links[i]);
    for (unsigned i = 0; i <= PROC_WORKER_COUNT; i++)
        if (links[i])
            link_flush(links[i]);
}

/* ---- workers ----------------------------------------------------------------------------------
 */

struct rig_worker *rig_worker_of(enum proc proc)
{
    return &rig.workers[PROC_WORKER_SLOT(proc)];
}

void rig_resume(struct rig_worker *worker)
{
    struct msg_resume resume = {.applied_index = worker->applied_index,
                                .state_hash = rig_state_hash(worker)};
    if (!worker->wants_zero && worker->applied_index > 0)
        memcpy(resume.lineage, worker->lineage, sizeof(resume.lineage));
    cr_assert_eq(msg_resume_send(worker->link, &resume), 0);
}

static void rig_worker_on_up(void *arg, const struct link_peer *peer)
{
    struct rig_worker *worker = arg;
    (void)peer;
    worker->pending = 0;
    worker->held_bytes = 0;
    if (!worker->is_silent)
        rig_resume(worker);
}

static void rig_worker_on_down(void *arg)
{
    struct rig_worker *worker = arg;
    worker->pending = 0;
}

static void rig_worker_take(struct rig_worker *worker, const struct msg_apply *msg)
{
    size_t at = worker->count + worker->pending;
    uint64_t before = at > 0 ? worker->applied[at - 1].index : 0;
    cr_assert_gt(msg->index, worker->applied_index, "what was applied comes again");
    cr_assert_geq(msg->index, before);
    if (at > 0)
        cr_assert_geq(msg->stamp_ms, worker->applied[at - 1].stamp_ms, "time goes back");
    cr_assert_gt(msg->stamp_ms, 0);
    if (at == worker->room) {
        worker->room = worker->room ? worker->room * 2 : 1024;
        worker->applied = mem_resize(worker->applied, worker->room * sizeof(worker->applied[0]));
    }
    worker->applied[at] =
        (struct rig_applied){.index = msg->index,
                             .session = msg->session,
                             .sequence = msg->sequence,
                             .stamp_ms = msg->stamp_ms,
                             .crc = hash_crc32c(0, msg->command.data, msg->command.len),
                             .bytes = (uint32_t)msg->command.len};
    worker->pending++;
    worker->held_bytes += msg->command.len;
}

static void rig_worker_end(struct rig_worker *worker, uint64_t last_index)
{
    cr_assert_gt(last_index, worker->applied_index);
    if (worker->pending > 0)
        cr_assert_leq(worker->applied[worker->count + worker->pending - 1].index, last_index);
    worker->ends++;
    if (worker->holds)
        return;
    worker->count += worker->pending;
    worker->pending = 0;
    worker->applied_index = last_index;
    const struct msg_applied applied = {.index = last_index, .state_hash = rig_state_hash(worker)};
    cr_assert_eq(msg_applied_send(worker->link, &applied), 0);
}

static void rig_worker_on_message(void *arg, enum msg type, struct unpack *body)
{
    struct rig_worker *worker = arg;
    struct msg_apply apply;
    struct msg_apply_end end;
    struct msg_resume_ok ok;
    struct msg_role role;
    switch (type) {
    case MSG_APPLY:
        cr_assert_eq(msg_apply_decode(&apply, body), 0);
        rig_worker_take(worker, &apply);
        break;
    case MSG_APPLY_END:
        cr_assert_eq(msg_apply_end_decode(&end, body), 0);
        rig_worker_end(worker, end.last_index);
        break;
    case MSG_RESUME_OK:
        cr_assert_eq(msg_resume_ok_decode(&ok, body), 0);
        memcpy(worker->lineage, ok.lineage, sizeof(ok.lineage));
        memcpy(rig.lineage, ok.lineage, sizeof(ok.lineage));
        worker->resumed++;
        break;
    case MSG_REBUILD:
        cr_assert_eq(msg_rebuild_decode(body), 0);
        worker->rebuilt++;
        break;
    case MSG_ROLE:
        cr_assert_eq(msg_role_decode(&role, body), 0);
        cr_assert_gt(worker->resumed, 0, "a role before RESUME_OK");
        worker->roles++;
        worker->is_leader = role.is_leader;
        break;
    case MSG_SNAPSHOT_MAKE:
        rig_on_make(worker, body);
        break;
    case MSG_SNAPSHOT_DROP:
        rig_on_drop(worker, body);
        break;
    case MSG_SNAPSHOT_LOAD:
        rig_on_load(worker, body);
        break;
    default:
        cr_assert_fail("%s to a worker", msg_name(type));
    }
}

void rig_open_worker(enum proc proc)
{
    struct rig_worker *worker = rig_worker_of(proc);
    const struct link_options options = {.run_dir = rig.paths.run,
                                         .node = "node0",
                                         .self = proc,
                                         .peer = PROC_RAFT,
                                         .start_id = 77,
                                         .handlers = {.on_up = rig_worker_on_up,
                                                      .on_down = rig_worker_on_down,
                                                      .on_message = rig_worker_on_message},
                                         .arg = worker};
    cr_assert_null(worker->link);
    cr_assert_eq(link_open(&worker->link, &options), 0);
}

void rig_open_workers(void)
{
    for (enum proc proc = PROC_FIRST_WORKER; proc <= PROC_LAST_WORKER; proc++)
        rig_open_worker(proc);
}

void rig_close_worker(enum proc proc)
{
    struct rig_worker *worker = rig_worker_of(proc);
    link_close(&worker->link);
    worker->pending = 0;
}

void rig_forget_worker(enum proc proc, uint64_t above)
{
    struct rig_worker *worker = rig_worker_of(proc);
    cr_assert_null(worker->link);
    while (worker->count > 0 && worker->applied[worker->count - 1].index > above)
        worker->count--;
    worker->applied_index = above;
}

uint64_t rig_applied_index(enum proc proc)
{
    return rig_worker_of(proc)->applied_index;
}

const struct rig_applied *rig_find(enum proc proc, uint64_t sequence)
{
    const struct rig_worker *worker = rig_worker_of(proc);
    for (size_t i = worker->count; i > 0; i--)
        if (worker->applied[i - 1].sequence == sequence)
            return &worker->applied[i - 1];
    return NULL;
}

bool rig_has(enum proc proc, uint64_t sequence)
{
    return rig_find(proc, sequence) != NULL;
}

/* ---- the gateway ------------------------------------------------------------------------------
 */

static void rig_gateway_on_up(void *arg, const struct link_peer *peer)
{
    struct rig_gateway *gateway = arg;
    (void)peer;
    gateway->ups++;
    gateway->leaders = 0;
}

static void rig_gateway_on_down(void *arg)
{
    struct rig_gateway *gateway = arg;
    gateway->leader_is_known = false;
}

/* Its slices are gone with the message. */
static void rig_keep_leader(struct rig_gateway *gateway)
{
    struct msg_cluster_answer *cluster = &gateway->cluster;
    snprintf(gateway->cluster_leader, sizeof(gateway->cluster_leader), "%.*s",
             (int)cluster->leader.len, (const char *)cluster->leader.data);
    cluster->leader = slice_text(gateway->cluster_leader);
}

static void rig_gateway_on_message(void *arg, enum msg type, struct unpack *body)
{
    struct rig_gateway *gateway = arg;
    struct msg_refuse refuse;
    struct msg_leader leader;
    struct msg_read_index_reply reply;
    struct msg_change_answer change;
    switch (type) {
    case MSG_REFUSE:
        cr_assert_eq(msg_refuse_decode(&refuse, body), 0);
        gateway->refused++;
        gateway->refused_session = refuse.session;
        gateway->refused_sequence = refuse.sequence;
        gateway->refused_error = refuse.error;
        break;
    case MSG_LEADER:
        cr_assert_eq(msg_leader_decode(&leader, body), 0);
        gateway->leaders++;
        gateway->leader_is_known = leader.is_known;
        gateway->term = leader.term;
        break;
    case MSG_READ_INDEX_REPLY:
        cr_assert_eq(msg_read_index_reply_decode(&reply, body), 0);
        gateway->answered += reply.error == 0;
        gateway->unanswered += reply.error != 0;
        gateway->answer_index = reply.index;
        break;
    case MSG_CLUSTER_ANSWER:
        cr_assert_eq(msg_cluster_answer_decode(&gateway->cluster, body), 0);
        gateway->shown++;
        rig_keep_leader(gateway);
        break;
    case MSG_CHANGE_ANSWER:
        cr_assert_eq(msg_change_answer_decode(&change, body), 0);
        gateway->changed++;
        gateway->change_error = change.error;
        snprintf(gateway->change_detail, sizeof(gateway->change_detail), "%.*s",
                 (int)change.detail.len, (const char *)change.detail.data);
        break;
    default:
        cr_assert_fail("%s to a gateway", msg_name(type));
    }
}

void rig_open_gateway(void)
{
    const struct link_options options = {.run_dir = rig.paths.run,
                                         .node = "node0",
                                         .self = PROC_GATEWAY,
                                         .peer = PROC_RAFT,
                                         .start_id = RIG_SESSION,
                                         .handlers = {.on_up = rig_gateway_on_up,
                                                      .on_down = rig_gateway_on_down,
                                                      .on_message = rig_gateway_on_message},
                                         .arg = &rig.gateway};
    cr_assert_eq(link_open(&rig.gateway.link, &options), 0);
}

void rig_propose_bytes(struct slice entry)
{
    const struct msg_propose propose = {entry};
    cr_assert_eq(msg_propose_send(rig.gateway.link, &propose), 0);
}

uint64_t rig_propose(enum proc worker, size_t bytes)
{
    struct buf out;
    char *command = mem_alloc(bytes + 32);
    int len = snprintf(command, bytes + 32, "%lu.", ++rig.sequence);
    if ((size_t)len < bytes)
        memset(command + len, '.', bytes - (size_t)len);
    struct entry entry = {
        .session = RIG_SESSION,
        .sequence = rig.sequence,
        .part_count = 1,
        .parts = {{worker, slice_of(command, bytes > (size_t)len ? bytes : (size_t)len)}}};
    buf_init(&out, LIMIT_ENTRY_BYTES);
    cr_assert_eq(entry_encode(&out, &entry), 0);
    rig_propose_bytes(buf_slice(&out));
    buf_fini(&out);
    free(command);
    return rig.sequence;
}

void rig_ask(uint64_t id)
{
    const struct msg_read_index ask = {id};
    cr_assert_eq(msg_read_index_send(rig.gateway.link, &ask), 0);
}

void rig_ask_cluster(uint64_t id)
{
    const struct msg_cluster_ask ask = {id};
    cr_assert_eq(msg_cluster_ask_send(rig.gateway.link, &ask), 0);
}

void rig_change(enum msg_change_kind kind, const char *name, const char *address)
{
    const struct msg_change change = {
        .id = 1, .kind = kind, .name = slice_text(name), .raft_address = slice_text(address)};
    cr_assert_eq(msg_change_send(rig.gateway.link, &change), 0);
}

unsigned rig_logged(const char *text)
{
    char path[128], line[4096];
    unsigned count = 0;
    snprintf(path, sizeof(path), "%s/raft.log", rig.dir);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof(line), file))
        count += strstr(line, text) != NULL;
    if (file)
        fclose(file);
    return count;
}

void rig_start_all(void)
{
    rig_start();
    rig_open_workers();
    rig_open_gateway();
    RIG_WAIT(rig.gateway.leader_is_known);
    for (enum proc proc = PROC_FIRST_WORKER; proc <= PROC_LAST_WORKER; proc++)
        RIG_WAIT(rig_worker_of(proc)->resumed > 0 && rig_applied_index(proc) > 0);
}

void rig_fill(unsigned count)
{
    uint64_t sequence = 0;
    for (unsigned i = 0; i < count; i++)
        sequence = rig_propose(i % 3 == 0 ? PROC_EVENTS : PROC_STORAGE, 50);
    RIG_WAIT(rig_has(count % 3 == 1 ? PROC_EVENTS : PROC_STORAGE, sequence));
    RIG_WAIT(rig_applied_index(PROC_STORAGE) == count + 1ul);
    RIG_WAIT(rig_applied_index(PROC_EVENTS) == count + 1ul);
}
