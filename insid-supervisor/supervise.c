/* supervise.c - the loop of a node's supervisor: signals, control channels, deadlines.
 *
 * One epoll over a signalfd and a control socket per worker; the wait ends with the next deadline,
 * which is the common heartbeat when nothing happens. What to do is decided by the table in
 * children.c; this file carries it out and logs each change of a worker's state once.
 *
 * A planned stop first has raft hand leadership over, while everything still serves; then come the
 * rounds.
 *
 * In a turn, messages come before deadlines, and a turn that began late (this process was stopped,
 * or the machine was) moves all deadlines by as much: our own pause says nothing about the workers.
 */
#include "insid-supervisor/supervise.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "insid-supervisor/child.h"
#include "insid-supervisor/control.h"
#include "insid-supervisor/reload.h"

#define SUPERVISE_CHILDREN_MAX (LIMIT_GATEWAYS + PROC_COUNT)
#define SUPERVISE_WORDS_MAX 16 /* of one worker in one turn */

struct supervisor {
    struct supervise_options options;
    struct child children[SUPERVISE_CHILDREN_MAX];
    unsigned child_count;
    int epoll_fd, signal_fd;
    struct control *control; /* NULL: it could not be opened */
    uint64_t beat_ms;        /* next heartbeat of all workers: one wake-up serves them all */
    bool stopping, announced, failed;
    bool is_asked_to_stop; /* by an operator */
    /* of the stop */
    uint64_t stop_began_ms;
    uint64_t yield_until_ms; /* 0: not waiting for raft */
    bool in_rounds;
    unsigned round;
};

static void supervise_event(struct supervisor *supervisor, struct child *child,
                            enum child_event event);
static void supervise_stop(struct supervisor *supervisor);

/* ---- what the table says -----------------------------------------------------------------------
 */

static void supervise_spawn(struct supervisor *supervisor, struct child *child)
{
    if (child_start(child, supervisor->options.node, supervisor->options.file,
                    supervisor->options.workers) != 0) {
        LOG_ERROR("child_start_failed", LOG_STR("child", child->name), LOG_ERRNO(errno));
        supervise_event(supervisor, child, CHILD_EVENT_SPAWN_FAILED);
        return;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = child};
    CHECK(epoll_ctl(supervisor->epoll_fd, EPOLL_CTL_ADD, child->control_fd, &event) == 0);
    LOG_INFO("child_started", LOG_STR("child", child->name),
             LOG_U64("child_pid", (uint64_t)child->pid));
}

static void supervise_announce_node(struct supervisor *supervisor)
{
    const struct config_node *self = supervisor->options.node->self;
    for (unsigned i = 0; i < supervisor->child_count; i++)
        if (supervisor->children[i].state != CHILD_STATE_READY)
            return;
    if (supervisor->announced)
        return;
    supervisor->announced = true;
    LOG_INFO("node_ready");
    bool v6 = strchr(self->http.host, ':') != NULL;
    printf("%s ready: %s://%s%s%s:%u\n", self->id,
           supervisor->options.node->config->tls.enabled ? "https" : "http", v6 ? "[" : "",
           self->http.host, v6 ? "]" : "", self->http.port);
    fflush(stdout);
}

static void supervise_announce(struct supervisor *supervisor, struct child *child)
{
    uint64_t now = clock_boot_ms();
    child->served = true;
    if (child->beat_open) /* sent while it was starting; from now on it has a limit */
        child->deadline_ms = now + supervisor->options.limits->answer_ms;
    LOG_INFO("child_ready", LOG_STR("child", child->name),
             LOG_U64("after_ms", now - child->started_ms));
    supervise_announce_node(supervisor);
}

/* A worker whose channel is full has not looked into it for long: its time runs, and it is asked
 * again with the next beat. */
static void supervise_send_beat(struct supervisor *supervisor, struct child *child)
{
    if (child->beat_open)
        return;
    child->beat_open = child_tell(child, PROC_CONTROL_HEARTBEAT, -1) == 0;
    if (child->state == CHILD_STATE_READY && (child->beat_open || child->deadline_ms == 0))
        child->deadline_ms = clock_boot_ms() + supervisor->options.limits->answer_ms;
}

static void supervise_renew(struct supervisor *supervisor, struct child *child)
{
    const struct child_limits *limits = supervisor->options.limits;
    uint64_t now = clock_boot_ms(), limit = children_limit_ms(limits, child->state, child->proc);
    child->beat_open = false;
    child->deadline_ms = limit ? now + limit : 0;
    if (child->state == CHILD_STATE_STARTING && !child->late &&
        now - child->started_ms >= limits->start_ms) {
        child->late = true;
        LOG_WARN("child_not_ready", LOG_STR("child", child->name),
                 LOG_U64("after_ms", now - child->started_ms));
    }
}

static void supervise_back_off(struct supervisor *supervisor, struct child *child, bool clean)
{
    uint64_t now = clock_boot_ms();
    const struct child_end end = {.clean = clean, .alive_ms = now - child->started_ms};
    uint64_t delay =
        child->asked ? 0 : children_delay_ms(supervisor->options.limits, &child->failures, &end);
    child->deadline_ms = now + delay;
    LOG_INFO("child_restarting", LOG_STR("child", child->name), LOG_U64("delay_ms", delay));
}

static void supervise_ask(struct child *child)
{
    child->asked = true;
    if (child_tell(child, PROC_CONTROL_STOP, -1) != 0)
        child_signal(child, SIGTERM); /* means the same */
}

static void supervise_end_by(struct child *child, int number)
{
    LOG_WARN(number == SIGABRT ? "child_hung" : "child_killed", LOG_STR("child", child->name),
             LOG_U64("child_pid", (uint64_t)child->pid));
    child_signal(child, number);
}

/* What the other rounds leave of the node's stop is for this one. */
static void supervise_pass_over(struct supervisor *supervisor, struct child *child)
{
    LOG_WARN("child_overdue", LOG_STR("child", child->name),
             LOG_U64("child_pid", (uint64_t)child->pid));
    child->deadline_ms = supervisor->stop_began_ms + supervisor->options.limits->stop_total_ms;
}

static void supervise_abandon(struct supervisor *supervisor, struct child *child)
{
    LOG_ERROR("child_abandoned", LOG_STR("child", child->name),
              LOG_U64("child_pid", (uint64_t)child->pid));
    child_close(child);
    supervisor->failed = true;
}

static void supervise_act(struct supervisor *supervisor, struct child *child,
                          enum child_action action, bool clean)
{
    switch (action) {
    case CHILD_ACTION_SPAWN:
        supervise_spawn(supervisor, child);
        break;
    case CHILD_ACTION_SEND_BEAT:
        supervise_send_beat(supervisor, child);
        break;
    case CHILD_ACTION_RENEW:
        supervise_renew(supervisor, child);
        break;
    case CHILD_ACTION_ANNOUNCE:
        supervise_announce(supervisor, child);
        break;
    case CHILD_ACTION_ABORT:
        supervise_end_by(child, SIGABRT);
        break;
    case CHILD_ACTION_KILL:
        supervise_end_by(child, SIGKILL);
        break;
    case CHILD_ACTION_BACK_OFF:
        supervise_back_off(supervisor, child, clean);
        break;
    case CHILD_ACTION_ASK:
        supervise_ask(child);
        break;
    case CHILD_ACTION_HASTEN:
        child->asked = true;
        break;
    case CHILD_ACTION_PASS_OVER:
        supervise_pass_over(supervisor, child);
        break;
    case CHILD_ACTION_ABANDON:
        supervise_abandon(supervisor, child);
        break;
    case CHILD_ACTION_STOP_NODE:
        LOG_ERROR("child_gave_up", LOG_STR("child", child->name));
        supervisor->failed = true;
        supervise_stop(supervisor);
        break;
    default:
        CHECK(action == CHILD_ACTION_NOTHING || action == CHILD_ACTION_IGNORE);
    }
}

static void supervise_apply(struct supervisor *supervisor, struct child *child,
                            enum child_event event, bool clean)
{
    struct child_rule rule = children_rule(child->state, event);
    LOG_DEBUG("child_event", LOG_STR("child", child->name),
              LOG_STR("state", children_state_name(child->state)),
              LOG_STR("input", children_event_name(event)));
    if (rule.next != child->state) {
        uint64_t limit = children_limit_ms(supervisor->options.limits, rule.next, child->proc);
        child->state = rule.next;
        child->deadline_ms = limit ? clock_boot_ms() + limit : 0;
    }
    supervise_act(supervisor, child, rule.action, clean);
}

static void supervise_event(struct supervisor *supervisor, struct child *child,
                            enum child_event event)
{
    supervise_apply(supervisor, child, event, false);
}

/* ---- the stop, round by round ------------------------------------------------------------------
 */

/* The last round waits for all that was passed over. */
static bool supervise_waits_for(const struct supervisor *supervisor, const struct child *child)
{
    if (supervisor->round == CHILDREN_STOP_ROUNDS - 1)
        return child->state != CHILD_STATE_STOPPED;
    return children_stop_round(child->proc) == supervisor->round &&
           child->state != CHILD_STATE_STOPPED && child->state != CHILD_STATE_OVERDUE;
}

/* Gateways finish their requests first, which needs the workers; the workers finish what raft sent.
 */
static void supervise_stop_next(struct supervisor *supervisor)
{
    for (; supervisor->round < CHILDREN_STOP_ROUNDS; supervisor->round++) {
        bool waiting = false;
        for (unsigned i = 0; i < supervisor->child_count; i++)
            waiting |= supervise_waits_for(supervisor, &supervisor->children[i]);
        if (waiting)
            return;
        for (unsigned i = 0; i < supervisor->child_count; i++) {
            struct child *child = &supervisor->children[i];
            if (children_stop_round(child->proc) == supervisor->round + 1)
                supervise_event(supervisor, child, CHILD_EVENT_STOP);
        }
    }
}

static struct child *supervise_raft(struct supervisor *supervisor)
{
    struct child *raft = &supervisor->children[0];
    CHECK(raft->proc == PROC_RAFT);
    return raft;
}

/* The time that raft took is the gateways'. */
static void supervise_begin_rounds(struct supervisor *supervisor)
{
    const struct child_limits *limits = supervisor->options.limits;
    uint64_t now = clock_boot_ms(), until = supervisor->stop_began_ms + limits->stop_gateway_ms;
    supervisor->yield_until_ms = 0;
    supervisor->in_rounds = true;
    for (unsigned i = 0; i < supervisor->child_count; i++) {
        struct child *child = &supervisor->children[i];
        if (children_stop_round(child->proc) != 0)
            continue;
        supervise_event(supervisor, child, CHILD_EVENT_STOP);
        if (child->state == CHILD_STATE_STOPPING)
            child->deadline_ms = until > now ? until : now + 1;
    }
}

/* While raft hands over, everything goes on as before: what comes then is passed on to the new
 * leader. A raft that does not run leads nothing. */
static void supervise_stop(struct supervisor *supervisor)
{
    struct child *raft = supervise_raft(supervisor);
    if (supervisor->stopping)
        return;
    LOG_INFO("node_stopping");
    supervisor->stopping = true;
    supervisor->stop_began_ms = clock_boot_ms();
    if (raft->state == CHILD_STATE_READY && child_tell(raft, PROC_CONTROL_YIELD, -1) == 0)
        supervisor->yield_until_ms =
            supervisor->stop_began_ms + supervisor->options.limits->yield_ms;
    else
        supervise_begin_rounds(supervisor);
}

static void supervise_wait_for_yield(struct supervisor *supervisor)
{
    if (supervisor->yield_until_ms == 0)
        return;
    bool is_over = clock_boot_ms() >= supervisor->yield_until_ms;
    if (is_over)
        LOG_WARN("yield_not_answered");
    if (is_over || supervise_raft(supervisor)->state != CHILD_STATE_READY)
        supervise_begin_rounds(supervisor);
}

/* ---- an operator's wishes ----------------------------------------------------------------------
 */

/* The node's stop may have begun in this very turn: the one who asks is told so at its end. */
static void supervise_on_restart(void *arg, unsigned number)
{
    struct supervisor *supervisor = arg;
    if (!supervisor->stopping)
        supervise_event(supervisor, &supervisor->children[number], CHILD_EVENT_RESTART);
}

static void supervise_stop_as_asked(struct supervisor *supervisor)
{
    supervisor->is_asked_to_stop = true;
    supervise_stop(supervisor);
}

static void supervise_on_stop(void *arg)
{
    supervise_stop_as_asked(arg);
}

/* A node serves its clients also without it. */
static void supervise_open_control(struct supervisor *supervisor)
{
    const struct control_options options = {.run_dir = supervisor->options.node->paths.run,
                                            .node = supervisor->options.node->self->id,
                                            .children = supervisor->children,
                                            .child_count = supervisor->child_count,
                                            .restart = supervise_on_restart,
                                            .stop = supervise_on_stop,
                                            .arg = supervisor};
    if (control_open(&supervisor->control, &options) != 0) {
        LOG_ERROR("control_open_failed", LOG_STR("folder", options.run_dir), LOG_ERRNO(errno));
        return;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = supervisor};
    CHECK(epoll_ctl(supervisor->epoll_fd, EPOLL_CTL_ADD, control_fd(supervisor->control), &event) ==
          0);
}

/* ---- what wakes the loop -----------------------------------------------------------------------
 */

static void supervise_reload(struct supervisor *supervisor)
{
    if (reload_file(supervisor->options.file, supervisor->options.node->self->id) != 0)
        return;
    int fd = config_file_share(supervisor->options.file);
    for (unsigned i = 0; i < supervisor->child_count; i++) {
        struct child *child = &supervisor->children[i];
        if (child->control_fd >= 0 && (fd < 0 || child_tell(child, PROC_CONTROL_RELOAD, fd) != 0))
            LOG_WARN("config_handover_failed", LOG_STR("child", child->name), LOG_ERRNO(errno));
    }
    if (fd >= 0)
        close(fd);
}

static void supervise_on_control(struct supervisor *supervisor, struct child *child)
{
    enum child_event event;
    for (unsigned i = 0; i < SUPERVISE_WORDS_MAX && child_hear(child, &event); i++) {
        supervise_event(supervisor, child, event);
        if (event == CHILD_EVENT_YIELDED && child->proc == PROC_RAFT &&
            supervisor->yield_until_ms != 0)
            supervise_begin_rounds(supervisor);
    }
}

static void supervise_ended(struct supervisor *supervisor, struct child *child, int status)
{
    bool clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    bool gave_up = WIFEXITED(status) && WEXITSTATUS(status) == PROC_EXIT_STOP_NODE;
    supervise_on_control(supervisor, child); /* its last words: it may have been ready */
    child_close(child);
    LOG_AT(clean || supervisor->stopping ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "child_exited",
           LOG_STR("child", child->name), LOG_U64("child_pid", (uint64_t)child->pid),
           WIFSIGNALED(status) ? LOG_U64("signal", (uint64_t)WTERMSIG(status))
                               : LOG_U64("status", (uint64_t)WEXITSTATUS(status)));
    child->pid = 0;
    if (child->state != CHILD_STATE_STOPPED) /* abandoned, and ended after all */
        supervise_apply(supervisor, child, gave_up ? CHILD_EVENT_GAVE_UP : CHILD_EVENT_EXITED,
                        clean && child->served);
}

static void supervise_reap(struct supervisor *supervisor)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        for (unsigned i = 0; i < supervisor->child_count; i++)
            if (supervisor->children[i].pid == pid) {
                supervise_ended(supervisor, &supervisor->children[i], status);
                break;
            }
}

static void supervise_on_signals(struct supervisor *supervisor)
{
    struct signalfd_siginfo info;
    while (read(supervisor->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGCHLD)
            supervise_reap(supervisor);
        else if (info.ssi_signo == SIGHUP)
            supervise_reload(supervisor);
        else
            supervise_stop_as_asked(supervisor);
    }
}

/* Without the board no worker can be started any more: all begin anew with another one. */
static void supervise_check_board(struct supervisor *supervisor)
{
    if (supervisor->stopping || node_has_board(supervisor->options.node))
        return;
    LOG_ERROR("shm_folder_lost", LOG_STR("folder", supervisor->options.node->paths.shm));
    supervise_stop(supervisor);
}

static void supervise_beat(struct supervisor *supervisor, uint64_t now)
{
    if (now < supervisor->beat_ms)
        return;
    supervisor->beat_ms = now + supervisor->options.limits->beat_ms;
    supervise_check_board(supervisor);
    for (unsigned i = 0; i < supervisor->child_count; i++) {
        struct child *child = &supervisor->children[i];
        if (child->state == CHILD_STATE_STARTING || child->state == CHILD_STATE_READY)
            supervise_event(supervisor, child, CHILD_EVENT_BEAT);
    }
}

static void supervise_timers(struct supervisor *supervisor)
{
    uint64_t now = clock_boot_ms();
    for (unsigned i = 0; i < supervisor->child_count; i++) {
        struct child *child = &supervisor->children[i];
        if (child->deadline_ms && now >= child->deadline_ms) {
            child->deadline_ms = 0;
            supervise_event(supervisor, child, CHILD_EVENT_TIMEOUT);
        }
    }
    supervise_beat(supervisor, now);
}

static uint64_t supervise_earlier(uint64_t next, uint64_t due)
{
    return due != 0 && due < next ? due : next;
}

static uint64_t supervise_next_ms(const struct supervisor *supervisor)
{
    uint64_t next = supervise_earlier(supervisor->beat_ms, supervisor->yield_until_ms);
    if (supervisor->control)
        next = supervise_earlier(next, control_due_ms(supervisor->control));
    for (unsigned i = 0; i < supervisor->child_count; i++) {
        next = supervise_earlier(next, supervisor->children[i].deadline_ms);
    }
    return next;
}

static void supervise_forgive_pause(struct supervisor *supervisor, uint64_t late_ms)
{
    LOG_WARN("supervisor_paused", LOG_U64("pause_ms", late_ms));
    for (unsigned i = 0; i < supervisor->child_count; i++)
        if (supervisor->children[i].deadline_ms)
            supervisor->children[i].deadline_ms += late_ms;
    if (supervisor->yield_until_ms)
        supervisor->yield_until_ms += late_ms;
    if (supervisor->stopping)
        supervisor->stop_began_ms += late_ms;
}

static void supervise_turn(struct supervisor *supervisor)
{
    struct epoll_event events[16];
    uint64_t due = supervise_next_ms(supervisor), now = clock_boot_ms();
    int count = epoll_wait(supervisor->epoll_fd, events, 16, due > now ? (int)(due - now) : 0);
    now = clock_boot_ms();
    if (now >= due + supervisor->options.limits->beat_ms) /* more than a busy machine's delay */
        supervise_forgive_pause(supervisor, now - due);
    for (int i = 0; i < count; i++) {
        if (events[i].data.ptr == supervisor)
            control_drain(supervisor->control);
        else if (events[i].data.ptr)
            supervise_on_control(supervisor, events[i].data.ptr);
        else
            supervise_on_signals(supervisor);
    }
    supervise_timers(supervisor);
    supervise_wait_for_yield(supervisor);
    if (supervisor->in_rounds)
        supervise_stop_next(supervisor);
    if (supervisor->control)
        control_look(supervisor->control, supervisor->stopping);
}

/* ---- begin and end -----------------------------------------------------------------------------
 */

static sigset_t supervise_signal_set(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    return set;
}

void supervise_hold_signals(void)
{
    sigset_t set = supervise_signal_set();
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    CHECK(signal(SIGTTOU, SIG_IGN) != SIG_ERR); /* --host puts its nodes into the background */
}

static void supervise_open(struct supervisor *supervisor)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    sigset_t set = supervise_signal_set();
    supervisor->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    supervisor->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    CHECK(supervisor->signal_fd >= 0 && supervisor->epoll_fd >= 0);
    CHECK(epoll_ctl(supervisor->epoll_fd, EPOLL_CTL_ADD, supervisor->signal_fd, &event) == 0);
    supervisor->beat_ms = clock_boot_ms() + supervisor->options.limits->beat_ms;
}

static void supervise_add(struct supervisor *supervisor, enum proc proc, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        CHECK(supervisor->child_count < SUPERVISE_CHILDREN_MAX);
        child_init(&supervisor->children[supervisor->child_count++], proc, i);
    }
}

static int supervise_status(const struct supervisor *supervisor)
{
    if (supervisor->failed)
        return 1;
    return supervisor->is_asked_to_stop ? 0 : SUPERVISE_AGAIN;
}

int supervise_node(const struct supervise_options *options)
{
    struct supervisor *supervisor = mem_alloc(sizeof(*supervisor));
    supervisor->options = *options;
    supervise_open(supervisor);
    supervise_add(supervisor, PROC_RAFT, 1);
    for (enum proc proc = PROC_FIRST_WORKER; proc <= PROC_LAST_WORKER; proc++)
        supervise_add(supervisor, proc, 1);
    supervise_add(supervisor, PROC_GATEWAY, options->node->gateway_count);
    LOG_INFO("node_starting", LOG_STR("data", options->node->paths.data));
    supervise_open_control(supervisor);
    supervise_on_signals(supervisor); /* those that waited; a stop among them starts nothing */
    for (unsigned i = 0; i < supervisor->child_count && !supervisor->stopping; i++)
        supervise_event(supervisor, &supervisor->children[i], CHILD_EVENT_START);
    if (supervisor->in_rounds)
        supervise_stop_next(supervisor);
    while (supervisor->round < CHILDREN_STOP_ROUNDS)
        supervise_turn(supervisor);
    LOG_INFO("node_stopped");
    int status = supervise_status(supervisor);
    if (supervisor->control)
        control_stopped(supervisor->control, supervisor->failed);
    control_close(&supervisor->control);
    close(supervisor->signal_fd);
    close(supervisor->epoll_fd);
    free(supervisor);
    return status;
}
