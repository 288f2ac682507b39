/* json_text.c - JSON as it was written. */
#include "insic/json_text.h"

#include <stdlib.h>

#include "base/check.h"

struct cursor {
    const char *at, *end;
};

static bool json_is_blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

static void cursor_skip_blanks(struct cursor *cursor)
{
    while (cursor->at < cursor->end && json_is_blank(*cursor->at))
        cursor->at++;
}

static bool cursor_take(struct cursor *cursor, char byte)
{
    cursor_skip_blanks(cursor);
    if (cursor->at == cursor->end || *cursor->at != byte)
        return false;
    cursor->at++;
    return true;
}

/* From a quote to behind the one that closes it, or to the end. */
static void cursor_skip_string(struct cursor *cursor)
{
    cursor->at++;
    while (cursor->at < cursor->end && *cursor->at != '"')
        cursor->at += *cursor->at == '\\' && cursor->at + 1 < cursor->end ? 2 : 1;
    if (cursor->at < cursor->end)
        cursor->at++;
}

/* The value that begins here: up to the comma or bracket behind it. */
static struct slice cursor_take_value(struct cursor *cursor)
{
    size_t depth = 0;
    cursor_skip_blanks(cursor);
    const char *begin = cursor->at, *end = begin; /* without blanks behind it */
    while (cursor->at < cursor->end) {
        char byte = *cursor->at;
        bool closes = byte == '}' || byte == ']';
        if (depth == 0 && (closes || byte == ','))
            break;
        depth += byte == '{' || byte == '[';
        depth -= closes;
        if (byte == '"')
            cursor_skip_string(cursor);
        else
            cursor->at++;
        end = json_is_blank(byte) ? end : cursor->at;
    }
    return slice_of(begin, (size_t)(end - begin));
}

bool json_text_member(struct slice object, const char *name, struct slice *out)
{
    struct cursor cursor = {object.data, (const char *)object.data + object.len};
    size_t len = strlen(name);
    if (!cursor_take(&cursor, '{'))
        return false;
    do {
        cursor_skip_blanks(&cursor);
        const char *begin = cursor.at;
        if (begin == cursor.end || *begin != '"')
            return false;
        cursor_skip_string(&cursor);
        bool found = (size_t)(cursor.at - begin) == len + 2 && memcmp(begin + 1, name, len) == 0;
        if (!cursor_take(&cursor, ':'))
            return false;
        *out = cursor_take_value(&cursor);
        if (found)
            return out->len > 0;
    } while (cursor_take(&cursor, ','));
    return false;
}

bool json_text_u64(struct slice text, uint64_t *out)
{
    const char *digits = text.data;
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (digits[i] < '0' || digits[i] > '9' || __builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(digits[i] - '0'), &value))
            return false;
    }
    *out = value;
    return text.len > 0;
}

bool json_text_is_string(struct slice text)
{
    return text.len > 0 && *(const char *)text.data == '"';
}

/* ---- checking ---- */

static size_t number_digits(const char *text)
{
    return strspn(text, "0123456789");
}

/* The length of the number that a text begins with (RFC 8259, 6); 0: it begins with none. */
static size_t number_length(const char *text)
{
    size_t at = *text == '-', digits = number_digits(text + at);
    if (digits == 0 || (digits > 1 && text[at] == '0'))
        return 0;
    at += digits;
    if (text[at] == '.') {
        digits = number_digits(text + at + 1);
        if (digits == 0)
            return 0;
        at += 1 + digits;
    }
    if (text[at] == 'e' || text[at] == 'E') {
        size_t sign = text[at + 1] == '-' || text[at + 1] == '+';
        digits = number_digits(text + at + 1 + sign);
        if (digits == 0)
            return 0;
        at += 1 + sign + digits;
    }
    return at;
}

/* Makes a 0 and blanks of each number: everything keeps its place, and none is too large. */
static void json_blank_numbers(char *text)
{
    struct cursor cursor = {text, text + strlen(text)};
    while (cursor.at < cursor.end) {
        size_t run = strspn(cursor.at, "-+.0123456789eE");
        bool is_number = strchr("-0123456789", *cursor.at) && run == number_length(cursor.at);
        if (*cursor.at == '"') {
            cursor_skip_string(&cursor);
            continue;
        }
        if (is_number) {
            memset(text + (cursor.at - text), ' ', run);
            text[cursor.at - text] = '0';
        }
        cursor.at += run > 0 ? run : 1;
    }
}

bool json_text_check(const char *text, json_error_t *problem)
{
    char *copy = mem_copy_string(text);
    json_blank_numbers(copy);
    json_t *value = json_loads(copy, JSON_DECODE_ANY | JSON_ALLOW_NUL, problem);
    json_decref(value);
    free(copy);
    return value != NULL;
}

/* ---- compacting ---- */

int json_text_compact(struct buf *out, struct slice text)
{
    struct cursor cursor = {text.data, (const char *)text.data + text.len};
    int error = 0;
    while (!error) {
        cursor_skip_blanks(&cursor);
        const char *begin = cursor.at;
        if (begin == cursor.end)
            break;
        while (cursor.at < cursor.end && !json_is_blank(*cursor.at)) {
            if (*cursor.at == '"')
                cursor_skip_string(&cursor);
            else
                cursor.at++;
        }
        error = buf_append(out, begin, (size_t)(cursor.at - begin));
    }
    return error;
}
