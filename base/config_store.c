/* config_store.c - turns the text of one setting into its value, or says what would be right. */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/config_table.h"
#include "base/error.h"

#define CONFIG_ERRORS_MAX 100 /* reported per file; more would help nobody */

bool config_gave_up(const struct config_reader *reader)
{
    return reader->errors > CONFIG_ERRORS_MAX;
}

/* What stands in the file must not move the cursor of a terminal. */
static void config_make_printable(char *text)
{
    for (; *text; text++)
        if (iscntrl((unsigned char)*text))
            *text = '?';
}

void config_report(struct config_reader *reader, unsigned line, const char *path,
                   const char *format, ...)
{
    char what[512], message[2048], where[16] = "";
    va_list args;
    if (++reader->errors > CONFIG_ERRORS_MAX + 1)
        return;
    if (line > 0)
        snprintf(where, sizeof(where), ":%u", line);
    if (config_gave_up(reader)) {
        snprintf(message, sizeof(message), "%s%s: too many errors, the rest is not shown",
                 reader->name, where);
    } else {
        va_start(args, format);
        vsnprintf(what, sizeof(what), format, args);
        va_end(args);
        snprintf(message, sizeof(message), "%s%s: %s%s%s", reader->name, where, path,
                 path[0] ? ": " : "", what);
    }
    config_make_printable(message);
    reader->report(message, reader->arg);
}

bool config_is_null(const yaml_node_t *node)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    for (size_t i = 0; i < sizeof(nulls) / sizeof(nulls[0]); i++)
        if (strcmp((const char *)node->data.scalar.value, nulls[i]) == 0)
            return true;
    return false;
}

/* Digits only, at least one; false on overflow. Moves *at behind them. */
static bool config_digits(const char **at, const char *end, uint64_t *out)
{
    uint64_t value = 0;
    const char *begin = *at;
    for (; *at < end && isdigit((unsigned char)**at); ++*at)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(**at - '0'), &value))
            return false;
    *out = value;
    return *at > begin;
}

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit *config_unit(const struct unit *units, const char **at, const char *end)
{
    const char *begin = *at;
    while (*at < end && isalpha((unsigned char)**at))
        ++*at;
    for (; units->name; units++)
        if (strlen(units->name) == (size_t)(*at - begin) &&
            memcmp(units->name, begin, (size_t)(*at - begin)) == 0)
            return units;
    return NULL;
}

int config_parse_duration(struct slice text, uint64_t *out_ms)
{
    static const struct unit units[] = {
        {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {NULL, 0}};
    const char *at = text.data, *end = at + text.len;
    uint64_t total = 0, before = UINT64_MAX;
    if (text.len == 0)
        return E_INVALID;
    while (at < end) {
        uint64_t count;
        if (!config_digits(&at, end, &count))
            return E_INVALID;
        const struct unit *unit = config_unit(units, &at, end);
        if (!unit || unit->factor >= before ||
            __builtin_mul_overflow(count, unit->factor, &count) ||
            __builtin_add_overflow(total, count, &total))
            return E_INVALID;
        before = unit->factor; /* from large to small, each once: 1h30m */
    }
    *out_ms = total;
    return 0;
}

int config_parse_size(struct slice text, uint64_t *out_bytes)
{
    static const struct unit units[] = {
        {"", 1}, {"KiB", 1ull << 10}, {"MiB", 1ull << 20}, {"GiB", 1ull << 30}, {NULL, 0}};
    const char *at = text.data, *end = at + text.len;
    uint64_t count;
    if (text.len == 0 || !config_digits(&at, end, &count))
        return E_INVALID;
    const struct unit *unit = config_unit(units, &at, end);
    if (!unit || at != end || __builtin_mul_overflow(count, unit->factor, &count))
        return E_INVALID;
    *out_bytes = count;
    return 0;
}

static bool config_name_is_good(const char *name)
{
    size_t len = strlen(name);
    return len > 0 && len < CONFIG_NAME_BYTES && name[0] != '-' &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

/* A name, or an address of the family that its characters show. */
static bool config_host_is_good(const char *host, bool bracketed)
{
    unsigned char address[16];
    size_t len = strlen(host);
    if (bracketed)
        return inet_pton(AF_INET6, host, address) == 1;
    if (strspn(host, "0123456789.") == len)
        return inet_pton(AF_INET, host, address) == 1;
    return config_name_is_good(host);
}

/* "host:port" or "[v6]:port" */
static int config_parse_address(const char *text, struct config_address *out)
{
    char host[CONFIG_NAME_BYTES];
    const char *colon = strrchr(text, ':');
    uint64_t port;
    if (!colon)
        return E_INVALID;
    size_t len = (size_t)(colon - text);
    bool bracketed = len >= 2 && text[0] == '[' && colon[-1] == ']';
    const char *begin = bracketed ? text + 1 : text;
    len -= bracketed ? 2 : 0;
    if (len >= sizeof(host))
        return E_INVALID;
    memcpy(host, begin, len);
    host[len] = '\0';
    const char *at = colon + 1;
    const char *end = at + strlen(at);
    if (!config_host_is_good(host, bracketed) || !config_digits(&at, end, &port) || at != end ||
        port == 0 || port > 65535)
        return E_INVALID;
    out->host = mem_copy_string(host);
    out->port = (uint16_t)port;
    return 0;
}

static bool config_store_text(struct config_reader *reader, const struct setting *setting,
                              char **out, const char *path, unsigned line, const char *text)
{
    size_t len = strlen(text);
    if (len < setting->low || len > setting->high) {
        if (len == 0)
            config_report(reader, line, path, "must not be empty");
        else
            config_report(reader, line, path, "must have %llu to %llu characters, has %zu",
                          (unsigned long long)setting->low, (unsigned long long)setting->high, len);
        return false;
    }
    *out = mem_copy_string(text);
    return true;
}

static bool config_store_bool(struct config_reader *reader, bool *out, const char *path,
                              unsigned line, const char *text)
{
    *out = strcmp(text, "true") == 0;
    if (*out || strcmp(text, "false") == 0)
        return true;
    config_report(reader, line, path, "must be true or false, not '%.64s'", text);
    return false;
}

static bool config_store_choice(struct config_reader *reader, const struct setting *setting,
                                void *out, const char *path, unsigned line, const char *text)
{
    unsigned position = 0;
    const char *at = setting->choices;
    while (*at) {
        size_t len = strcspn(at, "|");
        if (strlen(text) == len && memcmp(at, text, len) == 0) {
            memcpy(out, &position, sizeof(position)); /* enums here are unsigned int */
            return true;
        }
        position++;
        at += len + (at[len] == '|');
    }
    config_report(reader, line, path, "must be one of %s, not '%.64s'", setting->choices, text);
    return false;
}

static bool config_store_amount(struct config_reader *reader, const struct setting *setting,
                                void *out, const char *path, unsigned line, const char *text)
{
    static const char *const shapes[] = {
        [SETTING_NUMBER] = "a whole number such as 100",
        [SETTING_SMALL] = "a whole number such as 100",
        [SETTING_DURATION] = "a duration such as 250ms, 30s, 5m or 1h30m",
        [SETTING_SIZE] = "a size such as 65536, 64KiB, 2MiB or 1GiB"};
    struct slice slice = slice_text(text);
    const char *at = text;
    uint64_t value;
    bool good;
    if (setting->kind == SETTING_DURATION)
        good = config_parse_duration(slice, &value) == 0;
    else if (setting->kind == SETTING_SIZE)
        good = config_parse_size(slice, &value) == 0;
    else
        good = config_digits(&at, text + slice.len, &value) && *at == '\0';
    if (!good) {
        config_report(reader, line, path, "must be %s, not '%.64s'", shapes[setting->kind], text);
        return false;
    }
    if (value < setting->low || value > setting->high) {
        const char *unit = setting->kind == SETTING_DURATION ? " ms"
                           : setting->kind == SETTING_SIZE   ? " bytes"
                                                             : "";
        config_report(reader, line, path, "must be between %llu and %llu%s, is %llu%s",
                      (unsigned long long)setting->low, (unsigned long long)setting->high, unit,
                      (unsigned long long)value, unit);
        return false;
    }
    if (setting->kind == SETTING_SMALL)
        *(uint32_t *)out = (uint32_t)value;
    else
        *(uint64_t *)out = value;
    return true;
}

static bool config_store_texts(struct config_reader *reader, struct config *config,
                               const char *path, const yaml_node_t *node)
{
    unsigned line = (unsigned)node->start_mark.line + 1;
    if (node->type != YAML_SEQUENCE_NODE) {
        config_report(reader, line, path, "must be a list such as [\"https://example.org\"]");
        return false;
    }
    size_t count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
    config->sessions.allowed_origins = mem_alloc((count + 1) * sizeof(char *));
    for (size_t i = 0; i < count; i++) {
        const yaml_node_t *item =
            yaml_document_get_node(&reader->document, node->data.sequence.items.start[i]);
        const char *text =
            item->type == YAML_SCALAR_NODE ? (const char *)item->data.scalar.value : "";
        if (!*text || config_is_null(item) || strlen(text) != item->data.scalar.length) {
            config_report(reader, (unsigned)item->start_mark.line + 1, path,
                          "every item must be a text that is not empty");
            return false;
        }
        config->sessions.allowed_origins[config->sessions.allowed_origin_count++] =
            mem_copy_string(text);
    }
    return true;
}

/* A quoted "true" or "100" is a text, and YAML users expect it to be one. */
static bool config_is_quoted(const struct setting *setting, const yaml_node_t *node)
{
    bool typed = setting->kind == SETTING_BOOL || setting->kind == SETTING_NUMBER ||
                 setting->kind == SETTING_SMALL;
    return typed && node && node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
}

static bool config_store_address(struct config_reader *reader, const struct setting *setting,
                                 struct config_address *out, const char *path, unsigned line,
                                 const char *text)
{
    if (!*text && !setting->required)
        return true;
    if (config_parse_address(text, out) == 0)
        return true;
    config_report(reader, line, path,
                  "must be an address such as 127.0.0.1:8443 or [::1]:8443, not '%.64s'", text);
    return false;
}

bool config_store(struct config_reader *reader, const struct setting *setting, void *base,
                  const char *path, const yaml_node_t *node, const char *text)
{
    unsigned line = node ? (unsigned)node->start_mark.line + 1 : 0;
    void *out = (char *)base + setting->offset;
    if (setting->kind == SETTING_TEXTS) {
        CHECK(node); /* it has no default */
        return config_store_texts(reader, base, path, node);
    }
    if (node && node->type != YAML_SCALAR_NODE) {
        config_report(reader, line, path, "must be a single value, not a %s",
                      node->type == YAML_SEQUENCE_NODE ? "list" : "section");
        return false;
    }
    if (config_is_quoted(setting, node)) {
        config_report(reader, line, path, "must be %s, without quotes",
                      setting->kind == SETTING_BOOL ? "true or false" : "a number");
        return false;
    }
    switch (setting->kind) {
    case SETTING_TEXT:
        return config_store_text(reader, setting, out, path, line, text);
    case SETTING_NAME:
        if (!*text || config_name_is_good(text))
            return config_store_text(reader, setting, out, path, line, text);
        config_report(reader, line, path, "must be a host name such as db.example.org");
        return false;
    case SETTING_BOOL:
        return config_store_bool(reader, out, path, line, text);
    case SETTING_CHOICE:
        return config_store_choice(reader, setting, out, path, line, text);
    case SETTING_ADDRESS:
        return config_store_address(reader, setting, out, path, line, text);
    default:
        return config_store_amount(reader, setting, out, path, line, text);
    }
}
