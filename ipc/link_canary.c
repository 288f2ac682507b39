/* link_canary.c - see link_canary.h. */
#include "ipc/link_canary.h"

#include <inttypes.h>
#include <stdio.h>

#include <nng/protocol/pair0/pair.h>

#include "base/check.h"

#define CANARY_URL_BYTES 48

static void canary_made(nng_pipe pipe, nng_pipe_ev kind, void *arg)
{
    (void)kind;
    (void)arg;
    nng_pipe_close(pipe);
}

static void canary_ended(nng_pipe pipe, nng_pipe_ev kind, void *arg)
{
    struct link_canary *canary = arg;
    (void)pipe;
    (void)kind;
    atomic_store(&canary->is_back, true);
}

void link_canary_send(struct link_canary *canary, uint64_t id)
{
    char url[CANARY_URL_BYTES];
    if (!link_canary_is_home(canary))
        return; /* that one will tell */
    snprintf(url, sizeof(url), "inproc://insi-canary-%016" PRIx64, id);
    canary->is_out = true;
    atomic_store(&canary->is_back, false);
    CHECK(nng_pair0_open(&canary->cage) == 0 && nng_pair0_open(&canary->bird) == 0);
    CHECK(nng_pipe_notify(canary->cage, NNG_PIPE_EV_ADD_POST, canary_made, canary) == 0);
    CHECK(nng_pipe_notify(canary->cage, NNG_PIPE_EV_REM_POST, canary_ended, canary) == 0);
    CHECK(nng_listen(canary->cage, url, NULL, 0) == 0);
    CHECK(nng_dial(canary->bird, url, NULL, NNG_FLAG_NONBLOCK) == 0);
}

void link_canary_call_off(struct link_canary *canary)
{
    if (!canary->is_out)
        return;
    canary->is_out = false;
    nng_close(canary->bird);
    nng_close(canary->cage);
}

bool link_canary_is_home(struct link_canary *canary)
{
    if (canary->is_out && !atomic_load(&canary->is_back))
        return false;
    link_canary_call_off(canary);
    return true;
}
