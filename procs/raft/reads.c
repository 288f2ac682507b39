/* reads.c - a list in the order of asking. */
#include "procs/raft/reads.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define READS_ROOM_MIN 64
#define READS_ROOM_KEEP 1024

struct reads_question {
    struct reads_origin origin;
    uint64_t read_id;
};

bool reads_add(struct reads *reads, const struct reads_origin *origin)
{
    if (reads->count == READS_MAX)
        return false;
    if (reads->count == reads->room)
        reads->questions =
            mem_grow(reads->questions, &reads->room, sizeof(struct reads_question), READS_ROOM_MIN);
    reads->questions[reads->count++] = (struct reads_question){.origin = *origin};
    return true;
}

uint64_t reads_ask(struct reads *reads)
{
    if (reads->asked == reads->count)
        return 0;
    reads->read_id++;
    while (reads->asked < reads->count)
        reads->questions[reads->asked++].read_id = reads->read_id;
    return reads->read_id;
}

void reads_answer(struct reads *reads, uint64_t read_id, reads_answer_fn *answer, void *arg)
{
    size_t first = 0;
    while (first < reads->asked && reads->questions[first].read_id != read_id)
        first++;
    size_t end = first;
    for (; end < reads->asked && reads->questions[end].read_id == read_id; end++)
        answer(&reads->questions[end].origin, arg);
    if (end == first)
        return;
    memmove(&reads->questions[first], &reads->questions[end],
            (reads->count - end) * sizeof(struct reads_question));
    reads->count -= end - first;
    reads->asked -= end - first;
    if (reads->count == 0 && reads->room > READS_ROOM_KEEP) {
        free(reads->questions);
        reads->questions = NULL;
        reads->room = 0;
    }
}

void reads_fini(struct reads *reads)
{
    free(reads->questions);
    *reads = (struct reads){0};
}
