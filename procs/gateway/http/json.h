/* json.h - JSON in and out, strictly.
 *
 * In: jansson, with duplicate names, trailing bytes, bad UTF-8 and lone surrogates refused. Depth
 * and the number of values are checked on the bytes before jansson sees them, so neither its stack
 * nor its memory depends on what a client sends. A string value may hold \u0000; names may not.
 *
 * Out: strings are escaped as little as JSON allows, so what came in comes back byte for byte after
 * decoding.
 */
#ifndef INSI_GATEWAY_JSON_H
#define INSI_GATEWAY_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

#define JSON_VALUES_MAX 16384 /* of one body: names, values and brackets; 400 beyond */
#define JSON_REASON_BYTES 160

enum json_verdict {
    JSON_OK,
    JSON_MALFORMED,
    JSON_TOO_MANY_VALUES /* JSON_VALUES_MAX */
};

/* Parses an object. On JSON_OK the caller ends it with json_decref. Otherwise reason says what is
 * wrong, without repeating what the client sent. */
enum json_verdict json_parse_object(struct slice text, json_t **out,
                                    char reason[JSON_REASON_BYTES]);

/* A string's bytes, borrowed from the value. False when it is not a string. */
bool json_text(const json_t *value, struct slice *out);

/* "-3" or -3: an integer of 64 bits in decimal, without sign '+', blanks or leading zeros. */
bool json_integer_text(const json_t *value, int64_t *out);

/* Whether these bytes are UTF-8: no overlong form, no surrogate, nothing beyond U+10FFFF. */
bool utf8_is_valid(struct slice text);

/* Appends a string with its quotes. The bytes must be valid UTF-8. E_TOO_LARGE. */
int json_append_string(struct buf *out, struct slice text);

/* Appends a string's content without the quotes, for pieces of a longer string. E_TOO_LARGE. */
int json_append_escaped(struct buf *out, struct slice text);

#endif
