/* runner.c - linked into every unit test program: leaks are looked for in the processes that run
 * tests, not in Criterion's runner, which forgets a few bytes of its own. */
#include <stdlib.h>

int __lsan_is_turned_off(void); // NOLINT(bugprone-reserved-identifier)

int __lsan_is_turned_off(void) // NOLINT(bugprone-reserved-identifier)
{
    return getenv("BXFI_MAP") == NULL; /* set for the processes of tests */
}
