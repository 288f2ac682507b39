/* options.c - the command line of insid. */
#include "insid-supervisor/options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

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
    printf(
        "insid - the INSI server\n"
        "\n"
        "  insid --host [--config FILE]          every node of the file on this machine\n"
        "  insid --as NODE [--config FILE]       one node of the file\n"
        "  insid --new-cfg FILE                  write a commented configuration with fresh\n"
        "                                        secrets (mode 0600)\n"
        "  insid --check-config [--config FILE]  say what is wrong with a configuration\n"
        "  insid --version, --help\n"
        "\n"
        "  insid ctl status [--as NODE]            processes of a node that runs here\n"
        "  insid ctl restart WORKER [--as NODE]    start a worker anew, and wait until it serves\n"
        "  insid ctl stop [--as NODE]              stop a node, and wait until it has ended\n"
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

#define OPTIONS_CTL_USAGE                                                                          \
    "usage: insid ctl status|restart <worker>|stop [--as NODE] [--config FILE]"

static int options_refuse_ctl(const char *what, const char *word)
{
    fprintf(stderr, "insid: ctl: %s%s%s\n" OPTIONS_CTL_USAGE "\n", what, word ? ": " : "",
            word ? word : "");
    return E_USAGE;
}

/* The words behind "ctl". */
static int options_finish_ctl(struct insid_options *options, char **words, int count)
{
    if (count == 0)
        return options_refuse_ctl("a command is missing", NULL);
    bool restart = strcmp(words[0], "restart") == 0;
    if (!restart && strcmp(words[0], "status") != 0 && strcmp(words[0], "stop") != 0)
        return options_refuse_ctl("unknown command", words[0]);
    if (restart && count == 1)
        return options_refuse_ctl(
            "restart needs a worker: raft, storage, cacheq, events, gateway or gateway0", NULL);
    if (count > (restart ? 2 : 1))
        return options_refuse_ctl("unexpected argument", words[restart ? 2 : 1]);
    options->ctl = words[0];
    options->worker = restart ? words[1] : NULL;
    return 0;
}

static int options_parse_ctl(struct insid_options *options, int argc, char **argv)
{
    static const struct option known[] = {{"as", required_argument, NULL, OPTION_AS},
                                          {"config", required_argument, NULL, OPTION_CONFIG},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    int option;
    options->mode = INSID_CTL;
    optind = 2;
    while ((option = getopt_long(argc, argv, "h", known, NULL)) != -1) {
        switch (option) {
        case OPTION_AS:
            options->node = optarg;
            break;
        case OPTION_CONFIG:
            options->config = optarg;
            options->config_given = true;
            break;
        case 'h':
            options->mode = INSID_HELP;
            return 0;
        default: /* getopt has said what is wrong */
            fprintf(stderr, OPTIONS_CTL_USAGE "\n");
            return E_USAGE;
        }
    }
    return options_finish_ctl(options, argv + optind, argc - optind);
}

int options_parse(struct insid_options *options, int argc, char **argv)
{
    bool chosen = false, alone = true;
    int option;
    *options = (struct insid_options){.config = "cluster.yaml"};
    if (argc > 1 && strcmp(argv[1], "ctl") == 0)
        return options_parse_ctl(options, argc, argv);
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
