/* log.c - formats one line per event and writes it with one system call. */
#include "base/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"

#define LOG_NAME_BYTES 64
#define LOG_END_BYTES 8 /* kept free for the closing brace and the newline */

static struct {
    char process[LOG_NAME_BYTES], node[LOG_NAME_BYTES];
    _Atomic int level;
    enum log_format format;
    log_hook_fn *hook;
    void *hook_arg;
} log_context = {.process = "insi", .level = LOG_LEVEL_INFO};

struct line {
    char text[LOG_LINE_BYTES];
    size_t len;
    bool full; /* the rest is dropped */
};

static const char *const log_level_names[] = {"debug", "info", "warn", "error"};

void log_init(const char *process, const char *node, enum log_level level, enum log_format format)
{
    snprintf(log_context.process, sizeof(log_context.process), "%s", process);
    snprintf(log_context.node, sizeof(log_context.node), "%s", node);
    log_context.format = format;
    log_context.level = (int)level;
}

void log_set_level(enum log_level level)
{
    log_context.level = (int)level;
}

bool log_enabled(enum log_level level)
{
    return (int)level >= log_context.level;
}

void log_set_hook(log_hook_fn *hook, void *arg)
{
    log_context.hook = hook;
    log_context.hook_arg = arg;
}

const char *log_errno_text(int errno_value)
{
    const char *text = strerrordesc_np(errno_value);
    return text ? text : "unknown error";
}

const char *log_cause_text(int code, int errno_value)
{
    return code == E_IO && errno_value != 0 ? log_errno_text(errno_value) : error_text(code);
}

/* Appends whole pieces only, so that an escape is never cut in two. */
static void log_put(struct line *line, const char *text, size_t len)
{
    if (line->full || line->len + len > sizeof(line->text) - LOG_END_BYTES) {
        line->full = true;
        return;
    }
    memcpy(line->text + line->len, text, len);
    line->len += len;
}

static void log_print(struct line *line, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void log_print(struct line *line, const char *format, ...)
{
    char text[128];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (len > 0)
        log_put(line, text, (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1);
}

/* Quoted and escaped; the same rules serve text and JSON. Bytes beyond ASCII are escaped too: a log
 * line must not depend on the encoding of what came from outside. */
static void log_quote(struct line *line, const char *text, size_t room)
{
    log_put(line, "\"", 1);
    for (const char *at = text; *at; at++) {
        unsigned char byte = (unsigned char)*at;
        if (line->len + 16 > room) {
            log_put(line, "...", 3);
            break;
        }
        if (byte == '"' || byte == '\\')
            log_print(line, "\\%c", byte);
        else if (byte < 0x20 || byte >= 0x7f)
            log_print(line, "\\u%04x", byte);
        else
            log_put(line, at, 1);
    }
    log_put(line, "\"", 1);
}

static bool log_is_plain(const char *text)
{
    if (!*text)
        return false;
    for (; *text; text++)
        if (*text <= ' ' || *text >= 0x7f || *text == '"' || *text == '=' || *text == '\\')
            return false;
    return true;
}

static void log_text_value(struct line *line, const char *text)
{
    size_t room = sizeof(line->text) - LOG_END_BYTES;
    if (log_is_plain(text) && strlen(text) + line->len + 16 < room)
        log_put(line, text, strlen(text));
    else
        log_quote(line, text, room);
}

static void log_json_key(struct line *line, const char *key)
{
    log_print(line, "%s\"%s\":", line->len > 1 ? "," : "", key);
}

static void log_field_put(struct line *line, const struct log_field *field)
{
    bool json = log_context.format == LOG_FORMAT_JSON;
    if (json)
        log_json_key(line, field->key);
    else
        log_print(line, " %s=", field->key);
    switch (field->kind) {
    case LOG_FIELD_U64:
        log_print(line, "%" PRIu64, field->number);
        break;
    case LOG_FIELD_I64:
        log_print(line, "%" PRId64, (int64_t)field->number);
        break;
    case LOG_FIELD_TEXT:
        if (json)
            log_quote(line, field->text ? field->text : "", sizeof(line->text) - LOG_END_BYTES);
        else
            log_text_value(line, field->text ? field->text : "");
        break;
    }
}

static void log_begin(struct line *line, enum log_level level, const char *event)
{
    char time[CLOCK_RFC3339_BYTES];
    clock_format_rfc3339(clock_wall_ms(), time);
    const struct log_field fields[] = {LOG_STR("node", log_context.node),
                                       LOG_STR("process", log_context.process),
                                       LOG_STR("event", event)};
    if (log_context.format == LOG_FORMAT_JSON)
        log_print(line, "{\"time\":\"%s\",\"level\":\"%s\"", time, log_level_names[level]);
    else
        log_print(line, "%s %s", time, log_level_names[level]);
    for (unsigned i = log_context.node[0] ? 0 : 1; i < 3; i++)
        log_field_put(line, &fields[i]);
}

void log_write(enum log_level level, const char *event, const struct log_field *fields,
               unsigned count)
{
    struct line line = {.len = 0};
    log_begin(&line, level, event);
    for (unsigned i = 0; i < count && !line.full; i++) {
        size_t before = line.len;
        log_field_put(&line, &fields[i]);
        if (line.full)
            line.len = before; /* a whole field or none: the line stays parsable */
    }
    if (log_context.format == LOG_FORMAT_JSON)
        line.text[line.len++] = '}';
    if (log_context.hook) {
        line.text[line.len] = '\0';
        log_context.hook(level, line.text, log_context.hook_arg);
        return;
    }
    line.text[line.len++] = '\n';
    ssize_t written = write(STDERR_FILENO, line.text, line.len);
    (void)written; /* nowhere to report it */
}
