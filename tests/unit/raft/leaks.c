/* leaks.c - what LeakSanitizer is to overlook in this program: Criterion keeps a few bytes of each
 * TestSuite() when there is more than one. */

const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
    return "leak:libcriterion.so\n";
}
