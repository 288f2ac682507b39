/* json_scan.c - see json_scan.h. */
#include "procs/gateway/http/json_scan.h"

#include <stdio.h>
#include <string.h>

#include "base/limits.h"

#define JSON_HEX_DIGITS 4
#define JSON_NAME_BYTES 128 /* of a name with escapes; longer ones are none that is asked for */

struct json_cursor {
    const char *start, *at, *end;
    const char *wrong; /* NULL: nothing so far */
};

static bool json_fail(struct json_cursor *cursor, const char *what)
{
    if (cursor->wrong == NULL)
        cursor->wrong = cursor->at >= cursor->end ? "ends too early" : what;
    return false;
}

static bool json_is_blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

static void json_skip_blanks(struct json_cursor *cursor)
{
    while (cursor->at < cursor->end && json_is_blank(*cursor->at))
        cursor->at++;
}

static bool json_is_next(const struct json_cursor *cursor, char byte)
{
    return cursor->at < cursor->end && *cursor->at == byte;
}

static bool json_take(struct json_cursor *cursor, char byte)
{
    if (!json_is_next(cursor, byte))
        return json_fail(cursor, "invalid syntax");
    cursor->at++;
    return true;
}

/* ---- strings --------------------------------------------------------------------------------- */

static int json_hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

/* The number of \uXXXX, whose 'u' is next. */
static bool json_scan_hex(struct json_cursor *cursor, unsigned *out)
{
    *out = 0;
    for (unsigned i = 0; i < JSON_HEX_DIGITS; i++) {
        cursor->at++;
        int digit = cursor->at < cursor->end ? json_hex_digit(*cursor->at) : -1;
        if (digit < 0)
            return json_fail(cursor, "invalid escape");
        *out = *out * 16 + (unsigned)digit;
    }
    cursor->at++;
    return true;
}

static bool json_is_high(unsigned unit)
{
    return unit >= 0xd800 && unit < 0xdc00;
}

static bool json_is_low(unsigned unit)
{
    return unit >= 0xdc00 && unit < 0xe000;
}

/* From the 'u' of an escape to behind it, and behind its second half: the code point. */
static bool json_scan_unicode(struct json_cursor *cursor, unsigned *out)
{
    unsigned low;
    if (!json_scan_hex(cursor, out))
        return false;
    if (json_is_low(*out))
        return json_fail(cursor, "lone surrogate");
    if (!json_is_high(*out))
        return true;
    if (cursor->end - cursor->at < 2 || cursor->at[0] != '\\' || cursor->at[1] != 'u')
        return json_fail(cursor, "lone surrogate");
    cursor->at++;
    if (!json_scan_hex(cursor, &low))
        return false;
    if (!json_is_low(low))
        return json_fail(cursor, "lone surrogate");
    *out = 0x10000 + ((*out - 0xd800) << 10) + (low - 0xdc00);
    return true;
}

/* From behind the backslash. */
static bool json_scan_escape(struct json_cursor *cursor)
{
    unsigned ignored;
    if (cursor->at >= cursor->end)
        return json_fail(cursor, "");
    if (*cursor->at == 'u')
        return json_scan_unicode(cursor, &ignored);
    if (*cursor->at == '\0' || strchr("\"\\/bfnrt", *cursor->at) == NULL)
        return json_fail(cursor, "invalid escape");
    cursor->at++;
    return true;
}

static bool json_scan_string(struct json_cursor *cursor)
{
    if (!json_take(cursor, '"'))
        return false;
    while (cursor->at < cursor->end) {
        char byte = *cursor->at;
        if ((unsigned char)byte < 0x20)
            return json_fail(cursor, "control character in a string");
        cursor->at++;
        if (byte == '"')
            return true;
        if (byte == '\\' && !json_scan_escape(cursor))
            return false;
    }
    return json_fail(cursor, "");
}

/* ---- numbers and words ----------------------------------------------------------------------- */

static bool json_scan_digits(struct json_cursor *cursor)
{
    const char *first = cursor->at;
    while (cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9')
        cursor->at++;
    return cursor->at > first || json_fail(cursor, "invalid number");
}

static bool json_scan_number(struct json_cursor *cursor)
{
    cursor->at += json_is_next(cursor, '-');
    if (json_is_next(cursor, '0'))
        cursor->at++;
    else if (!json_scan_digits(cursor))
        return false;
    if (json_is_next(cursor, '.')) {
        cursor->at++;
        if (!json_scan_digits(cursor))
            return false;
    }
    if (json_is_next(cursor, 'e') || json_is_next(cursor, 'E')) {
        cursor->at++;
        cursor->at += json_is_next(cursor, '+') || json_is_next(cursor, '-');
        return json_scan_digits(cursor);
    }
    return true;
}

static bool json_scan_word(struct json_cursor *cursor, const char *word)
{
    for (; *word != '\0'; word++) {
        if (!json_take(cursor, *word))
            return false;
    }
    return true;
}

/* ---- values ---------------------------------------------------------------------------------- */

static bool json_scan_value(struct json_cursor *cursor, unsigned depth);

static bool json_enter(struct json_cursor *cursor, unsigned depth)
{
    cursor->at++;
    json_skip_blanks(cursor);
    return depth < LIMIT_JSON_DEPTH || json_fail(cursor, "nested too deeply");
}

/* Behind a value of an array or object: true when another follows. */
static bool json_scan_comma(struct json_cursor *cursor)
{
    json_skip_blanks(cursor);
    if (!json_is_next(cursor, ','))
        return false;
    cursor->at++;
    json_skip_blanks(cursor);
    return true;
}

static bool json_scan_array(struct json_cursor *cursor, unsigned depth)
{
    if (!json_enter(cursor, depth))
        return false;
    if (!json_is_next(cursor, ']')) {
        do {
            if (!json_scan_value(cursor, depth + 1))
                return false;
        } while (json_scan_comma(cursor));
    }
    return json_take(cursor, ']');
}

/* A name and what stands between it and its value. */
static bool json_scan_name(struct json_cursor *cursor, struct slice *raw)
{
    const char *first = cursor->at;
    if (!json_scan_string(cursor))
        return false;
    *raw = slice_of(first, (size_t)(cursor->at - first));
    json_skip_blanks(cursor);
    if (!json_take(cursor, ':'))
        return false;
    json_skip_blanks(cursor);
    return true;
}

static bool json_scan_inner_object(struct json_cursor *cursor, unsigned depth)
{
    struct slice name;
    if (!json_enter(cursor, depth))
        return false;
    if (!json_is_next(cursor, '}')) {
        do {
            if (!json_scan_name(cursor, &name) || !json_scan_value(cursor, depth + 1))
                return false;
        } while (json_scan_comma(cursor));
    }
    return json_take(cursor, '}');
}

/* depth: how many brackets it stands in. */
static bool json_scan_value(struct json_cursor *cursor, unsigned depth)
{
    switch (cursor->at < cursor->end ? *cursor->at : '\0') {
    case '{':
        return json_scan_inner_object(cursor, depth);
    case '[':
        return json_scan_array(cursor, depth);
    case '"':
        return json_scan_string(cursor);
    case 't':
        return json_scan_word(cursor, "true");
    case 'f':
        return json_scan_word(cursor, "false");
    case 'n':
        return json_scan_word(cursor, "null");
    default:
        return json_scan_number(cursor);
    }
}

/* ---- the object ------------------------------------------------------------------------------ */

static struct json_member *json_find_member(struct json_member *members, unsigned count,
                                            struct slice raw_name)
{
    char space[JSON_NAME_BYTES];
    struct slice name;
    if (raw_name.len > sizeof(space) || !json_raw_text(raw_name, space, &name))
        return NULL;
    for (unsigned i = 0; i < count; i++) {
        if (slice_equal(name, slice_text(members[i].name)))
            return &members[i];
    }
    return NULL;
}

static bool json_scan_member(struct json_cursor *cursor, struct json_member *members,
                             unsigned count)
{
    struct slice name;
    if (!json_scan_name(cursor, &name))
        return false;
    const char *first = cursor->at;
    if (!json_scan_value(cursor, 1))
        return false;
    struct json_member *member = json_find_member(members, count, name);
    if (member == NULL)
        return true;
    if (member->raw.len > 0) {
        cursor->wrong = "duplicate name";
        return false;
    }
    member->raw = slice_of(first, (size_t)(cursor->at - first));
    return true;
}

static bool json_scan_members(struct json_cursor *cursor, struct json_member *members,
                              unsigned count)
{
    json_skip_blanks(cursor);
    if (!json_take(cursor, '{'))
        return false;
    json_skip_blanks(cursor);
    if (!json_is_next(cursor, '}')) {
        do {
            if (!json_scan_member(cursor, members, count))
                return false;
        } while (json_scan_comma(cursor));
    }
    if (!json_take(cursor, '}'))
        return false;
    json_skip_blanks(cursor);
    if (cursor->at < cursor->end)
        cursor->wrong = "bytes after the end of the object";
    return cursor->wrong == NULL;
}

bool json_scan_object(struct slice text, struct json_member *members, unsigned count,
                      char reason[JSON_REASON_BYTES])
{
    const char *start = text.len > 0 ? text.data : "";
    struct json_cursor cursor = {.start = start, .at = start, .end = start + text.len};
    for (unsigned i = 0; i < count; i++)
        members[i].raw = slice_of(NULL, 0);
    if (!utf8_is_valid(text))
        cursor.wrong = "invalid UTF-8";
    else if (json_scan_members(&cursor, members, count))
        return true;
    snprintf(reason, JSON_REASON_BYTES, "the body is not a valid JSON object: %s at byte %zu",
             cursor.wrong, (size_t)(cursor.at - cursor.start));
    return false;
}

/* ---- what was cut ---------------------------------------------------------------------------- */

/* Behind the string that begins at the quote `at`; the text is known to be right. */
static const char *json_behind_string(const char *at)
{
    for (at++; *at != '"'; at++)
        at += *at == '\\';
    return at + 1;
}

int json_append_compact(struct buf *out, struct slice raw)
{
    const char *at = raw.data, *end = at + raw.len, *kept = at;
    int error = 0;
    while (at < end && error == 0) {
        if (*at == '"') {
            at = json_behind_string(at);
        } else if (json_is_blank(*at)) {
            error = buf_append(out, kept, (size_t)(at - kept));
            kept = ++at;
        } else {
            at++;
        }
    }
    return error != 0 ? error : buf_append(out, kept, (size_t)(end - kept));
}

static char *json_put_utf8(char *to, unsigned point)
{
    if (point < 0x80) {
        *to++ = (char)point;
        return to;
    }
    if (point < 0x800) {
        *to++ = (char)(0xc0 | point >> 6);
    } else {
        if (point < 0x10000) {
            *to++ = (char)(0xe0 | point >> 12);
        } else {
            *to++ = (char)(0xf0 | point >> 18);
            *to++ = (char)(0x80 | (point >> 12 & 0x3f));
        }
        *to++ = (char)(0x80 | (point >> 6 & 0x3f));
    }
    *to++ = (char)(0x80 | (point & 0x3f));
    return to;
}

static char *json_unescape(struct json_cursor *cursor, char *to)
{
    static const char shorts[] = "b\bf\fn\nr\rt\t";
    unsigned point;
    if (*cursor->at == 'u') {
        json_scan_unicode(cursor, &point);
        return json_put_utf8(to, point);
    }
    char byte = *cursor->at++;
    for (size_t i = 0; i + 1 < sizeof(shorts); i += 2) {
        if (shorts[i] == byte)
            byte = shorts[i + 1];
    }
    *to++ = byte;
    return to;
}

bool json_raw_text(struct slice raw, char *space, struct slice *out)
{
    const char *start = raw.data;
    if (raw.len < 2 || *start != '"')
        return false;
    struct json_cursor cursor = {.start = start, .at = start + 1, .end = start + raw.len - 1};
    *out = slice_of(cursor.at, raw.len - 2);
    if (memchr(cursor.at, '\\', out->len) == NULL)
        return true;
    char *to = space;
    while (cursor.at < cursor.end) {
        char byte = *cursor.at++;
        if (byte == '\\')
            to = json_unescape(&cursor, to);
        else
            *to++ = byte;
    }
    *out = slice_of(space, (size_t)(to - space));
    return true;
}
