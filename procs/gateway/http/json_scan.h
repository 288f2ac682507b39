/* json_scan.h - the members of a JSON object, as they were written.
 *
 * Where data travels through unchanged (events), no number may lose a digit and no text its
 * escapes: the text is checked (RFC 8259) and cut, never converted. Checked as strictly as json.h
 * does: one object and nothing behind it, valid UTF-8, no lone surrogate, at most LIMIT_JSON_DEPTH
 * deep, a member that is asked for at most once. Takes no memory, whatever the text holds.
 */
#ifndef INSI_GATEWAY_JSON_SCAN_H
#define INSI_GATEWAY_JSON_SCAN_H

#include "procs/gateway/http/json.h"

struct json_member {
    const char *name; /* asked for; of printable ASCII */
    struct slice raw; /* its value's text, borrowed; empty: the object has no such member */
};

/* False: reason says what is wrong, without repeating what the client sent. */
bool json_scan_object(struct slice text, struct json_member *members, unsigned count,
                      char reason[JSON_REASON_BYTES]);

/* Appends a raw value without the blanks between its parts. E_TOO_LARGE. */
int json_append_compact(struct buf *out, struct slice raw);

/* What a raw value says, if it is a string: *out borrows from it, or from space, which holds
 * raw.len bytes. False when it is something else. */
bool json_raw_text(struct slice raw, char *space, struct slice *out);

#endif
