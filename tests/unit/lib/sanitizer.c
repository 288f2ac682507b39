/* sanitizer.c - in a sanitized build, a leak fails the test that it was found in.
 *
 * Criterion runs each test in a process of its own, and takes no notice of the status with which a
 * process ends once its test has passed; but it does of a signal. Criterion's first process, which
 * runs no code of ours, keeps some bytes of its own until its end: there nobody looks for leaks.
 */
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

static bool sanitizer_is_in_test(void)
{
    return getenv("BXFI_MAP") != NULL; /* set by Criterion's BoxFort for the process of a test */
}

int __lsan_is_turned_off(void)
{
    return !sanitizer_is_in_test();
}

static void sanitizer_on_death(void)
{
    kill(getpid(), SIGKILL);
}

__attribute__((constructor)) static void sanitizer_init(void)
{
    if (sanitizer_is_in_test())
        __sanitizer_set_death_callback(sanitizer_on_death);
}
#endif
