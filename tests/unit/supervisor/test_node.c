/* What a node needs and gives back: locks, folders, sockets; and the parts that are pure. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/path.h"
#include "insid-supervisor/dev.h"
#include "insid-supervisor/listen.h"
#include "insid-supervisor/node.h"
#include "insid-supervisor/reload.h"
#include "tests/unit/lib/ports.h"

static char folder[64];

static void make_folder(void)
{
    snprintf(folder, sizeof(folder), "/tmp/insi-node-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    cr_redirect_stderr();
}

static void remove_folder(void)
{
    cr_expect_eq(path_remove_tree(folder), 0);
}

static void report(const char *message, void *arg)
{
    (void)arg;
    cr_assert_fail("%s", message);
}

/* base: the folder of data and shm; more: further lines. */
static void parse(struct config *config, const char *base, const char *node, const char *more)
{
    char text[2048];
    int len = snprintf(text, sizeof(text),
                       "instanceSecret: i\nrootPrefix: p\ndefaultLeader: node0\n"
                       "dataDir: %s/data\nshmDir: %s/shm\ngateway: {processes: 2}\n%s"
                       "nodes:\n  node0: {raftBinding: 127.0.0.1:1, httpBinding: 127.0.0.1:%d, "
                       "nodeSecret: s%s}\n",
                       base, base, more, port_find(false), node);
    cr_assert_eq(config_parse(config, slice_of(text, (size_t)len), "test", report, NULL), 0);
}

TestSuite(node, .init = make_folder, .fini = remove_folder, .timeout = 30);

/* ---- locks ---- */

Test(node, a_second_one_on_the_same_folder_is_refused_until_the_first_lets_go)
{
    struct config config;
    struct node first, second;
    parse(&config, folder, "", "");
    cr_assert_eq(node_lock(&first, &config, "node0"), 0);
    uint64_t start_ms = clock_boot_ms();
    cr_assert_eq(node_lock(&second, &config, "node0"), E_BUSY);
    cr_assert_geq(clock_boot_ms() - start_ms, 400, "the first one might have been dying");
    cr_assert_lt(clock_boot_ms() - start_ms, 5000);
    cr_assert_eq(second.lock_fd, -1);
    node_release(&first);
    cr_assert_eq(node_lock(&second, &config, "node0"), 0);
    node_release(&second);
    config_fini(&config);
}

Test(node, a_lock_that_is_let_go_while_it_is_waited_for_is_taken_at_once)
{
    struct config config;
    struct node node;
    parse(&config, folder, "", "");
    cr_assert_eq(node_lock(&node, &config, "node0"), 0);
    int workers = node.workers_lock_fd;
    pid_t pid = fork(); /* a worker that lives on for a while with what it inherited */
    if (pid == 0) {
        usleep(200 * 1000);
        _exit(0);
    }
    close(node.lock_fd); /* insid is killed */
    close(workers);
    uint64_t start_ms = clock_boot_ms();
    cr_assert_eq(node_lock(&node, &config, "node0"), 0);
    cr_assert_geq(clock_boot_ms() - start_ms, 150);
    cr_assert_lt(clock_boot_ms() - start_ms, 5000);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
    node_release(&node);
    config_fini(&config);
}

Test(node, the_lock_names_its_holder)
{
    struct config config;
    struct node node;
    char path[128], text[32] = "";
    parse(&config, folder, "", "");
    cr_assert_eq(node_lock(&node, &config, "node0"), 0);
    snprintf(path, sizeof(path), "%s/data/node0/lock", folder);
    FILE *file = fopen(path, "re");
    cr_assert(file && fgets(text, sizeof(text), file));
    fclose(file);
    cr_assert_eq(strtol(text, NULL, 10), (long)getpid());
    node_release(&node);
    config_fini(&config);
}

Test(node, an_alarm_of_the_wait_never_comes_late)
{
    struct config config;
    struct node node, other;
    parse(&config, folder, "", "");
    cr_assert_eq(node_lock(&node, &config, "node0"), 0);
    cr_assert_eq(node_lock(&other, &config, "node0"), E_BUSY);
    usleep(200 * 1000); /* SIGALRM would end this process */
    node_release(&node);
    config_fini(&config);
}

/* ---- folders and sockets ---- */

Test(node, everything_it_makes_is_private_and_what_it_must_not_leave_goes)
{
    struct config config;
    struct node node;
    struct stat info;
    umask(077); /* as main does */
    parse(&config, folder, "", "");
    cr_assert_eq(node_lock(&node, &config, "node0"), 0);
    cr_assert_eq(node_prepare(&node), 0);
    const char *folders[] = {node.paths.data,        node.paths.log, node.paths.values,
                             node.paths.snapshots,   node.paths.run, node.paths.shm,
                             node.paths.volatile_map};
    for (unsigned i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        cr_assert_eq(stat(folders[i], &info), 0, "%s", folders[i]);
        cr_assert_eq(info.st_mode & 0777, 0700, "%s", folders[i]);
    }
    cr_assert_eq(stat(node.paths.board, &info), 0);
    cr_assert_eq(info.st_mode & 0777, 0600);
    cr_assert_geq(node.http_fds[0], 0);
    cr_assert_geq(node.http_fds[1], 0);
    cr_assert_eq(node.http_fds[2], -1);
    cr_assert_eq(node.admin_fd, -1);
    node_release(&node);
    cr_assert_neq(stat(node.paths.shm, &info), 0);
    cr_assert_eq(stat(node.paths.data, &info), 0, "the data stay");
    config_fini(&config);
}

Test(node, sockets_of_killed_workers_go_at_the_next_start)
{
    struct config config;
    struct node node;
    char run[128], path[192];
    parse(&config, folder, "", "");
    snprintf(run, sizeof(run), "%s/data/node0/run", folder);
    cr_assert_eq(path_make_folder(run), 0);
    snprintf(path, sizeof(path), "%s/raft-storage0.sock", run);
    FILE *file = fopen(path, "we");
    cr_assert_not_null(file);
    fclose(file);
    cr_assert_eq(node_lock(&node, &config, "node0"), 0);
    cr_assert_eq(node_prepare(&node), 0);
    cr_assert_neq(access(path, F_OK), 0);
    node_release(&node);
    config_fini(&config);
}

Test(node, a_folder_that_others_may_write_to_is_made_private)
{
    struct config config;
    struct node node;
    struct stat info;
    char path[128];
    parse(&config, folder, "", "");
    snprintf(path, sizeof(path), "%s/data/node0", folder);
    cr_assert_eq(path_make_folder(path), 0);
    cr_assert_eq(chmod(path, 0777), 0);
    cr_assert_eq(node_lock(&node, &config, "node0"), 0);
    cr_assert_eq(stat(path, &info), 0);
    cr_assert_eq(info.st_mode & 0777, 0700);
    node_release(&node);
    config_fini(&config);
}

/* /dev/shm is everybody's: somebody may have made our folder before us. */
Test(node, a_folder_that_belongs_to_another_user_is_refused)
{
    struct config config;
    struct node node;
    char path[128];
    if (geteuid() != 0)
        cr_skip_test("only root can make such a folder");
    parse(&config, folder, "", "");
    snprintf(path, sizeof(path), "%s/data/node0", folder);
    cr_assert_eq(path_make_folder(path), 0);
    cr_assert_eq(chown(path, 65534, 65534), 0);
    cr_assert_eq(node_lock(&node, &config, "node0"), E_IO);
    config_fini(&config);
}

Test(node, a_folder_on_tmpfs_that_another_insid_holds_is_left_alone)
{
    struct config config;
    struct node node;
    struct stat info;
    char path[PATH_BYTES + 16];
    parse(&config, folder, "", "");
    cr_assert_eq(node_lock(&node, &config, "node0"), 0);
    cr_assert_eq(path_make_folder(node.paths.shm), 0);
    int other = open(node.paths.shm, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    snprintf(path, sizeof(path), "%s/board", node.paths.shm);
    close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    cr_assert_eq(flock(other, LOCK_EX), 0);
    cr_assert_eq(node_prepare(&node), E_BUSY);
    cr_assert_eq(stat(path, &info), 0);
    cr_assert_eq(info.st_size, 0, "another board lies there");
    close(other); /* that insid is gone */
    cr_assert_eq(node_lock(&node, &config, "node0"), 0);
    cr_assert_eq(node_prepare(&node), 0);
    cr_assert_eq(stat(path, &info), 0);
    cr_assert_gt(info.st_size, 0);
    node_release(&node);
    cr_assert_neq(stat(path, &info), 0);
    config_fini(&config);
}

Test(node, a_failed_start_gives_everything_back)
{
    struct config config;
    struct node node, again;
    struct stat info;
    int fds[1];
    parse(&config, folder, "", "");
    cr_assert_eq(listen_open(&config.nodes[0].http, "httpBinding", fds, 1), 0);
    cr_assert_eq(node_lock(&node, &config, "node0"), 0);
    cr_assert_eq(node_prepare(&node), E_IO, "its port is taken");
    cr_assert_neq(stat(node.paths.shm, &info), 0);
    listen_close(fds, 1);
    cr_assert_eq(node_lock(&again, &config, "node0"), 0);
    cr_assert_eq(node_prepare(&again), 0);
    node_release(&again);
    config_fini(&config);
}

Test(node, a_path_too_long_for_a_socket_is_found_before_anything_is_made)
{
    struct config config;
    char base[128];
    parse(&config, folder, "", "");
    cr_assert_eq(node_check_paths(&config, "node0", "c.yaml"), 0);
    config_fini(&config);
    memset(base, 'd', sizeof(base));
    base[0] = '/';
    base[100] = '\0';
    parse(&config, base, "", "");
    cr_assert_eq(node_check_paths(&config, "node0", "c.yaml"), E_TOO_LARGE);
    config_fini(&config);
    parse(&config, base, "", "runDir: /tmp/r\n");
    cr_assert_eq(node_check_paths(&config, "node0", "c.yaml"), 0);
    config_fini(&config);
}

/* ---- listening ---- */

static struct config_address address_of(char *host, unsigned port)
{
    return (struct config_address){host, (uint16_t)port};
}

Test(node, a_binding_is_shared_among_our_own_sockets_but_with_nobody_else)
{
    char host[] = "127.0.0.1";
    const struct config_address address = address_of(host, port_find(false));
    int fds[3], more[1] = {0};
    cr_assert_eq(listen_open(&address, "httpBinding", fds, 3), 0);
    for (unsigned i = 0; i < 3; i++) {
        int listens = 0;
        socklen_t len = sizeof(listens);
        cr_assert_eq(getsockopt(fds[i], SOL_SOCKET, SO_ACCEPTCONN, &listens, &len), 0);
        cr_assert(listens);
    }
    cr_assert_eq(listen_open(&address, "httpBinding", more, 1), E_IO);
    cr_assert_eq(more[0], -1);
    listen_close(fds, 3);
    cr_assert_eq(fds[0], -1);
    cr_assert_eq(listen_open(&address, "httpBinding", more, 1), 0, "free again");
    listen_close(more, 1);
}

Test(node, connections_that_ended_lately_do_not_hold_a_binding)
{
    char host[] = "127.0.0.1";
    const struct config_address address = address_of(host, port_find(false));
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(address.port),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fds[1];
    cr_assert_eq(listen_open(&address, "httpBinding", fds, 1), 0);
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(client, (struct sockaddr *)&to, sizeof(to)), 0);
    int server = accept(fds[0], NULL, NULL);
    cr_assert_geq(server, 0);
    close(server); /* this side goes to TIME_WAIT */
    close(client);
    listen_close(fds, 1);
    cr_assert_eq(listen_open(&address, "httpBinding", fds, 1), 0);
    listen_close(fds, 1);
}

Test(node, a_host_that_is_not_ours_is_an_error)
{
    char host[] = "192.0.2.1"; /* for documentation: nobody has it */
    const struct config_address address = address_of(host, port_find(false));
    int fds[2];
    cr_assert_eq(listen_open(&address, "httpBinding", fds, 2), E_IO);
    cr_assert_eq(fds[0], -1);
    cr_assert_eq(fds[1], -1);
}

/* ---- what a reload may change ---- */

static void expect_forbidden(const char *expected, const char *old_more, const char *new_more,
                             const char *old_node, const char *new_node)
{
    struct config old, fresh;
    parse(&old, folder, old_node, old_more);
    parse(&fresh, folder, new_node, new_more);
    fresh.nodes[0].http.port = old.nodes[0].http.port; /* each parse takes a port of its own */
    const char *found = reload_forbids(&old, &fresh, "node0");
    if (expected)
        cr_expect(found && strcmp(found, expected) == 0, "%s instead of %s", found, expected);
    else
        cr_expect_null(found, "%s", found);
    config_fini(&old);
    config_fini(&fresh);
}

Test(node, a_reload_may_change_limits_and_levels_but_no_places_secrets_or_processes)
{
    expect_forbidden(NULL, "", "", "", "");
    expect_forbidden(NULL, "", "limits: {maxBody: 3MiB, requestTimeout: 9s}\n", "", "");
    expect_forbidden(NULL, "", "logging: {level: debug}\n", "", "");
    expect_forbidden(NULL, "", "rateLimiters: {values: {limit: 5, burst: 5}}\n", "", "");
    expect_forbidden("logging.format", "", "logging: {format: json}\n", "", "");
    expect_forbidden("runDir", "", "runDir: /tmp/elsewhere\n", "", "");
    expect_forbidden("tls", "", "tls: {cert: a, key: b, ca: c}\n", "", "");
    expect_forbidden(NULL, "tls: {cert: a, key: b, ca: c}\n", "tls: {cert: d, key: b, ca: c}\n", "",
                     "");
    expect_forbidden("adminBinding", "", "", "", ", adminBinding: '127.0.0.1:2'");
    expect_forbidden("nodeSecret", "", "", "", "x");
}

static void expect_changed(const char *expected, void (*change)(struct config *config))
{
    struct config old, fresh;
    parse(&old, folder, "", "");
    parse(&fresh, folder, "", "");
    fresh.nodes[0].http.port = old.nodes[0].http.port;
    change(&fresh);
    const char *found = reload_forbids(&old, &fresh, "node0");
    cr_expect(found && strcmp(found, expected) == 0, "%s instead of %s", found, expected);
    config_fini(&old);
    config_fini(&fresh);
}

static void change_instance_secret(struct config *config)
{
    config->instance_secret[0] = 'X';
}
static void change_root_prefix(struct config *config)
{
    config->root_prefix[0] = 'X';
}
static void change_data_dir(struct config *config)
{
    config->data_dir[1] = 'X';
}
static void change_shm_dir(struct config *config)
{
    config->shm_dir[1] = 'X';
}
static void change_gateways(struct config *config)
{
    config->gateway.processes++;
}
static void change_raft_port(struct config *config)
{
    config->nodes[0].raft.port++;
}
static void change_http_port(struct config *config)
{
    config->nodes[0].http.port++;
}
static void rename_node(struct config *config)
{
    config->nodes[0].id[0] = 'X';
}

Test(node, each_setting_that_cannot_change_is_named)
{
    expect_changed("instanceSecret", change_instance_secret);
    expect_changed("rootPrefix", change_root_prefix);
    expect_changed("dataDir", change_data_dir);
    expect_changed("shmDir", change_shm_dir);
    expect_changed("gateway.processes", change_gateways);
    expect_changed("raftBinding", change_raft_port);
    expect_changed("httpBinding", change_http_port);
    expect_changed("nodes", rename_node);
}

/* ---- what is printed for pasting ---- */

static void expect_quoted(const char *text, const char *expected)
{
    char word[64];
    cr_expect(dev_quote(word, sizeof(word), text));
    cr_expect_str_eq(word, expected);
}

Test(node, a_path_is_printed_so_that_a_shell_reads_it_as_one_word)
{
    expect_quoted("/usr/local/bin/insic", "/usr/local/bin/insic");
    expect_quoted("/tmp/a b", "'/tmp/a b'");
    expect_quoted("it's", "'it'\\''s'");
    expect_quoted("$(rm)", "'$(rm)'");
    expect_quoted("~root", "'~root'");
    expect_quoted("", "''");
}

Test(node, a_word_that_does_not_fit_is_refused)
{
    char word[8];
    cr_expect(dev_quote(word, sizeof(word), "1234567"));
    cr_expect(!dev_quote(word, sizeof(word), "12345678"));
    cr_expect(dev_quote(word, sizeof(word), "a bcd"));
    cr_expect(!dev_quote(word, sizeof(word), "a bcde"));
    cr_expect(!dev_quote(word, sizeof(word), "a'''"));
    cr_expect(!dev_quote(word, 2, ""));
}
