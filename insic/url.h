/* url.h - query strings of requests. */
#ifndef INSI_INSIC_URL_H
#define INSI_INSIC_URL_H

#include "base/buf.h"

/* Appends "?name=value", or "&name=value" when something stands there already, with every byte but
 * the unreserved ones (RFC 3986: letters, digits, '-', '.', '_', '~') percent-encoded. */
void url_add_text(struct buf *query, const char *name, const char *value);
void url_add_number(struct buf *query, const char *name, unsigned long long value);

#endif
