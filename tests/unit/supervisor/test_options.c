/* The command line of insid, and the configuration files it writes. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/path.h"
#include "insid-supervisor/config_file.h"
#include "insid-supervisor/options.h"

#define PARSE(options, ...)                                                                        \
    options_parse(options, (int)(sizeof((char *[]){__VA_ARGS__}) / sizeof(char *)),                \
                  (char *[]){__VA_ARGS__, NULL})

Test(options, each_mode_is_understood)
{
    char name[] = "insid", host[] = "--host", as[] = "--as", node[] = "node1", file[] = "x.yaml";
    char config[] = "--config", fresh[] = "--new-cfg", check[] = "--check-config";
    struct insid_options options;
    cr_assert_eq(PARSE(&options, name, host), 0);
    cr_assert_eq(options.mode, INSID_HOST);
    cr_assert_str_eq(options.config, "cluster.yaml");
    cr_assert_not(options.config_given);
    cr_assert_eq(PARSE(&options, name, as, node, config, file), 0);
    cr_assert_eq(options.mode, INSID_AS);
    cr_assert_str_eq(options.node, "node1");
    cr_assert_str_eq(options.config, "x.yaml");
    cr_assert_eq(PARSE(&options, name, fresh, file), 0);
    cr_assert_eq(options.mode, INSID_NEW_CONFIG);
    cr_assert_eq(PARSE(&options, name, check, config, file), 0);
    cr_assert_eq(options.mode, INSID_CHECK_CONFIG);
}

Test(options, wrong_usage_is_refused)
{
    char name[] = "insid", host[] = "--host", as[] = "--as", node[] = "node1", odd[] = "--frob";
    struct insid_options options;
    cr_redirect_stderr();
    cr_assert_eq(options_parse(&options, 1, (char *[]){name, NULL}), E_USAGE);
    cr_assert_eq(PARSE(&options, name, host, as, node), E_USAGE);
    cr_assert_eq(PARSE(&options, name, as), E_USAGE);
    cr_assert_eq(PARSE(&options, name, odd), E_USAGE);
    cr_assert_eq(PARSE(&options, name, host, node), E_USAGE);
}

Test(options, ctl_has_words_and_flags_of_its_own)
{
    char name[] = "insid", ctl[] = "ctl", status[] = "status", restart[] = "restart";
    char worker[] = "storage", stop[] = "stop", as[] = "--as", node[] = "node1";
    char config[] = "--config=x.yaml", help[] = "--help";
    struct insid_options options;
    cr_assert_eq(PARSE(&options, name, ctl, status), 0);
    cr_assert_eq(options.mode, INSID_CTL);
    cr_assert_str_eq(options.ctl, "status");
    cr_assert_null(options.worker);
    cr_assert_null(options.node);
    cr_assert_str_eq(options.config, "cluster.yaml");
    cr_assert_eq(PARSE(&options, name, ctl, as, node, restart, worker, config), 0);
    cr_assert_str_eq(options.ctl, "restart");
    cr_assert_str_eq(options.worker, "storage");
    cr_assert_str_eq(options.node, "node1");
    cr_assert_str_eq(options.config, "x.yaml");
    cr_assert(options.config_given);
    cr_assert_eq(PARSE(&options, name, ctl, stop, as, node), 0);
    cr_assert_str_eq(options.ctl, "stop");
    cr_assert_eq(PARSE(&options, name, ctl, help), 0);
    cr_assert_eq(options.mode, INSID_HELP);
}

Test(options, wrong_words_behind_ctl_are_refused)
{
    char name[] = "insid", ctl[] = "ctl", status[] = "status", restart[] = "restart";
    char worker[] = "storage", odd[] = "frob", as[] = "--as", host[] = "--host";
    struct insid_options options;
    cr_redirect_stderr();
    cr_assert_eq(PARSE(&options, name, ctl), E_USAGE);
    cr_assert_eq(PARSE(&options, name, ctl, odd), E_USAGE);
    cr_assert_eq(PARSE(&options, name, ctl, restart), E_USAGE);
    cr_assert_eq(PARSE(&options, name, ctl, status, worker), E_USAGE);
    cr_assert_eq(PARSE(&options, name, ctl, restart, worker, odd), E_USAGE);
    cr_assert_eq(PARSE(&options, name, ctl, status, as), E_USAGE);
    cr_assert_eq(PARSE(&options, name, ctl, status, host), E_USAGE);
    cr_assert_eq(PARSE(&options, name, status, ctl), E_USAGE);
}

Test(config_file, a_new_file_is_private_valid_and_never_overwrites)
{
    char folder[] = "/tmp/insi-sup-XXXXXX", path[64];
    struct config_file file;
    struct stat info;
    cr_redirect_stderr();
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/c.yaml", folder);
    cr_assert_eq(config_file_create(path, NULL), 0);
    cr_assert_eq(stat(path, &info), 0);
    cr_assert_eq(info.st_mode & 0777, 0600);
    cr_assert_eq(config_file_create(path, NULL), E_EXISTS);
    cr_assert_eq(config_file_read(&file, path, config_file_to_stderr, NULL), 0);
    cr_assert_eq(file.config.node_count, 3);
    config_file_fini(&file);
    cr_assert_eq(path_remove_tree(folder), 0);
}

Test(config_file, the_shared_text_is_sealed)
{
    char folder[] = "/tmp/insi-sup-XXXXXX", path[64], text[16];
    struct config_file file;
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/c.yaml", folder);
    cr_assert_eq(config_file_create(path, NULL), 0);
    cr_assert_eq(config_file_read(&file, path, config_file_to_stderr, NULL), 0);
    int fd = config_file_share(&file);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, "x", 1), -1);
    cr_assert_eq(ftruncate(fd, 0), -1);
    cr_assert_eq(pread(fd, text, sizeof(text), 0), (ssize_t)sizeof(text));
    cr_assert_eq(memcmp(text, file.text, sizeof(text)), 0);
    close(fd);
    config_file_fini(&file);
    cr_assert_eq(path_remove_tree(folder), 0);
}

Test(config_file, a_file_that_is_not_there_is_an_error)
{
    struct config_file file;
    cr_redirect_stderr();
    cr_assert_eq(config_file_read(&file, "/nonexistent/c.yaml", config_file_to_stderr, NULL), E_IO);
}
