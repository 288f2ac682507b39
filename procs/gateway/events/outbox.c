/* outbox.c - see outbox.h. */
#include "procs/gateway/events/outbox.h"

#include <stdlib.h>

#include "base/check.h"

#define OUTBOX_FIRST_ROOM 8
#define OUTBOX_KEEP_ROOM 64 /* of an empty one */
#define OUTBOX_CREDIT_STEPS 4

static struct frame **outbox_at(const struct outbox *outbox, unsigned number)
{
    return &outbox->ring[(outbox->first + number) & (outbox->room - 1)];
}

void outbox_fini(struct outbox *outbox)
{
    outbox->gathered = 0;
    outbox_drop(outbox);
    free(outbox->ring);
    *outbox = (struct outbox){0};
}

static void outbox_grow(struct outbox *outbox)
{
    unsigned room = outbox->room > 0 ? 2 * outbox->room : OUTBOX_FIRST_ROOM;
    struct frame **ring = mem_alloc(room * sizeof(struct frame *));
    CHECK(room > outbox->room);
    for (unsigned i = 0; i < outbox->count; i++)
        ring[i] = *outbox_at(outbox, i);
    free(outbox->ring);
    outbox->ring = ring;
    outbox->room = room;
    outbox->first = 0;
}

void outbox_add(struct outbox *outbox, struct frame *frame)
{
    if (outbox->count == outbox->room)
        outbox_grow(outbox);
    *outbox_at(outbox, outbox->count++) = frame_ref(frame);
    outbox->queued += frame_cost(frame);
}

unsigned outbox_gather(struct outbox *outbox, struct frame **out, unsigned max, uint64_t bytes)
{
    uint64_t sum = 0;
    unsigned count = 0;
    CHECK(outbox->gathered == 0);
    while (count < outbox->count && count < max) {
        struct frame *frame = *outbox_at(outbox, count);
        sum += frame_cost(frame);
        if (count > 0 && sum > bytes)
            break;
        out[count++] = frame;
    }
    outbox->gathered = count;
    return count;
}

/* Memory of a burst is not kept. */
static void outbox_shrink(struct outbox *outbox)
{
    if (outbox->count > 0 || outbox->room <= OUTBOX_KEEP_ROOM)
        return;
    free(outbox->ring);
    outbox->ring = NULL;
    outbox->first = outbox->room = 0;
}

void outbox_written(struct outbox *outbox)
{
    for (unsigned i = 0; i < outbox->gathered; i++) {
        struct frame **frame = outbox_at(outbox, i);
        outbox->queued -= frame_cost(*frame);
        outbox->due += frame_cost(*frame);
        frame_unref(frame);
    }
    outbox->first += outbox->gathered;
    outbox->count -= outbox->gathered;
    outbox->gathered = 0;
    outbox_shrink(outbox);
}

uint64_t outbox_take_credit(struct outbox *outbox, uint64_t window)
{
    uint64_t due = outbox->due;
    if (due == 0 || due < window / OUTBOX_CREDIT_STEPS)
        return 0;
    outbox->due = 0;
    return due;
}

void outbox_drop(struct outbox *outbox)
{
    for (unsigned i = outbox->gathered; i < outbox->count; i++) {
        struct frame **frame = outbox_at(outbox, i);
        outbox->queued -= frame_cost(*frame);
        frame_unref(frame);
    }
    outbox->count = outbox->gathered;
    outbox_shrink(outbox);
}
