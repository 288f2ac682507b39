#include "rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"

#define NODE "node0"

struct rig rig;
const struct scope rig_scope = {"the rig's scope"};

static char config_text[1024];
static struct loop_timer turn_timer;

/* ---- the process ---- */

static void on_control(void *arg)
{
    char byte;
    (void)arg;
    while (recv(rig.control, &byte, 1, MSG_DONTWAIT) == 1) {
        rig.is_ready = rig.is_ready || byte == PROC_CONTROL_READY;
        rig.heartbeats += byte == PROC_CONTROL_HEARTBEAT ? 1 : 0;
    }
    loop_stop(rig.loop);
}

static int open_config(void)
{
    int fd = memfd_create("config", MFD_CLOEXEC);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, config_text, strlen(config_text)), (ssize_t)strlen(config_text));
    return fd;
}

/* Beside the test's own program. */
static void worker_program(char out[PATH_BYTES])
{
    char self[PATH_BYTES - 64];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    cr_assert_gt(len, 0);
    self[len] = '\0';
    *strrchr(self, '/') = '\0';
    snprintf(out, PATH_BYTES, "%s/../libexec/%s", self, proc_program(rig.proc));
}

static _Noreturn void become_worker(int control, int config)
{
    char program[PATH_BYTES];
    worker_program(program);
    const char *const arguments[] = {program, "--node",        NODE,   "--index",
                                     "0",     "--config-name", "test", NULL};
    int control_copy = fcntl(control, F_DUPFD, 100), config_copy = fcntl(config, F_DUPFD, 100);
    dup2(control_copy, PROC_FD_CONTROL);
    dup2(config_copy, PROC_FD_CONFIG);
    close(control_copy);
    close(config_copy);
    execv(program, (char *const *)arguments);
    _exit(127);
}

void rig_spawn(void)
{
    int pair[2], config = open_config();
    cr_assert_eq(rig.pid, 0);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    rig.is_ready = false;
    rig.control = pair[0];
    rig.pid = fork();
    cr_assert_geq(rig.pid, 0);
    if (rig.pid == 0)
        become_worker(pair[1], config);
    close(pair[1]);
    close(config);
    cr_assert_eq(loop_add_fd(rig.loop, rig.control, on_control, NULL), 0);
}

void rig_start(void)
{
    rig_spawn();
    RIG_WAIT_FOR(rig.is_ready);
}

int rig_wait_exit(void)
{
    int status = 0;
    pid_t ended = 0;
    RIG_WAIT_FOR((ended = waitpid(rig.pid, &status, WNOHANG)) != 0);
    cr_assert_eq(ended, rig.pid);
    rig.pid = 0;
    loop_remove_fd(rig.loop, rig.control);
    close(rig.control);
    return status;
}

void rig_kill(int signal_number)
{
    kill(rig.pid, signal_number);
    rig_wait_exit();
}

void rig_say(char control_byte)
{
    cr_assert_eq(send(rig.control, &control_byte, 1, MSG_NOSIGNAL), 1);
}

/* ---- raft ---- */

static void send_entry(uint64_t index)
{
    const struct rig_entry *entry = &rig.entries[index];
    const struct msg_apply msg = {.index = index,
                                  .term = 1,
                                  .stamp_ms = 1000000 + index,
                                  .session = entry->session,
                                  .sequence = entry->sequence,
                                  .floor = entry->floor,
                                  .command = entry->command};
    if (entry->command.len > 0)
        cr_assert_eq(msg_apply_send(rig.raft, &msg), 0);
}

void rig_stream_part(uint64_t last_index)
{
    while (link_is_up(rig.raft) && rig.sent_index < last_index)
        send_entry(++rig.sent_index);
}

/* Less than a socket takes at once: NNG 1.5.2 can hang for good when a connection ends between two
 * parts of a message, and this process is not one that could be started anew. */
#define WINDOW_BYTES (64u << 10)

static bool has_window(void)
{
    size_t bytes = 0;
    for (uint64_t i = rig.applied_index + 1; i <= rig.sent_index; i++)
        bytes += rig.entries[i].command.len + 64;
    return bytes < WINDOW_BYTES;
}

static void stream_on(void)
{
    while (link_is_up(rig.raft) && rig.sent_index < rig.stream_end && has_window()) {
        uint64_t end = rig.sent_index + rig.batch;
        rig_stream_part(end < rig.stream_end ? end : rig.stream_end);
        cr_assert_eq(msg_apply_end_send(rig.raft, &(struct msg_apply_end){rig.sent_index}), 0);
    }
}

void rig_stream(void)
{
    rig.stream_end = rig.last_index;
    stream_on();
}

static void on_resume(struct unpack *body)
{
    cr_assert_eq(msg_resume_decode(&rig.resume, body), 0);
    rig.resumes++;
    rig.applied_index = rig.sent_index = rig.resume.applied_index;
    if (rig.orders_rebuild) {
        cr_assert_eq(msg_rebuild_send(rig.raft), 0);
        return;
    }
    struct msg_resume_ok ok;
    memcpy(ok.lineage, rig.lineage, sizeof(ok.lineage));
    cr_assert_eq(msg_resume_ok_send(rig.raft, &ok), 0);
    cr_assert_eq(msg_role_send(rig.raft, &(struct msg_role){rig.is_leader, 1}), 0);
    rig_stream();
}

static uint64_t append_bytes(uint64_t session, uint64_t sequence, uint64_t floor,
                             struct slice command)
{
    cr_assert_lt(rig.last_index + 1, RIG_ENTRIES);
    struct rig_entry *entry = &rig.entries[++rig.last_index];
    *entry = (struct rig_entry){.session = session, .sequence = sequence, .floor = floor};
    entry->command = slice_of(malloc(command.len + 1), command.len);
    memcpy((void *)entry->command.data, command.data, command.len);
    return rig.last_index;
}

static void on_propose(struct unpack *body)
{
    struct msg_worker_propose msg;
    cr_assert_eq(msg_worker_propose_decode(&msg, body), 0);
    rig.proposals++;
    if (!rig.is_leader || rig.drops_proposals)
        return;
    append_bytes(0, 0, 0, msg.command);
    rig_stream();
}

static void on_raft_message(void *arg, enum msg type, struct unpack *body)
{
    struct msg_applied applied;
    (void)arg;
    switch (type) {
    case MSG_RESUME:
        on_resume(body);
        break;
    case MSG_APPLIED:
        cr_assert_eq(msg_applied_decode(&applied, body), 0);
        cr_assert_geq(applied.index, rig.applied_index);
        rig.applied_index = applied.index;
        stream_on();
        break;
    case MSG_WORKER_PROPOSE:
        on_propose(body);
        break;
    default:
        cr_assert(false, "unexpected message");
    }
    loop_stop(rig.loop);
}

static void open_link(struct link **link, enum proc self, uint64_t start_id,
                      const struct link_handlers *handlers)
{
    const struct link_options options = {.run_dir = rig.paths.run,
                                         .node = NODE,
                                         .self = self,
                                         .peer = rig.proc,
                                         .start_id = start_id,
                                         .handlers = *handlers};
    cr_assert_eq(link_open(link, &options), 0);
    cr_assert_eq(link_attach(*link, rig.loop), 0);
}

void rig_open_raft(void)
{
    open_link(&rig.raft, PROC_RAFT, 99, &(struct link_handlers){.on_message = on_raft_message});
}

/* Only once all that was sent has arrived: NNG 1.5.2 can wait for ever in closing a socket on which
 * something is just going on. */
void rig_close_raft(void)
{
    RIG_WAIT_FOR(rig.applied_index >= rig.sent_index || !link_is_up(rig.raft));
    link_close(&rig.raft);
}

/* ---- the gateway ---- */

static void on_result(struct unpack *body)
{
    struct msg_result msg;
    cr_assert_eq(msg_result_decode(&msg, body), 0);
    if (msg.session == RIG_OTHER_SESSION) {
        rig.other_results++;
        return;
    }
    cr_assert_eq(msg.session, RIG_SESSION);
    cr_assert_lt(msg.sequence, RIG_ENTRIES);
    struct rig_result *result = &rig.results[msg.sequence];
    cr_assert(result->count == 0 || result->index == msg.index || result->error == E_QUEUE_WAITING,
              "two results of one number");
    result->count++;
    result->index = msg.index;
    result->error = msg.error;
    cr_assert_lt(msg.detail.len, sizeof(result->detail));
    memset(result->detail, 0, sizeof(result->detail));
    if (msg.detail.len > 0)
        memcpy(result->detail, msg.detail.data, msg.detail.len);
    rig.result_count++;
}

static void on_applied_at(struct unpack *body)
{
    struct msg_applied_at msg;
    cr_assert_eq(msg_applied_at_decode(&msg, body), 0);
    cr_assert_leq(msg.index, board_read_applied(rig.board, rig.proc), "not on the board yet");
    rig.told_count++;
    rig.told_index = msg.index;
}

static void on_gateway_message(void *arg, enum msg type, struct unpack *body)
{
    (void)arg;
    if (type == MSG_RESULT)
        on_result(body);
    else if (type == MSG_APPLIED_AT)
        on_applied_at(body);
    else if (rig.on_other != NULL)
        rig.on_other(type, body);
    else
        cr_assert_fail("the gateway was sent %s", msg_name(type));
    loop_stop(rig.loop);
}

static void on_gateway_up(void *arg, const struct link_peer *peer)
{
    (void)arg;
    (void)peer;
    if (!rig.is_anonymous)
        rig_say_session(RIG_SESSION);
}

void rig_open_gateway(void)
{
    open_link(&rig.gateway, PROC_GATEWAY, 98,
              &(struct link_handlers){.on_up = on_gateway_up, .on_message = on_gateway_message});
}

void rig_close_gateway(void)
{
    link_close(&rig.gateway);
}

void rig_say_session(uint64_t session)
{
    cr_assert_eq(msg_session_send(rig.gateway, &(struct msg_session){session}), 0);
}

void rig_wait_applied(uint64_t index)
{
    cr_assert_eq(msg_wait_applied_send(rig.gateway, &(struct msg_wait_applied){index}), 0);
}

void rig_recall(uint64_t sequence)
{
    cr_assert_eq(msg_recall_send(rig.gateway, &(struct msg_recall){RIG_SESSION, sequence}), 0);
}

/* ---- the log ---- */

uint64_t rig_append_as(uint64_t session, uint64_t sequence, uint64_t floor,
                       const struct command *command)
{
    struct buf bytes;
    buf_init(&bytes, 1 << 20);
    cr_assert_eq(command_encode(&bytes, command), 0);
    uint64_t index = append_bytes(session, sequence, floor, buf_slice(&bytes));
    buf_fini(&bytes);
    return index;
}

uint64_t rig_append(const struct command *command)
{
    uint64_t sequence = rig.next_sequence++;
    return rig_append_as(RIG_SESSION, sequence, sequence > 5000 ? sequence - 5000 : 1, command);
}

uint64_t rig_append_other(void)
{
    cr_assert_lt(rig.last_index + 1, RIG_ENTRIES);
    return ++rig.last_index;
}

void rig_open_session(void)
{
    rig_append(&(struct command){.operation = COMMAND_SESSION_OPEN});
}

uint64_t rig_bump(const char *key)
{
    return rig_append(&(struct command){
        .operation = COMMAND_VALUE_BUMP, .scope = rig_scope, .key = slice_text(key), .delta = 1});
}

/* ---- turns ---- */

static void stop_turn(void *arg)
{
    (void)arg;
    loop_stop(rig.loop);
}

void rig_turn(unsigned timeout_ms)
{
    turn_timer.fire = stop_turn;
    loop_timer_set(rig.loop, &turn_timer, clock_boot_ns() + timeout_ms * NS_PER_MS);
    loop_run(rig.loop);
    loop_timer_clear(rig.loop, &turn_timer);
}

/* ---- reading ---- */

static struct map *open_map(MDB_txn **txn)
{
    struct map *map;
    cr_assert_eq(map_open_reader(&map, rig.paths.values, MAP_VALUES), 0);
    cr_assert_eq(map_read_begin(map, txn), 0);
    return map;
}

const char *rig_read(const char *key)
{
    static char text[64];
    struct value_view view;
    MDB_txn *txn;
    struct map *map = open_map(&txn);
    int error =
        value_get(txn, map_database(map, MAP_VALUES_DB), &rig_scope, slice_text(key), &view);
    memset(text, 0, sizeof(text));
    if (error == 0) {
        cr_assert_lt(view.data.len, sizeof(text));
        memcpy(text, view.data.data, view.data.len);
    }
    map_read_end(map);
    map_close(&map);
    cr_assert(error == 0 || error == E_NOT_FOUND);
    return text;
}

static bool count_one(struct slice key, const struct value_view *value, void *arg)
{
    (void)key;
    (void)value;
    (*(unsigned *)arg)++;
    return true;
}

unsigned rig_count_keys(const struct scope *scope)
{
    unsigned count = 0;
    MDB_txn *txn;
    struct map *map = open_map(&txn);
    cr_assert_eq(value_scan(txn, map_database(map, MAP_VALUES_DB), scope, slice_of(NULL, 0),
                            slice_of(NULL, 0), 0, count_one, &count),
                 0);
    map_read_end(map);
    map_close(&map);
    return count;
}

/* ---- life ---- */

static void on_config_error(const char *message, void *arg)
{
    (void)arg;
    cr_assert(false, "%s", message);
}

static void write_config(const char *shm_dir)
{
    char shm[96];
    snprintf(shm, sizeof(shm), "%s/shm", rig.folder);
    snprintf(config_text, sizeof(config_text),
             "instanceSecret: \"not-a-secret-not-a-secret-not-a-secret\"\n"
             "rootPrefix: \"not-a-prefix-not-a-prefix\"\n"
             "defaultLeader: " NODE "\n"
             "dataDir: %s/data\n"
             "shmDir: %s\n"
             "logging: {level: error}\n"
             "gateway: {processes: 1}\n"
             "nodes:\n"
             "  " NODE ": {raftBinding: 127.0.0.1:1, httpBinding: 127.0.0.1:2,\n"
             "          nodeSecret: \"not-a-secret-not-a-secret-not-a-secret\"}\n",
             rig.folder, shm_dir != NULL ? shm_dir : shm);
    cr_assert_eq(config_parse(&rig.config, slice_text(config_text), "test", on_config_error, NULL),
                 0);
}

void rig_init_on(enum proc proc, const char *shm_dir)
{
    memset(&rig, 0, sizeof(rig));
    rig.proc = proc;
    rig.batch = 10;
    rig.next_sequence = 1;
    memcpy(rig.lineage, "a log's lineage", sizeof(rig.lineage));
    strcpy(rig.folder, "/tmp/insi-rig-XXXXXX");
    cr_assert_not_null(mkdtemp(rig.folder));
    write_config(shm_dir);
    cr_assert_eq(path_of_node(&rig.paths, &rig.config, NODE), 0);
    cr_assert_eq(path_make_folder(rig.paths.run), 0);
    cr_assert_eq(path_make_folder(rig.paths.shm), 0);
    cr_assert_eq(board_create(rig.paths.board), 0);
    cr_assert_eq(board_open(&rig.board, rig.paths.board, false), 0);
    rig.loop = loop_new();
    rig_open_raft();
    rig_open_gateway();
}

void rig_init(enum proc proc)
{
    rig_init_on(proc, NULL);
}

void rig_fini(void)
{
    if (rig.pid > 0) {
        kill(rig.pid, SIGKILL);
        waitpid(rig.pid, NULL, 0);
        close(rig.control);
    }
    /* The links, and with them the loop, go with the process: see rig_close_raft. */
    board_close(&rig.board);
    config_fini(&rig.config);
    for (uint64_t i = 0; i < RIG_ENTRIES; i++)
        free((void *)rig.entries[i].command.data);
    path_remove_tree(rig.paths.shm);
    path_remove_tree(rig.folder);
}
