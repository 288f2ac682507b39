/* websocket.c - see websocket.h. */
#include "procs/gateway/events/websocket.h"

#include <h2o/http1.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/check.h"
#include "procs/gateway/events/websocket_in.h"
#include "procs/gateway/http/http_request.h"
#include "procs/gateway/http/tcp.h"

#define WEBSOCKET_KEY_BYTES 24 /* 16 bytes in base64 */
#define WEBSOCKET_ACCEPT_BYTES 29
#define WEBSOCKET_SHA1_BYTES 20

struct websocket {
    struct session *session; /* NULL: it has ended while the handshake was being answered */
    h2o_socket_t *socket;    /* NULL: the handshake is being answered */
    struct websocket_in *in;
    struct frame *goodbye; /* NULL: none yet */
    bool was_closed;       /* the client's close has come */
    bool is_deaf;          /* what comes is thrown away */
    char *sealed;          /* what is being written under TLS, in one piece */
};

/* ---- the handshake --------------------------------------------------------------------------- */

/* 22 digits of base64 and "==". */
static bool websocket_is_key(struct slice key)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *text = key.data;
    return key.len == WEBSOCKET_KEY_BYTES && strspn(text, digits) >= WEBSOCKET_KEY_BYTES - 2 &&
           memcmp(text + WEBSOCKET_KEY_BYTES - 2, "==", 2) == 0;
}

enum websocket_offer websocket_look(const h2o_req_t *http)
{
    if (http->version != HTTP_VERSION_1_1 || http->upgrade.base == NULL ||
        !h2o_lcstris(http->upgrade.base, http->upgrade.len, H2O_STRLIT("websocket")))
        return WEBSOCKET_NOT_OFFERED;
    if (!slice_equal(http_header(http, "sec-websocket-version"), slice_text(WEBSOCKET_VERSION)))
        return WEBSOCKET_NOT_OFFERED;
    return websocket_is_key(http_header(http, "sec-websocket-key")) ? WEBSOCKET_OFFERED
                                                                    : WEBSOCKET_MALFORMED;
}

/* RFC 6455, 4.2.2: that the server knows what it answers. */
static void websocket_accept_key(char out[WEBSOCKET_ACCEPT_BYTES], struct slice key)
{
    static const char suffix[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char text[WEBSOCKET_KEY_BYTES + sizeof(suffix) - 1];
    uint8_t digest[EVP_MAX_MD_SIZE];
    CHECK(key.len == WEBSOCKET_KEY_BYTES && key.data != NULL); /* websocket_look saw to it */
    memcpy(text, key.data, WEBSOCKET_KEY_BYTES);
    memcpy(text + WEBSOCKET_KEY_BYTES, suffix, sizeof(suffix) - 1);
    CHECK(EVP_Digest(text, sizeof(text), digest, NULL, EVP_sha1(), NULL) == 1);
    h2o_base64_encode(out, digest, WEBSOCKET_SHA1_BYTES, 0);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void websocket_free(struct websocket *websocket)
{
    if (websocket->socket != NULL)
        h2o_socket_close(websocket->socket);
    websocket_in_free(&websocket->in);
    frame_unref(&websocket->goodbye);
    free(websocket->sealed);
    free(websocket);
}

/* The connection is gone, or everything is said. */
static void websocket_end(struct websocket *websocket)
{
    struct session *session = websocket->session;
    websocket_free(websocket);
    session_lost(session);
}

static void websocket_abort(struct session *session)
{
    struct websocket *websocket = session->carrier;
    websocket->session = NULL;
    if (websocket->socket != NULL)
        websocket_free(websocket);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void websocket_on_written(h2o_socket_t *socket, const char *error)
{
    struct websocket *websocket = socket->data;
    free(websocket->sealed);
    websocket->sealed = NULL;
    if (error != NULL)
        websocket_end(websocket);
    else
        session_written(websocket->session);
}

/* Under TLS every piece would become a record, and is copied anyhow. */
static unsigned websocket_seal(struct websocket *websocket, h2o_iovec_t *pieces, unsigned count)
{
    size_t len = 0;
    for (unsigned i = 0; i < count; i++)
        len += pieces[i].len;
    websocket->sealed = mem_alloc(len);
    char *to = websocket->sealed;
    for (unsigned i = 0; i < count; i++) {
        memcpy(to, pieces[i].base, pieces[i].len);
        to += pieces[i].len;
    }
    pieces[0] = h2o_iovec_init(websocket->sealed, len);
    return 1;
}

static void websocket_write(struct session *session, const struct slice *pieces, unsigned count)
{
    struct websocket *websocket = session->carrier;
    h2o_iovec_t out[SESSION_WRITE_PIECES];
    CHECK(count <= SESSION_WRITE_PIECES);
    for (unsigned i = 0; i < count; i++)
        out[i] = h2o_iovec_init(pieces[i].data, pieces[i].len);
    if (websocket->socket->ssl != NULL && count > 1)
        count = websocket_seal(websocket, out, count);
    h2o_socket_write(websocket->socket, out, count, websocket_on_written);
}

static uint64_t websocket_taken(struct session *session)
{
    const struct websocket *websocket = session->carrier;
    return websocket->socket != NULL ? tcp_acknowledged(h2o_socket_get_fd(websocket->socket)) : 0;
}

/* ---- the goodbye ----------------------------------------------------------------------------- */

/* The client learns that nothing follows; what it still says is read and thrown away, for closing
 * with something unread would reset the connection, and the client would lose the goodbye. */
static void websocket_on_goodbye_written(h2o_socket_t *socket, const char *error)
{
    struct websocket *websocket = socket->data;
    if (error != NULL || websocket->was_closed) {
        websocket_end(websocket);
        return;
    }
    if (socket->ssl == NULL)
        shutdown(h2o_socket_get_fd(socket), SHUT_WR);
    session_goodbye_sent(websocket->session);
}

static void websocket_close(struct session *session, unsigned code)
{
    struct websocket *websocket = session->carrier;
    const uint8_t payload[WEBSOCKET_CODE_BYTES] = {(uint8_t)(code >> 8), (uint8_t)code};
    websocket->goodbye =
        frame_of_control(FRAME_CLOSE, slice_of(payload, code != 0 ? sizeof(payload) : 0));
    struct slice bytes = frame_of_websocket(websocket->goodbye);
    h2o_iovec_t out = h2o_iovec_init(bytes.data, bytes.len);
    h2o_socket_write(websocket->socket, &out, 1, websocket_on_goodbye_written);
}

/* ---- reading --------------------------------------------------------------------------------- */

static void websocket_hear(struct websocket *websocket, struct slice bytes)
{
    struct session *session = websocket->session;
    struct websocket_news news;
    websocket_in_take(&websocket->in, bytes, &news);
    session_heard(session);
    if (!news.is_over) {
        if (news.has_ping && websocket->goodbye == NULL)
            session_send_first(session,
                               frame_of_control(FRAME_PONG, slice_of(news.ping, news.ping_len)));
        return;
    }
    websocket->is_deaf = true;
    websocket->was_closed = news.was_closed;
    session_close(session, news.code);
}

static void websocket_on_read(h2o_socket_t *socket, const char *error)
{
    struct websocket *websocket = socket->data;
    bool is_over = false;
    if (error == NULL && socket->input->size > 0) {
        bool said_goodbye = websocket->goodbye != NULL && !h2o_socket_is_writing(socket);
        if (!websocket->is_deaf)
            websocket_hear(websocket, slice_of(socket->input->bytes, socket->input->size));
        h2o_buffer_consume(&socket->input, socket->input->size);
        is_over = said_goodbye && websocket->was_closed;
    }
    if (error != NULL || is_over)
        websocket_end(websocket);
}

/* ---- the beginning --------------------------------------------------------------------------- */

static const struct session_transport websocket_transport = {.answers_pings = true,
                                                             .ping = {"\x89\x00", 2},
                                                             .write = websocket_write,
                                                             .close = websocket_close,
                                                             .abort = websocket_abort,
                                                             .taken = websocket_taken};

static void websocket_on_upgraded(void *arg, h2o_socket_t *socket, size_t request_len)
{
    struct websocket *websocket = arg;
    if (socket == NULL || websocket->session == NULL) {
        websocket->socket = socket;
        if (websocket->session != NULL)
            websocket_end(websocket);
        else
            websocket_free(websocket);
        return;
    }
    websocket->socket = socket;
    socket->data = websocket;
    tcp_limit_unsent(h2o_socket_get_fd(socket), websocket->session->window);
    h2o_buffer_consume(&socket->input, request_len);
    h2o_socket_read_start(socket, websocket_on_read);
    session_open(websocket->session);
    if (socket->input->size > 0)
        websocket_on_read(socket, NULL);
}

void websocket_open(h2o_req_t *http, struct session *session)
{
    struct slice key = http_header(http, "sec-websocket-key");
    char *accept = h2o_mem_alloc_pool(&http->pool, WEBSOCKET_ACCEPT_BYTES);
    struct websocket *websocket = mem_alloc(sizeof(*websocket));
    websocket->session = session;
    session->transport = &websocket_transport;
    session->carrier = websocket;
    websocket_accept_key(accept, key);
    http->res.status = 101;
    http->res.reason = "Switching Protocols";
    http->res.content_length = SIZE_MAX;
    h2o_add_header(&http->pool, &http->res.headers, H2O_TOKEN_UPGRADE, NULL,
                   H2O_STRLIT("websocket"));
    h2o_add_header_by_str(&http->pool, &http->res.headers, H2O_STRLIT("sec-websocket-accept"), 0,
                          NULL, accept, WEBSOCKET_ACCEPT_BYTES - 1);
    h2o_http1_upgrade(http, NULL, 0, websocket_on_upgraded, websocket);
}
