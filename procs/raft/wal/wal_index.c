/* wal_index.c - a sorted array of places. */
#include "procs/raft/wal/wal_index.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

#define INDEX_ROOM_MIN 64

static void wal_index_add(struct wal_index *index, const struct wal_place *place)
{
    while (index->count > 0 && index->places[index->count - 1].first_index >= place->first_index)
        index->count--;
    if (index->count == index->room)
        index->places = mem_grow(index->places, &index->room, sizeof(*place), INDEX_ROOM_MIN);
    index->places[index->count++] = *place;
    index->noted = *place;
}

void wal_index_note(struct wal_index *index, const struct wal_place *place, uint64_t last_index)
{
    bool is_far = place->sequence != index->noted.sequence ||
                  place->offset >= index->noted.offset + WAL_INDEX_STEP;
    if (is_far || index->count == 0 || place->first_index <= index->last_index)
        wal_index_add(index, place);
    index->last_index = last_index;
}

bool wal_index_find(const struct wal_index *index, uint64_t entry, struct wal_place *place,
                    uint64_t *end)
{
    size_t low = 0, high = index->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (index->places[middle].first_index <= entry)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return false;
    *place = index->places[low - 1];
    *end = low < index->count ? index->places[low].first_index : UINT64_MAX;
    return true;
}

void wal_index_drop(struct wal_index *index, uint64_t first_sequence)
{
    size_t gone = 0;
    while (gone < index->count && index->places[gone].sequence < first_sequence)
        gone++;
    index->count -= gone;
    if (index->count > 0)
        memmove(index->places, index->places + gone, index->count * sizeof(index->places[0]));
}

void wal_index_clear(struct wal_index *index, uint64_t last_index)
{
    index->count = 0;
    index->noted = (struct wal_place){0};
    index->last_index = last_index;
}

void wal_index_fini(struct wal_index *index)
{
    free(index->places);
    *index = (struct wal_index){0};
}
