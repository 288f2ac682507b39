/* options.h - the command line of insic: flags and words.
 *
 *   insic [flags] <command> [arguments]
 *
 * Flags stand before the command; the known ones are also taken after it. What begins with a dash
 * behind the command and is none of them is an argument like any other (a negative number, a
 * value), and "--" ends the flags for good.
 */
#ifndef INSI_INSIC_OPTIONS_H
#define INSI_INSIC_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#define OPTIONS_TIMEOUT_MS 10000
#define OPTIONS_TIMEOUT_MAX_MS (24ull * 3600 * 1000)

struct options {
    const char *config;   /* --config; NULL: not given */
    const char *target;   /* --target; NULL: not given */
    const char *endpoint; /* --endpoint; NULL: not given */
    const char *key;      /* --key; NULL: not given */
    bool root;
    bool json; /* -o json */
    bool help, version;
    uint64_t timeout_ms;
    char **words; /* command and arguments, flags taken out; point into argv */
    unsigned word_count;
    unsigned plain_from; /* words from this one on stood behind "--": they are no flags */
};

/* 0, or E_USAGE after saying on stderr what is wrong and what would be right. options_fini frees in
 * both cases. */
int options_parse(struct options *options, int argc, char **argv);
void options_fini(struct options *options);

#endif
