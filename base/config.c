/* config.c - reads cluster.yaml: walks the YAML tree along the table of settings. */
#include "base/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/config_table.h"
#include "base/error.h"

#define CONFIG_PATH_BYTES 256
#define CONFIG_LEVELS 4 /* of sections in the table, and one to spare */

struct section { /* one mapping being walked */
    const struct setting *settings;
    void *base;        /* struct that offsets refer to */
    const char *apart; /* key that somebody else reads; NULL: none */
    const char *shown; /* the same for messages, with the node's name */
    bool seen[CONFIG_SETTINGS_MAX];
    unsigned *lines; /* per setting; of the reader */
};

static unsigned config_line(const yaml_node_t *node)
{
    return (unsigned)node->start_mark.line + 1;
}

static const yaml_node_t *config_node_at(struct config_reader *reader, int id)
{
    return yaml_document_get_node(&reader->document, id);
}

/* The members of a section. A section of which everything is commented out is an empty one; false
 * after reporting any other value. */
static bool config_members(struct config_reader *reader, const yaml_node_t *value,
                           const char *shown, const yaml_node_t **out_map)
{
    *out_map = value->type == YAML_MAPPING_NODE ? value : NULL;
    if (*out_map || config_is_null(value))
        return true;
    config_report(reader, config_line(value), shown, "must be a section with keys of its own");
    return false;
}

/* The key's text; NULL after reporting a key that is no plain text or stands twice. */
static const char *config_key(struct config_reader *reader, const yaml_node_t *map,
                              const yaml_node_pair_t *pair, const char *shown)
{
    const yaml_node_t *key = config_node_at(reader, pair->key);
    char path[CONFIG_PATH_BYTES];
    if (key->type != YAML_SCALAR_NODE ||
        strlen((char *)key->data.scalar.value) != key->data.scalar.length) {
        config_report(reader, config_line(key), shown, "a key must be plain text");
        return NULL;
    }
    const char *text = (const char *)key->data.scalar.value;
    for (const yaml_node_pair_t *other = map->data.mapping.pairs.start; other < pair; other++) {
        const yaml_node_t *earlier = config_node_at(reader, other->key);
        if (earlier->type == YAML_SCALAR_NODE &&
            strcmp((const char *)earlier->data.scalar.value, text) == 0) {
            snprintf(path, sizeof(path), "%s%s", shown, text);
            config_report(reader, config_line(key), path, "stands twice, first in line %u",
                          config_line(earlier));
            return NULL;
        }
    }
    return text;
}

static const struct setting *config_find_setting(const struct section *section, const char *path)
{
    for (const struct setting *setting = section->settings; setting->path; setting++)
        if (strcmp(setting->path, path) == 0)
            return setting;
    return NULL;
}

/* Is there a setting below this path ("cache" for "cache.maxTTL")? */
static bool config_is_section(const struct section *section, const char *path)
{
    size_t len = strlen(path);
    for (const struct setting *setting = section->settings; setting->path; setting++)
        if (strncmp(setting->path, path, len) == 0 && setting->path[len] == '.')
            return true;
    return false;
}

static void config_walk(struct config_reader *reader, struct section *section,
                        const yaml_node_t *map, const char *prefix, unsigned depth);

static void config_walk_setting(struct config_reader *reader, struct section *section,
                                const struct setting *setting, const yaml_node_t *value,
                                const char *shown)
{
    bool null = config_is_null(value);
    const char *text =
        value->type == YAML_SCALAR_NODE && !null ? (const char *)value->data.scalar.value : "";
    ptrdiff_t index = setting - section->settings;
    bool stored = false;
    if (null && !setting->required)
        return; /* as if it did not stand there */
    if (value->type == YAML_SCALAR_NODE && !null && strlen(text) != value->data.scalar.length)
        config_report(reader, config_line(value), shown, "must not hold a NUL byte");
    else
        stored = config_store(reader, setting, section->base, shown, value, text);
    section->seen[index] = true;
    section->lines[index] = config_line(value);
    if (section->settings == config_settings)
        reader->wrong[index] = !stored;
}

static void config_walk_section(struct config_reader *reader, struct section *section,
                                const yaml_node_t *value, const char *path, const char *shown,
                                unsigned depth)
{
    char prefix[CONFIG_PATH_BYTES + 1];
    const yaml_node_t *map;
    if (strcmp(path, "tls") == 0)
        reader->tls_line = config_line(value);
    if (!config_members(reader, value, shown, &map) || !map)
        return;
    snprintf(prefix, sizeof(prefix), "%s.", path);
    config_walk(reader, section, map, prefix, depth + 1);
}

static void config_walk_pair(struct config_reader *reader, struct section *section,
                             const yaml_node_t *map, const yaml_node_pair_t *pair,
                             const char *prefix, unsigned depth)
{
    char path[CONFIG_PATH_BYTES], shown[CONFIG_PATH_BYTES + LIMIT_NODE_ID_BYTES];
    const yaml_node_t *value = config_node_at(reader, pair->value);
    snprintf(shown, sizeof(shown), "%s%s", section->shown, prefix);
    const char *key = config_key(reader, map, pair, shown);
    if (!key)
        return;
    snprintf(path, sizeof(path), "%s%s", prefix, key);
    snprintf(shown, sizeof(shown), "%s%s", section->shown, path);
    bool dotted = strchr(key, '.') != NULL; /* dots are ours: "cache.maxTTL" is no key of a file */
    const struct setting *setting = dotted ? NULL : config_find_setting(section, path);
    if (setting)
        config_walk_setting(reader, section, setting, value, shown);
    else if (!dotted && config_is_section(section, path))
        config_walk_section(reader, section, value, path, shown, depth);
    else
        config_report(reader, config_line(config_node_at(reader, pair->key)), shown, "unknown key");
}

// NOLINTNEXTLINE(misc-no-recursion): as deep as the table's paths
static void config_walk(struct config_reader *reader, struct section *section,
                        const yaml_node_t *map, const char *prefix, unsigned depth)
{
    CHECK(depth < CONFIG_LEVELS);
    for (const yaml_node_pair_t *pair = map->data.mapping.pairs.start;
         pair < map->data.mapping.pairs.top && !config_gave_up(reader); pair++) {
        const yaml_node_t *key = config_node_at(reader, pair->key);
        if (depth == 0 && section->apart && key->type == YAML_SCALAR_NODE &&
            strcmp((const char *)key->data.scalar.value, section->apart) == 0)
            config_key(reader, map, pair, ""); /* "nodes": read apart, but not twice */
        else
            config_walk_pair(reader, section, map, pair, prefix, depth);
    }
}

/* Defaults for what was not given, errors for what must be. */
static void config_complete(struct config_reader *reader, struct section *section, unsigned line)
{
    char shown[CONFIG_PATH_BYTES + LIMIT_NODE_ID_BYTES];
    for (unsigned i = 0; section->settings[i].path; i++) {
        const struct setting *setting = &section->settings[i];
        CHECK(i < (section->settings == config_settings ? CONFIG_SETTINGS_MAX
                                                        : CONFIG_NODE_SETTINGS_MAX));
        if (section->seen[i])
            continue;
        snprintf(shown, sizeof(shown), "%s%s", section->shown, setting->path);
        if (setting->required)
            config_report(reader, line, shown, "is missing");
        else if (setting->otherwise)
            config_store(reader, setting, section->base, shown, NULL, setting->otherwise);
    }
}

static bool config_node_id_is_good(const char *id)
{
    size_t len = strlen(id);
    return len > 0 && len < LIMIT_NODE_ID_BYTES && strcmp(id, ".") != 0 && strcmp(id, "..") != 0 &&
           strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

static void config_read_node(struct config_reader *reader, struct config *config,
                             const yaml_node_t *map, const yaml_node_pair_t *pair)
{
    char shown[CONFIG_PATH_BYTES];
    const char *id = config_key(reader, map, pair, "nodes.");
    const yaml_node_t *value = config_node_at(reader, pair->value), *members;
    unsigned line = config_line(config_node_at(reader, pair->key));
    if (!id)
        return;
    snprintf(shown, sizeof(shown), "nodes.%.64s", id);
    if (!config_node_id_is_good(id)) {
        config_report(reader, line, shown,
                      "a node id must have 1 to %d letters, digits, '.', '_' or '-'",
                      LIMIT_NODE_ID_BYTES - 1);
        return;
    }
    if (!config_members(reader, value, shown, &members))
        return;
    unsigned *lines = reader->node_lines[config->node_count];
    struct config_node *node = &config->nodes[config->node_count++];
    node->id = mem_copy_string(id);
    snprintf(shown, sizeof(shown), "nodes.%s.", id);
    struct section section = {
        .settings = config_node_settings, .base = node, .shown = shown, .lines = lines};
    if (members)
        config_walk(reader, &section, members, "", 0);
    config_complete(reader, &section, line);
}

static void config_read_nodes(struct config_reader *reader, struct config *config,
                              const yaml_node_t *root)
{
    const yaml_node_t *nodes = NULL;
    for (const yaml_node_pair_t *pair = root->data.mapping.pairs.start;
         !nodes && pair < root->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = config_node_at(reader, pair->key);
        if (key->type == YAML_SCALAR_NODE &&
            strcmp((const char *)key->data.scalar.value, "nodes") == 0)
            nodes = config_node_at(reader, pair->value);
    }
    if (!nodes) {
        config_report(reader, 1, "nodes", "is missing");
        return;
    }
    if (nodes->type != YAML_MAPPING_NODE) {
        config_report(reader, config_line(nodes), "nodes", "must be a section with a node per key");
        return;
    }
    size_t count = (size_t)(nodes->data.mapping.pairs.top - nodes->data.mapping.pairs.start);
    if (count == 0 || count > LIMIT_NODES) {
        config_report(reader, config_line(nodes), "nodes", "must name 1 to %d nodes, has %zu",
                      LIMIT_NODES, count);
        return;
    }
    config->nodes = mem_alloc(count * sizeof(config->nodes[0]));
    for (size_t i = 0; i < count; i++)
        config_read_node(reader, config, nodes, nodes->data.mapping.pairs.start + i);
}

static void config_read_document(struct config_reader *reader, struct config *config)
{
    const yaml_node_t *root = yaml_document_get_root_node(&reader->document);
    if (!root || root->type != YAML_MAPPING_NODE) {
        config_report(reader, 1, "", "must be a mapping of settings (key: value)");
        return;
    }
    struct section section = {.settings = config_settings,
                              .base = config,
                              .apart = "nodes",
                              .shown = "",
                              .lines = reader->lines};
    config_walk(reader, &section, root, "", 0);
    config_complete(reader, &section, 1);
    config->tls.enabled = reader->tls_line > 0;
    config_read_nodes(reader, config, root);
    if (config_gave_up(reader))
        return;
    config_settle(reader, config);
    config_check(reader, config);
}

/* Some editors begin a file with a byte order mark, which says nothing in UTF-8. */
static struct slice config_skip_mark(struct slice text)
{
    static const char mark[] = "\xef\xbb\xbf";
    size_t len = sizeof(mark) - 1;
    if (text.len < len || memcmp(text.data, mark, len) != 0)
        return text;
    return slice_of((const char *)text.data + len, text.len - len);
}

int config_parse(struct config *config, struct slice text, const char *name,
                 config_error_fn *report, void *arg)
{
    struct config_reader reader = {.name = name, .report = report, .arg = arg};
    yaml_parser_t parser;
    *config = (struct config){0};
    text = config_skip_mark(text);
    if (!config_scan(&reader, text))
        return E_INVALID;
    config_parser_init(&parser, text);
    if (yaml_parser_load(&parser, &reader.document)) {
        config_read_document(&reader, config);
        yaml_document_delete(&reader.document);
    } else {
        config_report_yaml(&reader, &parser, text); /* an alias of nothing */
    }
    yaml_parser_delete(&parser);
    if (reader.errors == 0)
        return 0;
    config_fini(config);
    return E_INVALID;
}

static void config_free_settings(const struct setting *settings, void *base)
{
    for (; settings->path; settings++) {
        char *at = (char *)base + settings->offset;
        if (settings->kind == SETTING_TEXT || settings->kind == SETTING_NAME)
            free(*(char **)at);
        else if (settings->kind == SETTING_ADDRESS)
            free(((struct config_address *)at)->host);
    }
}

void config_fini(struct config *config)
{
    config_free_settings(config_settings, config);
    for (unsigned i = 0; i < config->sessions.allowed_origin_count; i++)
        free(config->sessions.allowed_origins[i]);
    free(config->sessions.allowed_origins);
    for (unsigned i = 0; i < config->node_count; i++) {
        config_free_settings(config_node_settings, &config->nodes[i]);
        free(config->nodes[i].id);
    }
    free(config->nodes);
    *config = (struct config){0};
}

const struct config_node *config_find_node(const struct config *config, const char *id)
{
    for (unsigned i = 0; i < config->node_count; i++)
        if (strcmp(config->nodes[i].id, id) == 0)
            return &config->nodes[i];
    return NULL;
}

unsigned config_gateway_count(const struct config *config)
{
    if (config->gateway.processes > 0)
        return config->gateway.processes;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    long half = cores / 2;
    return half < 1 ? 1 : half > LIMIT_GATEWAYS ? LIMIT_GATEWAYS : (unsigned)half;
}
