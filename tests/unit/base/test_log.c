/* Log lines: one per event, and nothing from outside can forge one. */
#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"

static char line[LOG_LINE_BYTES + 1];
static unsigned lines;

static void keep(enum log_level level, const char *text, void *arg)
{
    (void)level;
    (void)arg;
    snprintf(line, sizeof(line), "%s", text);
    lines++;
}

static void start(enum log_format format)
{
    lines = 0;
    log_init("raft", "node0", LOG_LEVEL_INFO, format);
    log_set_hook(keep, NULL);
}

Test(log, text_has_time_level_node_process_event_and_fields)
{
    start(LOG_FORMAT_TEXT);
    LOG_INFO("leader_elected", LOG_U64("term", 4), LOG_STR("leader", "node 1"), LOG_I64("d", -2));
    cr_assert_str_eq(line + 24, " info node=node0 process=raft event=leader_elected term=4 "
                                "leader=\"node 1\" d=-2");
    cr_assert_eq(line[23], 'Z');
}

Test(log, a_cause_is_what_the_system_said_or_else_the_code)
{
    start(LOG_FORMAT_TEXT);
    LOG_INFO("file_missed", LOG_CAUSE(E_IO, ENOENT));
    cr_assert_not_null(strstr(line, "error=\"No such file or directory\""), "%s", line);
    LOG_INFO("file_missed", LOG_CAUSE(E_VERSION, ENOENT));
    cr_assert_not_null(strstr(line, "error=\"version mismatch\""), "%s", line);
    LOG_INFO("file_missed", LOG_CAUSE(E_IO, 0));
    cr_assert_not_null(strstr(line, "error=\"input/output error\""), "%s", line);
}

Test(log, json_is_json)
{
    start(LOG_FORMAT_JSON);
    LOG_WARN("odd_thing_seen", LOG_STR("text", "a\"b\\c\nd\x01"), LOG_U64("n", 7));
    json_error_t error;
    json_t *root = json_loads(line, 0, &error);
    cr_assert_not_null(root, "%s in %s", error.text, line);
    cr_assert_str_eq(json_string_value(json_object_get(root, "level")), "warn");
    cr_assert_str_eq(json_string_value(json_object_get(root, "event")), "odd_thing_seen");
    cr_assert_str_eq(json_string_value(json_object_get(root, "text")), "a\"b\\c\nd\x01");
    cr_assert_eq(json_integer_value(json_object_get(root, "n")), 7);
    json_decref(root);
}

Test(log, control_bytes_cannot_begin_a_new_line)
{
    start(LOG_FORMAT_TEXT);
    LOG_INFO("request_refused", LOG_STR("path", "x\n2026 info event=forged"));
    cr_assert_null(strchr(line, '\n'));
    cr_assert(strstr(line, "path=\"x\\u000a2026 info event=forged\""));
}

Test(log, long_values_are_cut_and_the_line_stays_whole)
{
    char *long_text = malloc(5000);
    memset(long_text, 'a', 4999);
    long_text[4999] = '\0';
    start(LOG_FORMAT_JSON);
    LOG_INFO("large_thing_seen", LOG_STR("text", long_text));
    cr_assert_leq(strlen(line), LOG_LINE_BYTES);
    json_t *root = json_loads(line, 0, NULL);
    cr_assert_not_null(root);
    const char *kept = json_string_value(json_object_get(root, "text"));
    cr_assert_str_eq(kept + strlen(kept) - 3, "...");
    json_decref(root);
    free(long_text);
}

Test(log, levels_below_the_limit_cost_no_line)
{
    start(LOG_FORMAT_TEXT);
    LOG_DEBUG("detail_seen");
    cr_assert_eq(lines, 0);
    log_set_level(LOG_LEVEL_DEBUG);
    LOG_DEBUG("detail_seen");
    cr_assert_eq(lines, 1);
}
