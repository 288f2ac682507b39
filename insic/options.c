/* options.c - flags and words of the command line. */
#include "insic/options.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/config.h"
#include "base/error.h"
#include "insic/print.h"

enum flag_id {
    FLAG_CONFIG,
    FLAG_TARGET,
    FLAG_ROOT,
    FLAG_ENDPOINT,
    FLAG_KEY,
    FLAG_TIMEOUT,
    FLAG_OUTPUT,
    FLAG_HELP,
    FLAG_VERSION
};

struct flag {
    const char *name;
    enum flag_id id;
    bool with_value; /* "--flag value" or "--flag=value" */
    bool anywhere;   /* taken behind the command too */
    const char *example;
};

static const struct flag options_flags[] = {
    {"--config", FLAG_CONFIG, true, true, "--config cluster.yaml"},
    {"--target", FLAG_TARGET, true, true, "--target node0"},
    {"--root", FLAG_ROOT, false, true, "--root"},
    {"--endpoint", FLAG_ENDPOINT, true, true, "--endpoint http://127.0.0.1:8443"},
    {"--key", FLAG_KEY, true, true, "--key insi_..."},
    {"--timeout", FLAG_TIMEOUT, true, true, "--timeout 10s"},
    {"-o", FLAG_OUTPUT, true, true, "-o json"},
    {"--output", FLAG_OUTPUT, true, true, "--output json"},
    {"--help", FLAG_HELP, false, false, "--help"},
    {"-h", FLAG_HELP, false, false, "-h"},
    {"--version", FLAG_VERSION, false, false, "--version"},
    {NULL, FLAG_HELP, false, false, NULL},
};

/* The flag that a word is, with *value behind its '='; NULL: none. */
static const struct flag *options_find_flag(const char *word, const char **value)
{
    size_t len = strcspn(word, "=");
    for (const struct flag *flag = options_flags; flag->name; flag++)
        if (strlen(flag->name) == len && memcmp(flag->name, word, len) == 0) {
            *value = word[len] == '=' ? word + len + 1 : NULL;
            return flag;
        }
    return NULL;
}

static int options_refuse(const char *what, const char *word)
{
    print_error("Error", "%s '%s'.", what, word);
    print_note("Usage: insic [flags] <command> [arguments]; 'insic help' shows them all.");
    return E_USAGE;
}

static int options_set_timeout(struct options *options, const char *value)
{
    if (config_parse_duration(slice_text(value), &options->timeout_ms) != 0 ||
        options->timeout_ms == 0 || options->timeout_ms > OPTIONS_TIMEOUT_MAX_MS)
        return options_refuse("--timeout must be a duration from 1ms to 24h such as 10s, not",
                              value);
    return 0;
}

static int options_set_output(struct options *options, const char *value)
{
    options->json = strcmp(value, "json") == 0;
    if (!options->json && strcmp(value, "text") != 0)
        return options_refuse("-o must be text or json, not", value);
    return 0;
}

static int options_set(struct options *options, enum flag_id id, const char *value)
{
    switch (id) {
    case FLAG_CONFIG:
        options->config = value;
        return 0;
    case FLAG_TARGET:
        options->target = value;
        return 0;
    case FLAG_ROOT:
        options->root = true;
        return 0;
    case FLAG_ENDPOINT:
        options->endpoint = value;
        return 0;
    case FLAG_KEY:
        options->key = value;
        return 0;
    case FLAG_TIMEOUT:
        return options_set_timeout(options, value);
    case FLAG_OUTPUT:
        return options_set_output(options, value);
    case FLAG_HELP:
        options->help = true;
        return 0;
    case FLAG_VERSION:
    default:
        options->version = true;
        return 0;
    }
}

/* Takes the flag at *at, and its value; *at moves to the last word of it. */
static int options_take(struct options *options, const struct flag *flag, const char *value,
                        int argc, char **argv, int *at)
{
    if (!flag->with_value)
        return value ? options_refuse("this flag takes no value:", argv[*at])
                     : options_set(options, flag->id, "");
    if (!value && *at + 1 < argc)
        value = argv[++*at];
    if (!value || !*value)
        return options_refuse("a value is missing, as in", flag->example);
    return options_set(options, flag->id, value);
}

int options_parse(struct options *options, int argc, char **argv)
{
    bool flags = true; /* no "--" yet */
    *options = (struct options){.timeout_ms = OPTIONS_TIMEOUT_MS, .plain_from = UINT_MAX};
    options->words = mem_alloc(((unsigned)argc + 1) * sizeof(char *));
    for (int i = 1; i < argc; i++) {
        const char *value = NULL;
        const struct flag *flag = flags ? options_find_flag(argv[i], &value) : NULL;
        bool command_follows = options->word_count == 0;
        if (flag && (command_follows || flag->anywhere)) {
            int error = options_take(options, flag, value, argc, argv, &i);
            if (error)
                return error;
        } else if (flags && strcmp(argv[i], "--") == 0) {
            flags = false;
            options->plain_from = options->word_count;
        } else if (flags && command_follows && argv[i][0] == '-') {
            return options_refuse("unknown flag", argv[i]);
        } else {
            options->words[options->word_count++] = argv[i];
        }
    }
    if (options->target && options->endpoint) {
        print_error("Error", "--target and --endpoint exclude each other.");
        print_note("Usage: --target names a node of the configuration, --endpoint a URL.");
        return E_USAGE;
    }
    return 0;
}

void options_fini(struct options *options)
{
    free(options->words);
    options->words = NULL;
}
