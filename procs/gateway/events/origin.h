/* origin.h - which pages may subscribe: the Origin that browsers send (RFC 6454).
 *
 * Without sessions.allowedOrigins: a page of the same host, that is, one whose Origin names the
 * host and port of the request's Host header; a port that is not named is the one of the Origin's
 * scheme, for a proxy may have ended TLS before us. With it: exactly those listed, compared as
 * scheme, host and port; "*" allows all, "null" pages without an origin. Programs send no Origin
 * and are always allowed: it protects people's browsers, not the server.
 */
#ifndef INSI_GATEWAY_ORIGIN_H
#define INSI_GATEWAY_ORIGIN_H

#include <stdbool.h>

#include "base/slice.h"

/* host: of the request, empty when there is none. */
bool origin_is_allowed(struct slice origin, struct slice host, char *const *allowed,
                       unsigned allowed_count);

/* Named by the list itself, for pages of other hosts. */
bool origin_is_listed(struct slice origin, char *const *allowed, unsigned allowed_count);

#endif
