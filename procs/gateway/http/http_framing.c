/* http_framing.c - see http_framing.h. h2o keeps the headers in question to itself, but the head of
 * a request stays in the connection's buffer until the request has been answered. */
#include "procs/gateway/http/http_framing.h"

#include <string.h>
#include <strings.h>

#include "procs/gateway/http/http_request.h"

static bool http_line_is(const char *line, size_t len, const char *name)
{
    size_t name_len = strlen(name);
    return len > name_len && line[name_len] == ':' && strncasecmp(line, name, name_len) == 0;
}

bool http_framing_is_clear(const h2o_req_t *request)
{
    if (http_is_version_2(request) || request->entity.base == NULL)
        return true;
    const char *at = request->conn->callbacks->get_socket(request->conn)->input->bytes;
    const char *end = request->entity.base;
    unsigned lengths = 0, encodings = 0;
    while (at < end) {
        const char *next = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((next != NULL ? next : end) - at);
        lengths += http_line_is(at, len, "content-length");
        encodings += http_line_is(at, len, "transfer-encoding");
        at = next != NULL ? next + 1 : end;
    }
    return lengths + encodings <= 1;
}
