/* main.c - insid: options, configuration, then one node or all nodes of the file. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/path.h"
#include "base/version.h"
#include "insid-supervisor/config_file.h"
#include "insid-supervisor/ctl.h"
#include "insid-supervisor/dev.h"
#include "insid-supervisor/host.h"
#include "insid-supervisor/node.h"
#include "insid-supervisor/options.h"
#include "insid-supervisor/spawn.h"
#include "insid-supervisor/supervise.h"

#define MAIN_FAILED 1
#define MAIN_MISUSED 2 /* wrong usage or configuration */

/* A file that cannot be read is a configuration error too. */
static int main_read_config(struct config_file *file, const char *path)
{
    return config_file_read(file, path, config_file_to_stderr, NULL) == 0 ? 0 : E_INVALID;
}

/* Reads the file and checks what parsing cannot: that every node's sockets fit, and that the
 * certificates are there. */
static int main_read_nodes(struct config_file *file, const char *path)
{
    int error = main_read_config(file, path);
    if (error)
        return error;
    for (unsigned i = 0; i < file->config.node_count && !error; i++)
        error = node_check_paths(&file->config, file->config.nodes[i].id, path);
    error = error ? error : node_check_certificates(&file->config, path);
    if (error)
        config_file_fini(file);
    return error;
}

/* Memory holds secrets. */
static void main_guard_memory(void)
{
    const struct rlimit none = {0, 0};
    CHECK(setrlimit(RLIMIT_CORE, &none) == 0);
#ifndef __SANITIZE_ADDRESS__ /* its leak check attaches to the process */
    CHECK(prctl(PR_SET_DUMPABLE, 0) == 0);
#endif
}

static void main_warn_of_readers(const char *config)
{
    struct stat info;
    if (stat(config, &info) == 0 && (info.st_mode & 077) != 0)
        LOG_WARN("config_open_to_others", LOG_STR("file", config),
                 LOG_STR("advice", "it holds secrets: chmod 600"));
}

/* Of a node under test: its workers may be stopped for as long as the test likes. */
static struct child_limits main_limits(void)
{
    struct child_limits limits = children_limits;
    const char *text = getenv("INSI_TEST_HANG_MS");
    unsigned long long hang_ms = text ? strtoull(text, NULL, 10) : 0;
    if (hang_ms > 0)
        limits.answer_ms = hang_ms;
    return limits;
}

static int main_supervise_once(struct config_file *file, const char *id, const char *workers)
{
    struct node node;
    if (node_lock(&node, &file->config, id) != 0)
        return MAIN_FAILED;
    supervise_hold_signals();
    if (node_prepare(&node) != 0)
        return MAIN_FAILED;
    const struct child_limits limits = main_limits();
    const struct supervise_options options = {
        .node = &node, .file = file, .workers = workers, .limits = &limits};
    int status = supervise_node(&options);
    node_release(&node);
    return status;
}

static int main_supervise(struct config_file *file, const char *id)
{
    char workers[PATH_BYTES];
    if (spawn_find_workers(workers) != 0)
        return MAIN_FAILED;
    int status;
    do
        status = main_supervise_once(file, id, workers);
    while (status == SUPERVISE_AGAIN);
    return status;
}

/* Says so when the file has no such node. */
static bool main_knows_node(const struct config_file *file, const char *node)
{
    if (config_find_node(&file->config, node))
        return true;
    fprintf(stderr, "insid: %s names no node '%s'; its nodes:", file->path, node);
    for (unsigned i = 0; i < file->config.node_count; i++)
        fprintf(stderr, " %s", file->config.nodes[i].id);
    fprintf(stderr, "\n");
    return false;
}

static int main_run_node(const struct insid_options *options)
{
    struct config_file file;
    if (main_read_config(&file, options->config) != 0)
        return MAIN_MISUSED;
    int status = MAIN_MISUSED;
    if (main_knows_node(&file, options->node) &&
        node_check_paths(&file.config, options->node, options->config) == 0 &&
        node_check_certificates(&file.config, options->config) == 0) {
        log_init("supervisor", options->node, file.config.logging.level,
                 file.config.logging.format);
        main_guard_memory();
        main_warn_of_readers(options->config);
        status = main_supervise(&file, options->node);
    }
    config_file_fini(&file);
    return status;
}

/* Without a file of its own in the working directory, a node is the development node. */
static bool main_is_development(const struct insid_options *options)
{
    return !options->config_given && access(options->config, F_OK) != 0;
}

static int main_run_ctl(struct insid_options *options)
{
    struct config_file file;
    if (main_is_development(options) && access(DEV_CONFIG, F_OK) == 0)
        options->config = DEV_CONFIG;
    if (main_read_config(&file, options->config) != 0)
        return MAIN_MISUSED;
    const struct ctl_request request = {.config = &file.config,
                                        .config_name = options->config,
                                        .node = options->node,
                                        .what = options->ctl,
                                        .worker = options->worker};
    int error =
        !options->node || main_knows_node(&file, options->node) ? ctl_run(&request) : E_USAGE;
    config_file_fini(&file);
    if (error == E_USAGE)
        return MAIN_MISUSED;
    return error ? MAIN_FAILED : 0;
}

static int main_run_host(struct insid_options *options)
{
    struct config_file file;
    bool development = main_is_development(options);
    if (development) {
        options->config = DEV_CONFIG;
        if (dev_make_config() != 0)
            return MAIN_FAILED;
    }
    if (main_read_nodes(&file, options->config) != 0)
        return MAIN_MISUSED;
    if (development)
        dev_print_first_steps(&file.config);
    log_init("host", "", file.config.logging.level, file.config.logging.format);
    main_guard_memory();
    int status = host_run(&file.config, options->config);
    config_file_fini(&file);
    return status;
}

static int main_check_config(const struct insid_options *options)
{
    struct config_file file;
    if (main_read_nodes(&file, options->config) != 0)
        return MAIN_MISUSED;
    printf("%s is a valid configuration of %u node%s\n", options->config, file.config.node_count,
           file.config.node_count == 1 ? "" : "s");
    config_file_fini(&file);
    return 0;
}

static int main_new_config(const struct insid_options *options)
{
    if (config_file_create(options->new_config, NULL) != 0)
        return MAIN_FAILED;
    printf("%s: three nodes with fresh secrets (mode 0600: keep it so)\n", options->new_config);
    return 0;
}

/* What is opened later must not become stdin, stdout or stderr. */
static void main_fill_standard_streams(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR); /* inherited like the real ones */
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

/* Whoever started us may have ignored or blocked signals; an ignored SIGCHLD would even take our
 * children's ends from us. */
static void main_reset_signals(void)
{
    static const int numbers[] = {SIGCHLD, SIGTERM, SIGINT,  SIGHUP, SIGQUIT,
                                  SIGALRM, SIGPIPE, SIGTTOU, SIGABRT};
    sigset_t none;
    sigemptyset(&none);
    for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        CHECK(signal(numbers[i], SIG_DFL) != SIG_ERR);
    CHECK(sigprocmask(SIG_SETMASK, &none, NULL) == 0);
}

static void main_on_early_stop(int number)
{
    (void)number;
    _exit(0);
}

/* Until the signals are held back there is nothing to stop: told to, we are done, and in order. */
static void main_stop_early(void)
{
    CHECK(signal(SIGTERM, main_on_early_stop) != SIG_ERR);
    CHECK(signal(SIGINT, main_on_early_stop) != SIG_ERR);
}

int main(int argc, char **argv)
{
    struct insid_options options;
    if (options_parse(&options, argc, argv) != 0)
        return MAIN_MISUSED;
    umask(077);
    main_fill_standard_streams();
    main_reset_signals();
    switch (options.mode) {
    case INSID_HOST:
        main_stop_early();
        return main_run_host(&options);
    case INSID_AS:
        main_stop_early();
        return main_run_node(&options);
    case INSID_NEW_CONFIG:
        return main_new_config(&options);
    case INSID_CHECK_CONFIG:
        return main_check_config(&options);
    case INSID_CTL:
        return main_run_ctl(&options);
    case INSID_VERSION:
        printf("insid %s\n", INSI_VERSION);
        return 0;
    case INSID_HELP:
        options_print_help();
        return 0;
    }
    return MAIN_MISUSED;
}
