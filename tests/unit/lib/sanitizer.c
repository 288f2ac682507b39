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

/* NNG 1.5.2 forgets a message or a pipe now and then when a socket is closed while something is
 * under way, which only tests do. Its library has no symbols to name the places; that messages of
 * links are freed is checked by counting (test_link.c). */
const char *__lsan_default_suppressions(void)
{
    return "leak:libnng.so";
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
