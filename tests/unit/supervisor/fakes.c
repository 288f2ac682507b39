/* fakes.c - see fakes.h. */
#include "fakes.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/path.h"
#include "insid-supervisor/node.h"
#include "insid-supervisor/supervise.h"
#include "tests/unit/lib/ports.h"

#define FAKES_TEXT_BYTES (256 << 10)

char fakes_folder[64];
char fakes_config[96];
struct child_limits fakes_limits;
static pid_t fakes_supervisor;
static unsigned fakes_ports[2];

void fakes_pause(void)
{
    const struct timespec pause = {0, 2 * NS_PER_MS};
    nanosleep(&pause, NULL);
}

static void fakes_path(char out[256], const char *name)
{
    snprintf(out, 256, "%s/%s", fakes_folder, name);
}

/* The whole file; "" when there is none. Valid until the next call. */
static const char *fakes_read(const char *name)
{
    static char text[FAKES_TEXT_BYTES];
    char path[256];
    fakes_path(path, name);
    FILE *file = fopen(path, "re");
    size_t len = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
    text[len] = '\0';
    if (file)
        fclose(file);
    return text;
}

void fakes_dump(void)
{
    fputs(fakes_read("log"), stderr);
    fputs(fakes_read("trace"), stderr);
}

void fakes_write_config(unsigned gateways, const char *limits, const char *more)
{
    FILE *file = fopen(fakes_config, "we");
    cr_assert_not_null(file);
    fprintf(file,
            "instanceSecret: test-instance-secret\n"
            "rootPrefix: test-root-prefix\n"
            "defaultLeader: " FAKES_NODE "\n"
            "dataDir: %s/data\n"
            "shmDir: %s/shm\n"
            "gateway: {processes: %u}\n"
            "limits: {%s}\n"
            "nodes:\n"
            "  " FAKES_NODE ": {raftBinding: 127.0.0.1:%u, httpBinding: 127.0.0.1:%u, nodeSecret: "
            "test-node-secret}\n"
            "%s",
            fakes_folder, fakes_folder, gateways, limits, fakes_ports[0], fakes_ports[1], more);
    cr_assert_eq(fclose(file), 0);
}

void fakes_install(enum proc proc)
{
    char program[PATH_BYTES], link[256], name[64];
    ssize_t len = readlink("/proc/self/exe", program, sizeof(program) - 64);
    cr_assert_gt(len, 0);
    program[len] = '\0';
    len = strrchr(program, '/') - program;
    snprintf(program + len, sizeof(program) - (size_t)len, "/libexec/%s", proc_program(proc));
    snprintf(name, sizeof(name), "libexec/%s", proc_program(proc));
    fakes_path(link, name);
    cr_assert_eq(symlink(program, link), 0);
}

void fakes_uninstall(enum proc proc)
{
    char link[256], name[64];
    snprintf(name, sizeof(name), "libexec/%s", proc_program(proc));
    fakes_path(link, name);
    cr_assert_eq(unlink(link), 0);
}

void fakes_init(void)
{
    char folder[256];
    fakes_limits = (struct child_limits){.beat_ms = 40,
                                         .answer_ms = 30000,
                                         .start_ms = 30000,
                                         .leave_ms = 150,
                                         .yield_ms = 10000,
                                         .stop_gateway_ms = 10000,
                                         .stop_ms = 10000,
                                         .end_ms = 10000,
                                         .stop_total_ms = 30000,
                                         .delay_first_ms = 40,
                                         .delay_max_ms = 160,
                                         .delay_reset_ms = 60000,
                                         .operator_ms = 20};
    strncpy(fakes_folder, "/tmp/insi-fakes-XXXXXX", sizeof(fakes_folder) - 1);
    cr_assert_not_null(mkdtemp(fakes_folder));
    snprintf(fakes_config, sizeof(fakes_config), "%s/c.yaml", fakes_folder);
    setenv("INSI_FAKE_DIR", fakes_folder, 1);
    fakes_ports[0] = port_find(false);
    fakes_ports[1] = port_find(false);
    fakes_write_config(1, "", "");
    fakes_path(folder, "libexec");
    cr_assert_eq(mkdir(folder, 0700), 0);
    for (enum proc proc = PROC_RAFT; proc < PROC_COUNT; proc++)
        fakes_install(proc);
    fakes_supervisor = 0;
}

void fakes_fini(void)
{
    if (fakes_supervisor > 0) {
        kill(fakes_supervisor, SIGKILL);
        waitpid(fakes_supervisor, NULL, 0);
    }
    path_remove_tree(fakes_folder);
}

void fakes_tell(const char *name, const char *behaviours)
{
    char path[256];
    fakes_path(path, name);
    FILE *file = fopen(path, "we");
    cr_assert_not_null(file);
    fputs(behaviours, file);
    cr_assert_eq(fclose(file), 0);
}

/* What main.c does, with the fakes' programs and limits. */
static int fakes_supervise(void)
{
    struct config_file file;
    struct node node;
    char workers[256];
    fakes_path(workers, "libexec");
    log_init("supervisor", FAKES_NODE, LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    if (config_file_read(&file, fakes_config, config_file_to_stderr, NULL) != 0)
        return 2;
    if (node_lock(&node, &file.config, FAKES_NODE) != 0)
        return 1;
    supervise_hold_signals();
    if (node_prepare(&node) != 0)
        return 1;
    const struct supervise_options options = {
        .node = &node, .file = &file, .workers = workers, .limits = &fakes_limits};
    int status = supervise_node(&options);
    node_release(&node);
    config_file_fini(&file);
    return status;
}

void fakes_start(void)
{
    char path[256];
    fakes_path(path, "log");
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (log < 0 || dup2(log, STDERR_FILENO) < 0 || dup2(log, STDOUT_FILENO) < 0)
            _exit(99);
        _exit(fakes_supervise());
    }
    fakes_supervisor = pid;
}

pid_t fakes_pid(void)
{
    return fakes_supervisor;
}

void fakes_forget(void)
{
    fakes_supervisor = 0;
}

int fakes_wait(void)
{
    int status = 0;
    uint64_t end_ms = clock_boot_ms() + 15000;
    while (waitpid(fakes_supervisor, &status, WNOHANG) == 0) {
        if (clock_boot_ms() >= end_ms)
            fakes_dump();
        cr_assert_lt(clock_boot_ms(), end_ms, "the supervisor does not end");
        fakes_pause();
    }
    fakes_supervisor = 0;
    cr_assert(WIFEXITED(status), "signal %d", WTERMSIG(status));
    return WEXITSTATUS(status);
}

/* The next line of the text that begins at *at; NULL at the end. */
static const char *fakes_line(char out[512], const char **at)
{
    if (!**at)
        return NULL;
    size_t len = strcspn(*at, "\n"), kept = len < 511 ? len : 511;
    memcpy(out, *at, kept);
    out[kept] = '\0';
    *at += len + ((*at)[len] == '\n');
    return out;
}

unsigned fakes_logged(const char *event, const char *more)
{
    char line[512], key[64];
    unsigned count = 0;
    const char *at = fakes_read("log");
    snprintf(key, sizeof(key), "event=%s ", event);
    while (fakes_line(line, &at)) {
        size_t len = strlen(line);
        if (len + 1 < sizeof(line))
            memcpy(line + len, " ", 2); /* so that the last field ends like the others */
        count += (!event[0] || strstr(line, key)) && strstr(line, more);
    }
    return count;
}

pid_t fakes_worker(const char *name)
{
    char line[512], key[64];
    long pid = 0;
    const char *at = fakes_read("log");
    snprintf(key, sizeof(key), "event=child_started child=%s child_pid=", name);
    while (fakes_line(line, &at)) {
        const char *found = strstr(line, key);
        if (found)
            pid = strtol(found + strlen(key), NULL, 10);
    }
    return (pid_t)pid;
}

/* Calls of this kind in the trace; the boot time of the one with the number in *which (from 0). */
static unsigned fakes_search(const char *name, const char *what, unsigned which, uint64_t *ms)
{
    char line[512], key[128];
    unsigned count = 0;
    const char *at = fakes_read("trace");
    snprintf(key, sizeof(key), " %s %s", name, what);
    while (fakes_line(line, &at)) {
        const char *found = strchr(line, ' ');
        if (!found || strcmp(found, key) != 0)
            continue;
        if (count++ == which)
            *ms = strtoull(line, NULL, 10);
    }
    return count;
}

unsigned fakes_traced(const char *name, const char *what)
{
    uint64_t ms;
    return fakes_search(name, what, 0, &ms);
}

uint64_t fakes_traced_ms(const char *name, const char *what, unsigned which)
{
    uint64_t ms = 0;
    cr_assert_gt(fakes_search(name, what, which, &ms), which, "%s %s", name, what);
    return ms;
}

bool fakes_is_alive(pid_t pid)
{
    char path[64], text[512];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    size_t len = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[len] = '\0';
    const char *after = strrchr(text, ')');
    return after && after[2] != 'Z' && after[2] != 'X';
}

bool fakes_state_has(const char *name, const char *wanted)
{
    char line[512], file[64];
    snprintf(file, sizeof(file), "%s.state", name);
    const char *at = fakes_read(file);
    while (fakes_line(line, &at))
        if (strcmp(line, wanted) == 0)
            return true;
    return false;
}

uint64_t fakes_state_hex(const char *name, const char *key)
{
    char line[512], file[64];
    snprintf(file, sizeof(file), "%s.state", name);
    const char *at = fakes_read(file);
    while (fakes_line(line, &at))
        if (strncmp(line, key, strlen(key)) == 0)
            return strtoull(line + strlen(key), NULL, 16);
    cr_assert_fail("no %s of %s", key, name);
    return 0;
}
