/* main.c - insid: options, configuration, then one node or all nodes of the file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/version.h"
#include "insid-supervisor/config_file.h"
#include "insid-supervisor/host.h"
#include "insid-supervisor/node.h"
#include "insid-supervisor/options.h"
#include "insid-supervisor/supervise.h"

#define MAIN_DEV_FOLDER "./insi-data"
#define MAIN_DEV_CONFIG MAIN_DEV_FOLDER "/cluster.yaml"

static int main_exit_status(int error)
{
    return error == 0 ? 0 : error == E_INVALID || error == E_USAGE ? 2 : 1;
}

/* A file that cannot be read is a configuration error too. */
static int main_read_config(struct config_file *file, const char *path)
{
    return config_file_read(file, path) == 0 ? 0 : E_INVALID;
}

static int main_run_node(const struct insid_options *options)
{
    struct config_file file;
    struct node node;
    int error = main_read_config(&file, options->config);
    if (error)
        return main_exit_status(error);
    if (!config_find_node(&file.config, options->node)) {
        fprintf(stderr, "insid: %s names no node '%s'; its nodes:", options->config, options->node);
        for (unsigned i = 0; i < file.config.node_count; i++)
            fprintf(stderr, " %s", file.config.nodes[i].id);
        fprintf(stderr, "\n");
        config_file_fini(&file);
        return 2;
    }
    log_init("supervisor", options->node, file.config.logging.level, file.config.logging.format);
    prctl(PR_SET_DUMPABLE, 0);
    int status = 1;
    if (node_prepare(&node, &file.config, options->node) == 0) {
        status = supervise_node(&node, &file);
        node_release(&node);
    }
    config_file_fini(&file);
    return status;
}

static void main_print_first_steps(const struct config *config)
{
    const struct config_address *http = &config->nodes[0].http;
    printf("A development node: data and secrets in %s, configuration in %s.\n"
           "In another terminal, in this folder:\n"
           "\n"
           "  insic --root set greeting hello\n"
           "  insic --root get greeting\n"
           "  curl -H \"Authorization: Bearer $(insic --root -o json api add demo | sed -n "
           "'s/.*\"key\": *\"\\(insi_[^\"]*\\)\".*/\\1/p')\" http://%s:%u/db/api/v1/ping\n"
           "\n",
           MAIN_DEV_FOLDER, MAIN_DEV_CONFIG, http->host, http->port);
    fflush(stdout);
}

static int main_run_host(struct insid_options *options)
{
    struct config_file file;
    bool development = !options->config_given && access(options->config, F_OK) != 0;
    if (development) {
        options->config = MAIN_DEV_CONFIG;
        if (mkdir(MAIN_DEV_FOLDER, 0700) != 0 && access(MAIN_DEV_FOLDER, W_OK) != 0) {
            fprintf(stderr, "insid: cannot make folder %s\n", MAIN_DEV_FOLDER);
            return 1;
        }
        if (access(MAIN_DEV_CONFIG, F_OK) != 0 &&
            config_file_create(MAIN_DEV_CONFIG, MAIN_DEV_FOLDER) != 0)
            return 1;
    }
    int error = main_read_config(&file, options->config);
    if (error)
        return main_exit_status(error);
    if (development)
        main_print_first_steps(&file.config);
    int status = host_run(&file.config, options->config);
    config_file_fini(&file);
    return status;
}

static int main_check_config(const struct insid_options *options)
{
    struct config_file file;
    int error = main_read_config(&file, options->config);
    if (error)
        return main_exit_status(error);
    printf("%s is a valid configuration of %u nodes\n", options->config, file.config.node_count);
    config_file_fini(&file);
    return 0;
}

int main(int argc, char **argv)
{
    struct insid_options options;
    if (options_parse(&options, argc, argv) != 0)
        return 2;
    umask(077);
    switch (options.mode) {
    case INSID_HOST:
        return main_run_host(&options);
    case INSID_AS:
        return main_run_node(&options);
    case INSID_NEW_CONFIG:
        return config_file_create(options.new_config, NULL) == 0 ? 0 : 1;
    case INSID_CHECK_CONFIG:
        return main_check_config(&options);
    case INSID_VERSION:
        printf("insid %s\n", INSI_VERSION);
        return 0;
    case INSID_HELP:
        options_print_help();
        return 0;
    }
    return 2;
}
