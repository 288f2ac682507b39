/* failpoint.c - see failpoint.h. */
#include "base/failpoint.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

#define FAILPOINT_TEXT_BYTES 512

static struct {
    char text[FAILPOINT_TEXT_BYTES];
    const char *name; /* NULL: none */
    const char *file;
    int signal_number;
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
    failpoint.signal_number = strcmp(what, "stop") == 0 ? SIGSTOP : SIGKILL;
    failpoint.file = rest;
    failpoint.name = name;
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
    kill(getpid(), failpoint.signal_number);
}
