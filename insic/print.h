/* print.h - what insic writes: results to stdout, diagnostics to stderr.
 *
 * Results are buffered; whether they arrived is known from print_finish alone (a full disk, a
 * closed pipe), so every command ends with it.
 */
#ifndef INSI_INSIC_PRINT_H
#define INSI_INSIC_PRINT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/slice.h"

/* "<word>: <text>" and a newline to stderr; the word in red on a terminal. Control characters in
 * the text are shown as '?': it may come from a server. */
void print_error(const char *word, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A line to stderr. */
void print_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Bytes as they are, and a newline. */
void print_bytes(FILE *out, struct slice bytes);

/* A JSON string's bytes, NUL included; any other JSON compactly. No newline. */
void print_json_value(FILE *out, const json_t *value);

/* A server's JSON on one line: line breaks between its tokens become spaces. */
void print_json_line(FILE *out, struct slice json);

/* "  <member>: <value>" per member of an object. */
void print_members(FILE *out, const json_t *object);

/* Objects as a table, aligned, with a heading; the columns are the given members, titles their
 * headings; both end with NULL. */
void print_table(FILE *out, const json_t *rows, const char *const *members,
                 const char *const *titles);

/* Is stdout a pipe or socket that nobody reads any more? */
bool print_reader_is_gone(void);

/* Has stdout failed? Worth asking before more is fetched. */
bool print_failed(void);

/* Flushes stdout. 0, or E_IO after saying so on stderr (silently for a reader that is gone), once:
 * then what failed is forgotten. */
int print_finish(void);

#endif
