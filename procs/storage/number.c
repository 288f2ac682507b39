/* number.c - see number.h. */
#include "procs/storage/number.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/error.h"

static bool number_is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

int number_parse(struct slice text, int64_t *out)
{
    const char *bytes = text.data;
    size_t at = text.len > 0 && bytes[0] == '-' ? 1 : 0;
    bool is_negative = at == 1, fits = true;
    int64_t number = 0;

    if (at == text.len || (bytes[at] == '0' && text.len > 1))
        return E_NOT_A_NUMBER;
    for (; at < text.len; at++) {
        if (!number_is_digit(bytes[at]))
            return E_NOT_A_NUMBER;
        int64_t digit = is_negative ? '0' - bytes[at] : bytes[at] - '0';
        fits = fits && !__builtin_mul_overflow(number, 10, &number) &&
               !__builtin_add_overflow(number, digit, &number);
    }
    *out = number;
    return fits ? 0 : E_OVERFLOW;
}

struct slice number_format(int64_t number, char out[NUMBER_TEXT_BYTES])
{
    int len = snprintf(out, NUMBER_TEXT_BYTES, "%" PRId64, number);

    return slice_of(out, (size_t)len);
}

int number_bump(int64_t current, int64_t delta, int64_t *out)
{
    int64_t sum;

    if (__builtin_add_overflow(current, delta, &sum)) {
        if (delta > 0)
            return E_OVERFLOW;
        sum = 0;
    }
    *out = sum < 0 ? 0 : sum;
    return 0;
}
