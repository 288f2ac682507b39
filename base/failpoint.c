/* failpoint.c - see failpoint.h. */
#include "base/failpoint.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define FAILPOINT_TEXT_BYTES 512
#define FAILPOINT_LOOK_NS (5 * NS_PER_MS) /* between two looks at the file */

static struct {
    char text[FAILPOINT_TEXT_BYTES];
    const char *name; /* NULL: none */
    const char *file;
    int signal_number; /* 0: hold */
} failpoint;

static pthread_once_t failpoint_once = PTHREAD_ONCE_INIT;

static void failpoint_read(void)
{
    const char *text = getenv("INSI_TEST_FAIL");
    char *rest = failpoint.text;

    if (text == NULL || strlen(text) >= sizeof(failpoint.text))
        return;
    memcpy(failpoint.text, text, strlen(text) + 1);
    const char *name = strsep(&rest, ":"), *what = strsep(&rest, ":");
    if (what == NULL || rest == NULL)
        return;
    failpoint.signal_number = strcmp(what, "stop") == 0   ? SIGSTOP
                              : strcmp(what, "hold") == 0 ? 0
                                                          : SIGKILL;
    failpoint.file = rest;
    failpoint.name = name;
}

static void failpoint_hold(void)
{
    const struct timespec pause = {.tv_nsec = FAILPOINT_LOOK_NS};
    struct stat info;
    while (stat(failpoint.file, &info) == 0 && info.st_size == 0)
        nanosleep(&pause, NULL);
}

void failpoint_pass(const char *name)
{
    pthread_once(&failpoint_once, failpoint_read);
    if (failpoint.name == NULL || strcmp(failpoint.name, name) != 0)
        return;
    int fd = open(failpoint.file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    close(fd);
    LOG_INFO("failpoint", LOG_STR("name", name));
    if (failpoint.signal_number != 0)
        kill(getpid(), failpoint.signal_number);
    else
        failpoint_hold();
}
