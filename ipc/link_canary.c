/* link_canary.c - see link_canary.h. The pipe comes and goes on NNG's threads; what is out stays
 * out until the end of a pipe was seen. */
#include "ipc/link_canary.h"

#include <inttypes.h>
#include <stdio.h>

#include <nng/protocol/pair0/pair.h>

#include "base/check.h"

#define CANARY_URL_BYTES 48
#define CANARY_RECONNECT_MS 10

static void canary_made(nng_pipe pipe, nng_pipe_ev kind, void *arg)
{
    struct link_canary *canary = arg;
    (void)kind;
    atomic_store(&canary->pipe, pipe.id);
    if (atomic_load(&canary->is_out)) /* sent when there was no pipe */
        nng_pipe_close(pipe);
}

static void canary_ended(nng_pipe pipe, nng_pipe_ev kind, void *arg)
{
    struct link_canary *canary = arg;
    (void)pipe;
    (void)kind;
    atomic_store(&canary->pipe, 0);
    atomic_store(&canary->is_out, false);
}

static void canary_open(struct link_canary *canary, uint64_t id)
{
    char url[CANARY_URL_BYTES];
    snprintf(url, sizeof(url), "inproc://insi-canary-%016" PRIx64, id);
    CHECK(nng_pair0_open(&canary->cage) == 0 && nng_pair0_open(&canary->bird) == 0);
    CHECK(nng_pipe_notify(canary->cage, NNG_PIPE_EV_ADD_POST, canary_made, canary) == 0);
    CHECK(nng_pipe_notify(canary->cage, NNG_PIPE_EV_REM_POST, canary_ended, canary) == 0);
    CHECK(nng_socket_set_ms(canary->bird, NNG_OPT_RECONNMINT, CANARY_RECONNECT_MS) == 0);
    CHECK(nng_socket_set_ms(canary->bird, NNG_OPT_RECONNMAXT, CANARY_RECONNECT_MS) == 0);
    CHECK(nng_listen(canary->cage, url, NULL, 0) == 0);
    CHECK(nng_dial(canary->bird, url, NULL, NNG_FLAG_NONBLOCK) == 0);
    canary->is_open = true;
}

void link_canary_send(struct link_canary *canary, uint64_t id)
{
    if (!canary->is_open)
        canary_open(canary, id);
    if (atomic_exchange(&canary->is_out, true))
        return; /* that one will tell */
    unsigned pipe = atomic_load(&canary->pipe);
    if (pipe != 0)
        nng_pipe_close((nng_pipe){pipe});
}

bool link_canary_is_home(const struct link_canary *canary)
{
    return !atomic_load(&canary->is_out);
}

void link_canary_fini(struct link_canary *canary)
{
    if (!canary->is_open)
        return;
    canary->is_open = false;
    nng_close(canary->bird);
    nng_close(canary->cage);
}
