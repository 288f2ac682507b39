/* options.c - the command line of insid. */
#include "insid-supervisor/options.h"

#include <getopt.h>
#include <stdio.h>

#include "base/error.h"

#define OPTIONS_TRY "Try 'insid --help'."

enum { OPTION_HOST = 1, OPTION_AS, OPTION_CONFIG, OPTION_NEW, OPTION_CHECK, OPTION_VERSION };

static const struct option options_long[] = {{"host", no_argument, NULL, OPTION_HOST},
                                             {"as", required_argument, NULL, OPTION_AS},
                                             {"config", required_argument, NULL, OPTION_CONFIG},
                                             {"new-cfg", required_argument, NULL, OPTION_NEW},
                                             {"check-config", no_argument, NULL, OPTION_CHECK},
                                             {"version", no_argument, NULL, OPTION_VERSION},
                                             {"help", no_argument, NULL, 'h'},
                                             {NULL, 0, NULL, 0}};

void options_print_help(void)
{
    printf("insid - the INSI server\n"
           "\n"
           "  insid --host [--config FILE]          every node of the file on this machine\n"
           "  insid --as NODE [--config FILE]       one node of the file\n"
           "  insid --new-cfg FILE                  write a commented configuration with fresh\n"
           "                                        secrets (mode 0600)\n"
           "  insid --check-config [--config FILE]  say what is wrong with a configuration\n"
           "  insid --version, --help\n"
           "\n"
           "FILE is cluster.yaml in the working directory when not given. --host without such a\n"
           "file starts a single development node with its data and secrets in ./insi-data.\n"
           "\n"
           "SIGTERM and SIGINT stop within 10 s; SIGHUP reads the configuration again.\n"
           "Exit status: 0 stopped as asked, 1 failed, 2 wrong usage or configuration.\n");
}

static int options_refuse(const char *what)
{
    fprintf(stderr, "insid: %s. %s\n", what, OPTIONS_TRY);
    return E_USAGE;
}

static bool options_set_mode(struct insid_options *options, bool *chosen, enum insid_mode mode)
{
    bool first = !*chosen || options->mode == mode;
    options->mode = mode;
    *chosen = true;
    return first;
}

static int options_finish(const struct insid_options *options, bool chosen)
{
    if (!chosen)
        return options_refuse(
            "one of --host, --as NODE, --new-cfg FILE or --check-config is needed");
    if (options->mode == INSID_NEW_CONFIG && options->config_given)
        return options_refuse("--new-cfg names the file itself and takes no --config");
    return 0;
}

int options_parse(struct insid_options *options, int argc, char **argv)
{
    bool chosen = false, alone = true;
    int option;
    *options = (struct insid_options){.config = "cluster.yaml"};
    optind = 1;
    while ((option = getopt_long(argc, argv, "h", options_long, NULL)) != -1) {
        switch (option) {
        case OPTION_HOST:
            alone &= options_set_mode(options, &chosen, INSID_HOST);
            break;
        case OPTION_AS:
            alone &= options_set_mode(options, &chosen, INSID_AS);
            options->node = optarg;
            break;
        case OPTION_CONFIG:
            options->config = optarg;
            options->config_given = true;
            break;
        case OPTION_NEW:
            alone &= options_set_mode(options, &chosen, INSID_NEW_CONFIG);
            options->new_config = optarg;
            break;
        case OPTION_CHECK:
            alone &= options_set_mode(options, &chosen, INSID_CHECK_CONFIG);
            break;
        case OPTION_VERSION:
            options->mode = INSID_VERSION;
            return 0;
        case 'h':
            options->mode = INSID_HELP;
            return 0;
        default: /* getopt has said what is wrong */
            fprintf(stderr, "%s\n", OPTIONS_TRY);
            return E_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "insid: unexpected argument '%s'. %s\n", argv[optind], OPTIONS_TRY);
        return E_USAGE;
    }
    if (!alone)
        return options_refuse("--host, --as, --new-cfg and --check-config exclude each other");
    return options_finish(options, chosen);
}
