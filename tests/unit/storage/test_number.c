/* Numbers as text. */
#include <criterion/criterion.h>

#include "base/error.h"
#include "procs/storage/number.h"

static int parse(const char *text, int64_t *number)
{
    return number_parse(slice_text(text), number);
}

Test(number, what_is_written_is_read)
{
    static const int64_t numbers[] = {0, 1, -1, 9, 10, -10, 1234567890123, INT64_MAX, INT64_MIN};
    for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        char text[NUMBER_TEXT_BYTES];
        int64_t number = 77;
        cr_assert_eq(number_parse(number_format(numbers[i], text), &number), 0);
        cr_assert_eq(number, numbers[i]);
    }
}

Test(number, texts_are_no_numbers)
{
    static const char *const texts[] = {"",    "-",  "+1",  "007", "00",  "-0",
                                        "-01", " 1", "1 ",  "1.0", "1e3", "0x1",
                                        "abc", "1a", "--1", "1-",  "\n",  "99999999999999999999x"};
    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        int64_t number;
        cr_assert_eq(parse(texts[i], &number), E_NOT_A_NUMBER, "'%s'", texts[i]);
    }
    int64_t number;
    cr_assert_eq(number_parse(slice_of("1\0", 2), &number), E_NOT_A_NUMBER);
}

Test(number, numbers_that_do_not_fit_are_out_of_range)
{
    static const char *const texts[] = {"9223372036854775808", "-9223372036854775809",
                                        "99999999999999999999999999999999",
                                        "-18446744073709551616"};
    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        int64_t number;
        cr_assert_eq(parse(texts[i], &number), E_OVERFLOW, "'%s'", texts[i]);
    }
}

Test(number, bumps_stop_at_zero_and_at_the_end)
{
    static const struct {
        int64_t current, delta, expected;
        int error;
    } cases[] = {
        {0, 5, 5, 0},
        {5, -3, 2, 0},
        {5, -5, 0, 0},
        {5, -6, 0, 0},
        {0, INT64_MIN, 0, 0},
        {-5, 3, 0, 0},
        {-5, 8, 3, 0},
        {INT64_MIN, -1, 0, 0},
        {INT64_MAX, 0, INT64_MAX, 0},
        {INT64_MAX - 1, 1, INT64_MAX, 0},
        {INT64_MAX, 1, 0, E_OVERFLOW},
        {1, INT64_MAX, 0, E_OVERFLOW},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t number = 0;
        cr_assert_eq(number_bump(cases[i].current, cases[i].delta, &number), cases[i].error);
        cr_assert_eq(number, cases[i].expected, "case %u", i);
    }
}
