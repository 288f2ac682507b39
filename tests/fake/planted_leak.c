/* A test that leaks and passes: `make san` sees to it that its program fails all the same. */
#include <criterion/criterion.h>

#include "base/check.h"

static void *volatile planted;

Test(planted, leak)
{
    planted = mem_alloc(77);
    planted = NULL;
    cr_assert_null(planted);
}

Test(planted, nothing)
{
    cr_assert_null(planted);
}
