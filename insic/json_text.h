/* json_text.h - JSON as it was written.
 *
 * An event's data are any JSON, and its numbers belong to those who exchange them: 1.10, 1e400 or
 * an integer of 30 digits must not become what a double makes of them. So texts are taken apart
 * here without being decoded. What is asked for is found or not; but for json_text_check the
 * functions check no grammar, and stay within the bytes they are given whatever stands there.
 */
#ifndef INSI_INSIC_JSON_TEXT_H
#define INSI_INSIC_JSON_TEXT_H

#include <jansson.h>
#include <stdint.h>

#include "base/buf.h"

/* The text of a member's value of an object, borrowed. False: there is none, or it is no object.
 * Names with escapes in them are found under those alone. */
bool json_text_member(struct slice object, const char *name, struct slice *out);

/* A number without sign, point or exponent. */
bool json_text_u64(struct slice text, uint64_t *out);

bool json_text_is_string(struct slice text);

/* Whether a text is JSON, of any kind and with numbers of any size. False: problem says where it is
 * not. */
bool json_text_check(const char *text, json_error_t *problem);

/* Appends a text without the blanks and line breaks between its tokens. E_TOO_LARGE. */
int json_text_compact(struct buf *out, struct slice text);

#endif
