/* proc.c - names of the processes and their sockets. */
#include "base/proc.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/path.h"

const char *proc_name(enum proc proc)
{
    switch (proc) {
#define X(name, number, text, program)                                                             \
    case PROC_##name:                                                                              \
        return text;
        PROC_LIST(X)
#undef X
    default:
        return "?";
    }
}

const char *proc_program(enum proc proc)
{
    switch (proc) {
#define X(name, number, text, program)                                                             \
    case PROC_##name:                                                                              \
        return program;
        PROC_LIST(X)
#undef X
    default:
        return "?";
    }
}

int proc_link_url(char out[PROC_LINK_BYTES], const char *run_dir, enum proc listener,
                  enum proc dialer, unsigned dialer_index)
{
    int len = snprintf(out, PROC_LINK_BYTES, "ipc://%s/%s-%s%u.sock", run_dir, proc_name(listener),
                       proc_name(dialer), dialer_index);
    CHECK(len > 0);
    return (size_t)len - strlen("ipc://") < PATH_SOCKET_BYTES ? 0 : E_TOO_LARGE;
}
