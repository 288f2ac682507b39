/* frames.h - what is sent to subscribers: built once, shared by all that have to send it.
 *
 * A frame of an event holds its bytes for both kinds of subscribers in one block:
 *
 *     id: <index>\ndata: |WebSocket header|{"topic":...,"data":...,"index":N,...}|\n\n
 *
 * A WebSocket takes the header and the JSON, a stream (Server-Sent Events) what stands before and
 * behind the header. A server's frames are not masked, so the bytes are the same for everybody; the
 * data is one line of JSON, so a stream needs one "data:" line.
 *
 * Frames are counted by reference and never changed. One loop's thread.
 */
#ifndef INSI_GATEWAY_FRAMES_H
#define INSI_GATEWAY_FRAMES_H

#include "ipc/events_gateway.h"

#define FRAME_CONTROL_BYTES 125 /* the longest payload of a control frame */
#define FRAME_STREAM_PIECES 2

enum frame_opcode { FRAME_TEXT = 0x1, FRAME_CLOSE = 0x8, FRAME_PING = 0x9, FRAME_PONG = 0xa };

struct frame;

/* Each with one reference, the caller's. Slices are copied. */
struct frame *frame_of_event(const struct msg_event *event);
struct frame *frame_of_gap(uint64_t from, uint64_t to);
struct frame *frame_of_control(enum frame_opcode opcode, struct slice payload); /* no stream's */

struct frame *frame_ref(struct frame *frame); /* one more; the same frame */
void frame_unref(struct frame **frame);       /* NULL is fine */

uint64_t frame_cost(const struct frame *frame); /* event_cost; 0 of all but events */
struct slice frame_of_websocket(const struct frame *frame);
void frame_of_stream(const struct frame *frame, struct slice out[FRAME_STREAM_PIECES]);

#endif
