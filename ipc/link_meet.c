/* link_meet.c - see link_meet.h. */
#include "ipc/link_meet.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"

/* ---- the listener and its socket file ---- */

static const char *meet_path(const struct link_meet *meet)
{
    return meet->url + strlen("ipc://");
}

static int meet_fail(const struct link_meet *meet, int rv)
{
    LOG_ERROR("link_failed", LOG_STR("url", meet->url), LOG_STR("error", nng_strerror(rv)));
    return E_IO;
}

static int meet_listen(struct link_meet *meet)
{
    struct stat status = {0};
    nng_stream_listener *listener = NULL;
    int rv = nng_stream_listener_alloc(&listener, meet->url);
    if (rv == 0)
        rv = nng_stream_listener_set_int(listener, NNG_OPT_IPC_PERMISSIONS, 0600);
    if (rv == 0)
        rv = nng_stream_listener_listen(listener);
    if (rv != 0) {
        nng_stream_listener_free(listener);
        return meet_fail(meet, rv);
    }
    (void)stat(meet_path(meet), &status); /* gone already: seen at the next look */
    meet->device = status.st_dev;
    meet->inode = status.st_ino;
    meet->listener = listener;
    meet->generation++;
    return 0;
}

/* Ends an accept that is under way, too: its event is then of an earlier generation. */
static void meet_stop_listening(struct link_meet *meet)
{
    if (meet->listener == NULL)
        return;
    nng_stream_listener_close(meet->listener);
    nng_aio_wait(meet->aio);
    nng_stream_listener_free(meet->listener);
    meet->listener = NULL;
    meet->is_under_way = false;
}

static bool meet_file_is_there(const struct link_meet *meet)
{
    struct stat status;
    return meet->listener != NULL && stat(meet_path(meet), &status) == 0 &&
           status.st_dev == meet->device && status.st_ino == meet->inode;
}

/* ---- streams ---- */

static void meet_on_done(void *arg)
{
    struct link_meet *meet = arg;
    struct link_event event = {.kind = LINK_EVENT_MET, .generation = meet->generation};
    if (nng_aio_result(meet->aio) == 0)
        event.stream = nng_aio_get_output(meet->aio, 0);
    link_inbox_put(meet->inbox, event);
    link_inbox_wake(meet->inbox);
}

void link_meet_ask(struct link_meet *meet)
{
    if (meet->listens && !meet_file_is_there(meet)) {
        meet_stop_listening(meet);
        if (meet_listen(meet) != 0)
            return; /* until the next time */
    }
    if (meet->is_under_way)
        return;
    meet->is_under_way = true;
    if (meet->listens)
        nng_stream_listener_accept(meet->listener, meet->aio);
    else
        nng_stream_dialer_dial(meet->dialer, meet->aio);
}

nng_stream *link_meet_take(struct link_meet *meet, struct link_event *event)
{
    uint64_t uid = 0;
    nng_stream *stream = event->stream;
    event->stream = NULL;
    if (event->generation != meet->generation) {
        nng_stream_free(stream); /* NULL is fine */
        return NULL;
    }
    meet->is_under_way = false;
    if (stream == NULL)
        return NULL;
    int rv = nng_stream_get_uint64(stream, NNG_OPT_IPC_PEER_UID, &uid);
    if (rv == 0 && uid == (uint64_t)geteuid())
        return stream;
    LOG_WARN("link_stranger_refused", LOG_STR("url", meet->url), LOG_U64("uid", uid));
    nng_stream_free(stream);
    return NULL;
}

int link_meet_init(struct link_meet *meet, struct link_inbox *inbox, const char *url, bool listens)
{
    *meet = (struct link_meet){.inbox = inbox, .url = url, .listens = listens};
    int rv = nng_aio_alloc(&meet->aio, meet_on_done, meet);
    if (rv == 0 && !listens)
        rv = nng_stream_dialer_alloc(&meet->dialer, url);
    if (rv != 0)
        return meet_fail(meet, rv);
    return listens ? meet_listen(meet) : 0;
}

void link_meet_fini(struct link_meet *meet)
{
    meet_stop_listening(meet);
    if (meet->dialer != NULL) {
        nng_stream_dialer_close(meet->dialer);
        nng_aio_wait(meet->aio);
        nng_stream_dialer_free(meet->dialer);
        meet->dialer = NULL;
    }
    nng_aio_free(meet->aio);
    meet->aio = NULL;
}
