/* main.c - insic: the command line of INSI. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/version.h"
#include "insic/command.h"
#include "insic/print.h"

/* With stdin, stdout or stderr closed a socket or file would take its number, and results would be
 * written into it. A read-only stand-in makes writing to it fail instead. */
static void main_hold_descriptors(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            CHECK(open("/dev/null", O_RDONLY) == fd);
}

static int main_exit_status(int error)
{
    return error == 0 ? 0 : error == E_USAGE || error == E_INVALID ? 2 : 1;
}

int main(int argc, char **argv)
{
    struct options options;
    main_hold_descriptors();
    CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    int error = options_parse(&options, argc, argv);
    if (!error && options.version)
        puts("insic " INSI_VERSION);
    else if (!error)
        error = command_run(&options);
    options_fini(&options);
    int status = main_exit_status(error);
    return print_finish() != 0 && status == 0 ? 1 : status;
}
