/* config_yaml.c - the file as YAML, before any setting is looked at.
 *
 * The document API would resolve aliases silently, stop after one document, and take a time that
 * grows with the square of the nesting; so the events are looked at first. What stands in the file
 * is what it means: no anchors, aliases or tags. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/config_table.h"

#define CONFIG_DEPTH_MAX 16 /* the table needs 4 */

/* The reader's errors (bad UTF-8, control characters) come with an offset instead of a line. */
static unsigned config_problem_line(const yaml_parser_t *parser, struct slice text)
{
    if (parser->error != YAML_READER_ERROR)
        return (unsigned)parser->problem_mark.line + 1;
    unsigned line = 1;
    const char *bytes = text.data;
    for (size_t i = 0; i < parser->problem_offset && i < text.len; i++)
        line += bytes[i] == '\n';
    return line;
}

/* Does the line where the parser stopped begin with a tab, the most common mistake of all? */
static bool config_problem_is_a_tab(const yaml_parser_t *parser, struct slice text)
{
    const char *at = text.data, *end = at + text.len;
    if (parser->error != YAML_SCANNER_ERROR)
        return false;
    for (size_t line = 0; line < parser->problem_mark.line; line++) {
        at = memchr(at, '\n', (size_t)(end - at));
        if (!at)
            return false;
        at++;
    }
    while (at < end && *at == ' ')
        at++;
    return at < end && *at == '\t';
}

void config_report_yaml(struct config_reader *reader, const yaml_parser_t *parser,
                        struct slice text)
{
    config_report(reader, config_problem_line(parser, text), "", "not valid YAML: %s%s",
                  parser->problem ? parser->problem : "unreadable",
                  config_problem_is_a_tab(parser, text) ? " (indent with spaces, not with tabs)"
                                                        : "");
}

void config_parser_init(yaml_parser_t *parser, struct slice text)
{
    CHECK(yaml_parser_initialize(parser));
    yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(parser, text.data, text.len);
}

/* Anchor and tag of an event that begins a node; NULL for others and where there is none. */
static void config_decorations(const yaml_event_t *event, const yaml_char_t **anchor,
                               const yaml_char_t **tag)
{
    *anchor = *tag = NULL;
    if (event->type == YAML_SCALAR_EVENT) {
        *anchor = event->data.scalar.anchor;
        *tag = event->data.scalar.tag;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        *anchor = event->data.sequence_start.anchor;
        *tag = event->data.sequence_start.tag;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        *anchor = event->data.mapping_start.anchor;
        *tag = event->data.mapping_start.tag;
    }
}

/* Reports what is YAML, but not ours. */
static void config_scan_event(struct config_reader *reader, const yaml_event_t *event,
                              unsigned documents)
{
    unsigned line = (unsigned)event->start_mark.line + 1;
    const yaml_char_t *anchor, *tag;
    config_decorations(event, &anchor, &tag);
    if (anchor || event->type == YAML_ALIAS_EVENT)
        config_report(reader, line, "", "anchors and aliases (& and *) are not supported");
    if (tag)
        config_report(reader, line, "", "tags (!) are not supported");
    if (event->type == YAML_DOCUMENT_START_EVENT && documents == 2)
        config_report(reader, line, "", "only one document is expected");
}

static int config_depth_change(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_MAPPING_START_EVENT:
    case YAML_SEQUENCE_START_EVENT:
        return 1;
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        return -1;
    default:
        return 0;
    }
}

bool config_scan(struct config_reader *reader, struct slice text)
{
    yaml_parser_t parser;
    yaml_event_t event;
    bool whole = false, readable = true;
    unsigned documents = 0;
    int depth = 0;
    config_parser_init(&parser, text);
    while (readable && !whole && !config_gave_up(reader)) {
        if (!yaml_parser_parse(&parser, &event)) {
            config_report_yaml(reader, &parser, text);
            break;
        }
        documents += event.type == YAML_DOCUMENT_START_EVENT;
        config_scan_event(reader, &event, documents);
        depth += config_depth_change(&event);
        if (depth > CONFIG_DEPTH_MAX) {
            config_report(reader, (unsigned)event.start_mark.line + 1, "",
                          "nested more than %d levels deep", CONFIG_DEPTH_MAX);
            readable = false;
        }
        whole = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    if (whole && documents == 0)
        config_report(reader, 1, "", "the file is empty");
    return whole && documents > 0;
}
