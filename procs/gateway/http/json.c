/* json.c - see json.h. */
#include "procs/gateway/http/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

/* ---- in --------------------------------------------------------------------------------------
 */

/* The position behind the string that begins at the quote `at`; end when it does not end. */
static const char *json_skip_string(const char *at, const char *end)
{
    const char *start = ++at;
    while (at < end) {
        const char *quote = memchr(at, '"', (size_t)(end - at));
        if (quote == NULL)
            return end;
        const char *before = quote;
        while (before > start && before[-1] == '\\')
            before--;
        if ((quote - before) % 2 == 0)
            return quote + 1;
        at = quote + 1;
    }
    return end;
}

/* Walks brackets and commas outside of strings. What is not JSON is found by the parser. */
static enum json_verdict json_measure(struct slice text, const char **what)
{
    const char *at = text.data, *end = at + text.len;
    unsigned depth = 0, values = 0;
    while (at < end) {
        switch (*at) {
        case '"':
            at = json_skip_string(at, end);
            continue;
        case '{':
        case '[':
            values++;
            if (++depth > LIMIT_JSON_DEPTH) {
                *what = "nested too deeply";
                return JSON_MALFORMED;
            }
            break;
        case '}':
        case ']':
            depth -= depth > 0;
            break;
        case ',':
        case ':':
            values++;
            break;
        default:
            break;
        }
        if (values > JSON_VALUES_MAX) {
            *what = "too many values";
            return JSON_TOO_MANY_VALUES;
        }
        at++;
    }
    return JSON_OK;
}

/* jansson's own texts quote the input; ours name the kind and the place. */
static const char *json_what(const json_error_t *error)
{
    switch (json_error_code(error)) {
    case json_error_invalid_utf8:
        return "invalid UTF-8";
    case json_error_premature_end_of_input:
        return "ends too early";
    case json_error_end_of_input_expected:
        return "bytes after the end of the object";
    case json_error_null_byte_in_key:
        return "NUL in a name";
    case json_error_duplicate_key:
        return "duplicate name";
    case json_error_numeric_overflow:
        return "number out of range";
    case json_error_null_character:
        return "NUL in a string";
    default:
        return "invalid syntax";
    }
}

enum json_verdict json_parse_object(struct slice text, json_t **out, char reason[JSON_REASON_BYTES])
{
    const char *what = "";
    json_error_t error;
    *out = NULL;
    enum json_verdict verdict = json_measure(text, &what);
    if (verdict != JSON_OK) {
        snprintf(reason, JSON_REASON_BYTES, "the body is not acceptable JSON: %s", what);
        return verdict;
    }
    json_t *root = json_loadb(text.len > 0 ? text.data : "", text.len,
                              JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (root == NULL) {
        snprintf(reason, JSON_REASON_BYTES,
                 "the body is not a valid JSON object: %s at line %d, column %d", json_what(&error),
                 error.line, error.column);
        return JSON_MALFORMED;
    }
    if (!json_is_object(root)) {
        json_decref(root);
        snprintf(reason, JSON_REASON_BYTES, "the body must be a JSON object");
        return JSON_MALFORMED;
    }
    *out = root;
    return JSON_OK;
}

bool json_text(const json_t *value, struct slice *out)
{
    if (!json_is_string(value))
        return false;
    *out = slice_of(json_string_value(value), json_string_length(value));
    return true;
}

/* -?(0|[1-9][0-9]*) and within 64 bits */
static bool json_decimal(struct slice text, int64_t *out)
{
    const char *at = text.data;
    size_t len = text.len;
    bool is_negative = len > 0 && at[0] == '-';
    uint64_t limit = is_negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
    uint64_t number = 0;
    at += is_negative;
    len -= is_negative;
    if (len == 0 || (len > 1 && at[0] == '0'))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (at[i] < '0' || at[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(at[i] - '0');
        if (number > (limit - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *out = is_negative ? (int64_t)(0 - number) : (int64_t)number;
    return true;
}

bool json_integer_text(const json_t *value, int64_t *out)
{
    struct slice text;
    if (json_is_integer(value)) {
        *out = json_integer_value(value);
        return true;
    }
    return json_text(value, &text) && json_decimal(text, out);
}

/* ---- UTF-8 -----------------------------------------------------------------------------------
 */

/* How many bytes the sequence at `at` has; 0 when it is not one (Unicode 15, table 3-7). */
static size_t utf8_sequence(const uint8_t *at, size_t left)
{
    uint8_t lead = at[0];
    size_t len = lead < 0x80                    ? 1
                 : lead >= 0xc2 && lead <= 0xdf ? 2
                 : lead >= 0xe0 && lead <= 0xef ? 3
                 : lead >= 0xf0 && lead <= 0xf4 ? 4
                                                : 0;
    if (len == 0 || len > left)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((lead == 0xe0 && at[1] < 0xa0) || (lead == 0xed && at[1] > 0x9f) ||
        (lead == 0xf0 && at[1] < 0x90) || (lead == 0xf4 && at[1] > 0x8f))
        return 0;
    return len;
}

bool utf8_is_valid(struct slice text)
{
    const uint8_t *at = text.data;
    for (size_t i = 0; i < text.len;) {
        size_t len = utf8_sequence(at + i, text.len - i);
        if (len == 0)
            return false;
        i += len;
    }
    return true;
}

/* ---- out -------------------------------------------------------------------------------------
 */

/* Bytes are looked at by the block, with the compiler's vectors. */
#define JSON_VECTOR_BYTES ((size_t)16)
#define JSON_BLOCK_BYTES 64

typedef int8_t json_vector_t __attribute__((vector_size(JSON_VECTOR_BYTES)));

/* Not zero where a byte has to be escaped: below 0x20, '"' or '\\'. Machines compare signed bytes;
 * with the high bit turned over, their order is that of unsigned ones. */
static json_vector_t json_vector_escapes(const uint8_t *at)
{
    json_vector_t bytes;
    memcpy(&bytes, at, sizeof(bytes));
    return ((bytes ^ INT8_MIN) < (int8_t)(0x20 ^ INT8_MIN)) | (bytes == '"') | (bytes == '\\');
}

static bool json_vector_is_zero(json_vector_t vector)
{
    uint64_t words[2];
    memcpy(words, &vector, sizeof(words));
    return (words[0] | words[1]) == 0;
}

static bool json_block_is_plain(const uint8_t *at)
{
    return json_vector_is_zero(json_vector_escapes(at) |
                               json_vector_escapes(at + JSON_VECTOR_BYTES) |
                               json_vector_escapes(at + 2 * JSON_VECTOR_BYTES) |
                               json_vector_escapes(at + 3 * JSON_VECTOR_BYTES));
}

static bool json_byte_needs_escape(uint8_t byte)
{
    return byte < 0x20 || byte == '"' || byte == '\\';
}

/* The length of the run from `at` that can be copied as it is. */
static size_t json_plain_run(const uint8_t *at, size_t left)
{
    size_t i = 0;
    while (left - i >= JSON_BLOCK_BYTES && json_block_is_plain(at + i))
        i += JSON_BLOCK_BYTES;
    while (left - i >= JSON_VECTOR_BYTES && json_vector_is_zero(json_vector_escapes(at + i)))
        i += JSON_VECTOR_BYTES;
    while (i < left && !json_byte_needs_escape(at[i]))
        i++;
    return i;
}

static int json_append_escape(struct buf *out, uint8_t byte)
{
    static const char digits[] = "0123456789abcdef";
    static const char shorts[] = "b\bf\fn\nr\rt\t\"\"\\\\";
    for (size_t i = 0; i + 1 < sizeof(shorts); i += 2) {
        if ((uint8_t)shorts[i + 1] == byte) {
            char text[2] = {'\\', shorts[i]};
            return buf_append(out, text, sizeof(text));
        }
    }
    char text[6] = {'\\', 'u', '0', '0', digits[byte >> 4], digits[byte & 15]};
    return buf_append(out, text, sizeof(text));
}

int json_append_escaped(struct buf *out, struct slice text)
{
    const uint8_t *at = text.data;
    size_t i = 0;
    int error = 0;
    while (i < text.len && error == 0) {
        size_t run = json_plain_run(at + i, text.len - i);
        error = buf_append(out, at + i, run);
        i += run;
        if (error == 0 && i < text.len)
            error = json_append_escape(out, at[i++]);
    }
    return error;
}

int json_append_string(struct buf *out, struct slice text)
{
    int error = buf_append_byte(out, '"');
    error = error != 0 ? error : json_append_escaped(out, text);
    return error != 0 ? error : buf_append_byte(out, '"');
}
