/* worker.c - a worker process that does nothing but live with its supervisor, well or badly.
 *
 * Installed under the name of every worker program in build/tests/libexec. The folder that
 * $INSI_FAKE_DIR names holds what it is told and what it tells:
 *
 *   <name>        behaviours, one word for each start ("crash crash serve"); the last one stays.
 *                 Without the file: serve. <name> is "raft", "gateway0" and so on.
 *   <name>.starts one byte for each start so far
 *   <name>.state  what the last start found: descriptors, signals, limits
 *   trace         a line "<boot ms> <name> <what>" for start, ready, yield, stop, reload, end
 *
 * serve  ready at once; ends when asked to, with 0     crash   ends with 1 before it is ready
 * late   the same, 150 ms after being asked            flash   ready, then ends with 1
 * hold   does not end when asked to                    quit    ready, then ends with 0
 * slow   its loop turns, but it never gets ready       giveup  ends with 3
 * mute   its loop never turns, nor is it ready         hangup  ready, then closes its channel
 * hang   ready, then its loop stops                    babble  sends bytes that mean nothing;
 * serves deaf   the same, and SIGABRT does not end it         clings  serves, and never answers a
 * YIELD tarry  serves, and answers a YIELD after 150 ms      bolts   serves, and ends instead of
 * answering
 *
 * SIGUSR1 makes it end with 3, SIGUSR2 makes it hang, from whatever it does.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "procs/skel/skel.h"

#define FAKE_LATE_MS 150
#define FAKE_BABBLE 200

struct fake {
    struct skel skel;
    struct loop *loop;
    struct loop_timer timer, yield_timer;
    char folder[512], name[32], behaviour[32];
};

static struct fake fake; /* the process's context */

static FILE *fake_open(const char *name, const char *ending, const char *mode)
{
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s%s", fake.folder, name, ending);
    return fopen(path, mode);
}

static void fake_trace(const char *what)
{
    char line[96];
    FILE *file = fake_open("trace", "", "ae");
    CHECK(file);
    setbuf(file, NULL); /* one write: lines of several processes do not mix */
    int len = snprintf(line, sizeof(line), "%llu %s %s\n", (unsigned long long)clock_boot_ms(),
                       fake.name, what);
    CHECK(fwrite(line, 1, (size_t)len, file) == (size_t)len);
    fclose(file);
}

static _Noreturn void fake_hang(void)
{
    for (;;)
        pause();
}

static _Noreturn void fake_end(int status)
{
    fake_trace("end");
    skel_exit(&fake.skel, status);
}

/* ---- before anything else: what this process was given ---- */

static enum proc fake_proc(const char *program)
{
    for (enum proc proc = PROC_RAFT; proc < PROC_COUNT; proc++)
        if (strcmp(program, proc_program(proc)) == 0)
            return proc;
    fprintf(stderr, "not the name of a worker: %s\n", program);
    exit(1);
}

static void fake_report_descriptors(FILE *out)
{
    struct stat info;
    for (int fd = 0; fd < 1024; fd++)
        if (fstat(fd, &info) == 0 && fd != fileno(out))
            fprintf(out, "fd %d %s\n", fd,
                    S_ISSOCK(info.st_mode)  ? "socket"
                    : S_ISREG(info.st_mode) ? "file"
                    : S_ISCHR(info.st_mode) ? "device"
                                            : "other");
}

static void fake_report_signals(FILE *out)
{
    char line[256];
    FILE *status = fopen("/proc/self/status", "re");
    CHECK(status);
    while (fgets(line, sizeof(line), status))
        if (strncmp(line, "SigBlk", 6) == 0 || strncmp(line, "SigIgn", 6) == 0)
            fputs(line, out);
    fclose(status);
}

static void fake_report(void)
{
    struct rlimit files;
    int death = 0;
    FILE *out = fake_open(fake.name, ".state", "we");
    CHECK(out);
    fake_report_descriptors(out);
    fake_report_signals(out);
    CHECK(prctl(PR_GET_PDEATHSIG, &death) == 0);
    CHECK(getrlimit(RLIMIT_NOFILE, &files) == 0);
    fprintf(out, "pdeathsig %d\nfiles %llu %llu\nown_group %d\n", death,
            (unsigned long long)files.rlim_cur, (unsigned long long)files.rlim_max,
            getpgrp() == getpid());
    fclose(out);
}

/* The word for this start. */
static void fake_choose(void)
{
    FILE *starts = fake_open(fake.name, ".starts", "ae");
    CHECK(starts && fputc('.', starts) == '.' && fflush(starts) == 0);
    long count = ftell(starts);
    fclose(starts);
    snprintf(fake.behaviour, sizeof(fake.behaviour), "serve");
    FILE *words = fake_open(fake.name, "", "re");
    for (long i = 0; words && i < count && fscanf(words, "%31s", fake.behaviour) == 1; i++)
        ;
    if (words)
        fclose(words);
}

/* ---- its life ---- */

static void fake_on_timer(void *arg)
{
    (void)arg;
    fake_end(0);
}

static void fake_on_stop(void *arg)
{
    (void)arg;
    fake_trace("stop");
    if (strcmp(fake.behaviour, "hold") == 0)
        return;
    if (strcmp(fake.behaviour, "late") != 0)
        fake_end(0);
    fake.timer.fire = fake_on_timer;
    loop_timer_set(fake.loop, &fake.timer, clock_boot_ns() + FAKE_LATE_MS * NS_PER_MS);
}

static bool fake_is(const char *behaviour)
{
    return strcmp(fake.behaviour, behaviour) == 0;
}

static void fake_on_yield_timer(void *arg)
{
    (void)arg;
    fake_trace("yielded");
    skel_yielded(&fake.skel);
}

static void fake_on_yield(void *arg)
{
    fake_trace("yield");
    if (fake_is("bolts"))
        fake_end(1);
    if (fake_is("clings"))
        return;
    if (!fake_is("tarry")) {
        fake_on_yield_timer(arg);
        return;
    }
    fake.yield_timer.fire = fake_on_yield_timer;
    loop_timer_set(fake.loop, &fake.yield_timer, clock_boot_ns() + FAKE_LATE_MS * NS_PER_MS);
}

static void fake_on_reload(void *arg)
{
    char what[64];
    (void)arg;
    snprintf(what, sizeof(what), "reload maxBody=%llu",
             (unsigned long long)fake.skel.config.limits.max_body_bytes);
    fake_trace(what);
}

static void fake_on_signal(int number)
{
    if (number == SIGUSR1)
        _exit(PROC_EXIT_STOP_NODE);
    fake_hang();
}

static void fake_babble(void)
{
    for (unsigned i = 0; i < FAKE_BABBLE; i++) {
        char byte = (char)('a' + i % 26);
        CHECK(send(fake.skel.control_fd, &byte, 1, MSG_NOSIGNAL) == 1 || errno == EAGAIN);
    }
}

static void fake_begin(void)
{
    if (fake_is("crash"))
        fake_end(1);
    if (fake_is("giveup"))
        fake_end(PROC_EXIT_STOP_NODE);
    if (fake_is("mute"))
        fake_hang();
    if (fake_is("babble"))
        fake_babble();
    if (fake_is("slow"))
        return;
    fake_trace("ready");
    skel_ready(&fake.skel);
    if (fake_is("flash"))
        fake_end(1);
    if (fake_is("quit"))
        fake_end(0);
    if (fake_is("deaf"))
        CHECK(signal(SIGABRT, SIG_IGN) != SIG_ERR);
    if (fake_is("hangup"))
        close(fake.skel.control_fd);
    if (fake_is("hang") || fake_is("deaf") || fake_is("hangup"))
        fake_hang();
}

int main(int argc, char **argv)
{
    const char *folder = getenv("INSI_FAKE_DIR"), *slash = strrchr(argv[0], '/');
    enum proc proc = fake_proc(slash ? slash + 1 : argv[0]);
    if (folder && strlen(folder) < sizeof(fake.folder)) { /* else skel_start says what is wrong */
        snprintf(fake.folder, sizeof(fake.folder), "%s", folder);
        snprintf(fake.name, sizeof(fake.name), "%s%s", proc_name(proc),
                 proc == PROC_GATEWAY && argc > 4 ? argv[4] : "");
        fake_report();
    }
    skel_start(&fake.skel, proc, argc, argv);
    CHECK(fake.folder[0]);
    CHECK(signal(SIGUSR1, fake_on_signal) != SIG_ERR);
    CHECK(signal(SIGUSR2, fake_on_signal) != SIG_ERR);
    fake_choose();
    fake_trace("start");
    skel_set_hooks(&fake.skel, &(struct skel_hooks){.on_stop = fake_on_stop,
                                                    .on_reload = fake_on_reload,
                                                    .on_yield = fake_on_yield});
    fake.loop = loop_new();
    skel_attach(&fake.skel, fake.loop);
    fake_begin();
    loop_run(fake.loop);
    return 0;
}
