/* log.h - one line per event, to stderr, as text or JSON.
 *
 *     LOG_INFO("leader_elected", LOG_U64("term", term), LOG_STR("leader", name));
 *
 * text:
 *   2026-11-24T08:15:30.123Z info node=node0 process=raft event=leader_elected term=4 leader=node1
 * JSON, in one line:
 *   {"time":"2026-11-24T08:15:30.123Z","level":"info","node":"node0","process":"raft",
 *    "event":"leader_elected","term":4,"leader":"node1"}
 *
 * Events are lower_snake, noun then participle. A value is quoted in text when it holds anything
 * but printable ASCII without spaces, quotes and '='; control bytes are always escaped, so nothing
 * from outside can forge a line. A line is at most LOG_LINE_BYTES; longer values are cut with
 * "...". One write(2) per line, so lines of several processes on one pipe never mix. Secrets and
 * tokens are never handed to this module. Thread-safe after log_init.
 */
#ifndef INSI_BASE_LOG_H
#define INSI_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#define LOG_LINE_BYTES 2048

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

enum log_field_kind { LOG_FIELD_U64, LOG_FIELD_I64, LOG_FIELD_TEXT };

struct log_field {
    const char *key;
    enum log_field_kind kind;
    uint64_t number;  /* U64, or I64 by two's complement */
    const char *text; /* TEXT; NULL prints as "" */
};

#define LOG_U64(key_, value_)                                                                      \
    ((struct log_field){.key = (key_), .kind = LOG_FIELD_U64, .number = (uint64_t)(value_)})
#define LOG_I64(key_, value_)                                                                      \
    ((struct log_field){                                                                           \
        .key = (key_), .kind = LOG_FIELD_I64, .number = (uint64_t)(int64_t)(value_)})
#define LOG_STR(key_, value_)                                                                      \
    ((struct log_field){.key = (key_), .kind = LOG_FIELD_TEXT, .text = (value_)})
/* strerror of an errno, under the key "error" */
#define LOG_ERRNO(errno_) LOG_STR("error", log_errno_text(errno_))
/* What a function that may return "E_IO with errno" failed of: strerror of errno for E_IO, the text
 * of the code for any other */
#define LOG_CAUSE(code_, errno_) LOG_STR("error", log_cause_text(code_, errno_))

/* Both names are copied. Before log_init lines carry no node and process "insi". */
void log_init(const char *process, const char *node, enum log_level level, enum log_format format);
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *event, const struct log_field *fields,
               unsigned count);
const char *log_errno_text(int errno_value);
const char *log_cause_text(int code, int errno_value);

/* For tests: every finished line goes to the hook instead of stderr; NULL restores stderr. */
typedef void log_hook_fn(enum log_level level, const char *line, void *arg);
void log_set_hook(log_hook_fn *hook, void *arg);

#define LOG_AT(level_, event_, ...)                                                                \
    do {                                                                                           \
        if (log_enabled(level_)) {                                                                 \
            const struct log_field log_fields_[] = {{0}, ##__VA_ARGS__};                           \
            log_write(level_, event_, log_fields_ + 1,                                             \
                      sizeof(log_fields_) / sizeof(log_fields_[0]) - 1);                           \
        }                                                                                          \
    } while (0)

#define LOG_DEBUG(event_, ...) LOG_AT(LOG_LEVEL_DEBUG, event_, ##__VA_ARGS__)
#define LOG_INFO(event_, ...) LOG_AT(LOG_LEVEL_INFO, event_, ##__VA_ARGS__)
#define LOG_WARN(event_, ...) LOG_AT(LOG_LEVEL_WARN, event_, ##__VA_ARGS__)
#define LOG_ERROR(event_, ...) LOG_AT(LOG_LEVEL_ERROR, event_, ##__VA_ARGS__)

#endif
