/* config_table.h - every setting of cluster.yaml, once: name, type, range, default, where it goes.
 * Private to the config_*.c files. Keys are written as paths ("cache.maxTTL"). */
#ifndef INSI_BASE_CONFIG_TABLE_H
#define INSI_BASE_CONFIG_TABLE_H

#include <yaml.h>

#include "base/config.h"

#define CONFIG_SETTINGS_MAX 64
#define CONFIG_NODE_SETTINGS_MAX 8
#define CONFIG_NAME_BYTES 254 /* a host name and a NUL */

enum setting_kind {
    SETTING_TEXT,     /* char * */
    SETTING_NAME,     /* char *, a host's name or empty */
    SETTING_BOOL,     /* bool */
    SETTING_NUMBER,   /* uint64_t */
    SETTING_SMALL,    /* uint32_t / unsigned */
    SETTING_DURATION, /* uint64_t, ms */
    SETTING_SIZE,     /* uint64_t, bytes */
    SETTING_ADDRESS,  /* struct config_address */
    SETTING_CHOICE,   /* enum; choices "a|b|c" in the order of the enumerators */
    SETTING_TEXTS     /* sessions.allowedOrigins only */
};

struct setting {
    const char *path;
    enum setting_kind kind;
    size_t offset;
    bool required;
    uint64_t low, high;    /* of numbers, durations, sizes; lengths of texts */
    const char *otherwise; /* default as it would stand in the file; NULL: none */
    const char *choices;
};

extern const struct setting config_settings[];      /* of the file; ends with path NULL */
extern const struct setting config_node_settings[]; /* of one node; ends with path NULL */

struct config_reader {
    const char *name;
    config_error_fn *report;
    void *arg;
    unsigned errors;
    unsigned lines[CONFIG_SETTINGS_MAX]; /* where each of config_settings stood; 0: not given */
    bool wrong[CONFIG_SETTINGS_MAX];     /* given, and refused */
    unsigned tls_line;                   /* where the tls section stood; 0: there is none */
    unsigned node_lines[LIMIT_NODES][CONFIG_NODE_SETTINGS_MAX]; /* the same, of each node's */
    yaml_document_t document;
};

/* Reports "<name>:<line>: <path>: <what>"; line 0 leaves the line out. */
void config_report(struct config_reader *reader, unsigned line, const char *path,
                   const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Parses one scalar of a file or a default into the struct at base. False after reporting. */
bool config_store(struct config_reader *reader, const struct setting *setting, void *base,
                  const char *path, const yaml_node_t *node, const char *text);

/* So many errors that further ones would help nobody: every loop over the file ends. */
bool config_gave_up(const struct config_reader *reader);

/* Nothing, "~" or "null", without quotes. */
bool config_is_null(const yaml_node_t *node);

/* Reads the file once as YAML and reports what is none, or is YAML that we do not take. False when
 * there is no document that could be walked. */
bool config_scan(struct config_reader *reader, struct slice text);
void config_parser_init(yaml_parser_t *parser, struct slice text);
void config_report_yaml(struct config_reader *reader, const yaml_parser_t *parser,
                        struct slice text);

/* Defaults that depend on other settings. */
void config_settle(const struct config_reader *reader, struct config *config);

/* What no single setting shows: bindings, secrets, relations. */
void config_check(struct config_reader *reader, const struct config *config);

#endif
