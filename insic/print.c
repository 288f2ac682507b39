/* print.c - results and diagnostics. */
#include "insic/print.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"

static bool print_is_coloured(int fd)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(fd) && !(no_color && *no_color) && !(term && strcmp(term, "dumb") == 0);
}

static void print_printable(FILE *out, const char *text)
{
    for (; *text; text++)
        putc(iscntrl((unsigned char)*text) ? '?' : *text, out);
}

void print_error(const char *word, const char *format, ...)
{
    va_list args;
    char *text = NULL;
    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    CHECK(len >= 0);
    fflush(stdout); /* what came first stands first; whether it arrived is print_finish's to tell */
    fprintf(stderr, print_is_coloured(STDERR_FILENO) ? "\033[31m%s:\033[0m " : "%s: ", word);
    print_printable(stderr, text);
    putc('\n', stderr);
    free(text);
}

void print_note(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    putc('\n', stderr);
}

void print_bytes(FILE *out, struct slice bytes)
{
    fwrite(bytes.data, 1, bytes.len, out);
    putc('\n', out);
}

void print_json_value(FILE *out, const json_t *value)
{
    if (json_is_string(value)) {
        fwrite(json_string_value(value), 1, json_string_length(value), out);
        return;
    }
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    CHECK(text);
    fputs(text, out);
    free(text);
}

void print_json_line(FILE *out, struct slice json)
{
    const char *text = json.data;
    size_t len = json.len;
    while (len > 0 && isspace((unsigned char)text[len - 1]))
        len--;
    for (size_t i = 0; i < len; i++) /* inside strings JSON has no raw line breaks */
        putc(text[i] == '\n' || text[i] == '\r' ? ' ' : text[i], out);
    putc('\n', out);
}

void print_members(FILE *out, const json_t *object)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value)
    {
        fprintf(out, "  %s: ", name);
        print_json_value(out, value);
        putc('\n', out);
    }
}

/* A cell as text without line breaks and other control characters; the caller frees. */
static char *print_cell(const json_t *value)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    CHECK(out);
    if (value && !json_is_null(value))
        print_json_value(out, value);
    CHECK(fclose(out) == 0);
    for (size_t i = 0; i < len; i++)
        if (iscntrl((unsigned char)text[i]))
            text[i] = '?';
    return text;
}

/* Characters, not bytes, so that names in any script keep the columns straight. */
static size_t print_width(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void print_padded(FILE *out, const char *text, size_t width, bool last)
{
    fputs(text, out);
    for (size_t at = print_width(text); !last && at < width + 2; at++)
        putc(' ', out);
}

#define PRINT_COLUMNS_MAX 16

void print_table(FILE *out, const json_t *rows, const char *const *members,
                 const char *const *titles)
{
    size_t widths[PRINT_COLUMNS_MAX], columns = 0, index;
    json_t *row;
    for (; members[columns]; columns++) {
        CHECK(columns < PRINT_COLUMNS_MAX);
        widths[columns] = print_width(titles[columns]);
        json_array_foreach(rows, index, row)
        {
            char *cell = print_cell(json_object_get(row, members[columns]));
            size_t width = print_width(cell);
            widths[columns] = width > widths[columns] ? width : widths[columns];
            free(cell);
        }
    }
    for (size_t i = 0; i < columns; i++)
        print_padded(out, titles[i], widths[i], i + 1 == columns);
    putc('\n', out);
    json_array_foreach(rows, index, row)
    {
        for (size_t i = 0; i < columns; i++) {
            char *cell = print_cell(json_object_get(row, members[i]));
            print_padded(out, cell, widths[i], i + 1 == columns);
            free(cell);
        }
        putc('\n', out);
    }
}

bool print_failed(void)
{
    return ferror(stdout);
}

bool print_reader_is_gone(void)
{
    struct pollfd poll_fd = {.fd = STDOUT_FILENO};
    return poll(&poll_fd, 1, 0) == 1 && (poll_fd.revents & POLLERR);
}

int print_finish(void)
{
    bool failed = ferror(stdout);
    errno = 0;
    if (fflush(stdout) == 0 && !failed)
        return 0;
    if (!print_reader_is_gone()) /* that is the reader's choice, not an error to tell */
        print_error("Error", "cannot write to stdout%s%s.", errno ? ": " : "",
                    errno ? strerror(errno) : "");
    clearerr(stdout);
    return E_IO;
}
