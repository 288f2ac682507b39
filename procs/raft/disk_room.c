/* disk_room.c - see disk_room.h. */
#include "procs/raft/disk_room.h"

static void disk_room_note(struct disk_room *room, uint64_t id, bool is_full)
{
    uint32_t at = 0;
    while (at < room->full_count && room->full[at] != id)
        at++;
    if (is_full && at == room->full_count && at < RAFT_MEMBERS_MAX)
        room->full[room->full_count++] = id;
    else if (!is_full && at < room->full_count)
        room->full[at] = room->full[--room->full_count];
}

void disk_room_on_message(struct disk_room *room, const struct peer *from, struct unpack *body)
{
    bool is_full;
    if (peer_disk_decode(&is_full, body) != 0)
        return;
    disk_room_note(room, peer_info(from)->id, is_full);
}

void disk_room_on_heard(struct disk_room *room, const struct peer *from)
{
    disk_room_note(room, peer_info(from)->id, false);
}

bool disk_room_is_full(struct disk_room *room, size_t bytes)
{
    bool is_full = disk_guard_is_full(&room->guard, loop_now_ns(room->loop), bytes);
    if (wal_has_reserve(room->wal))
        return is_full;
    if (!is_full && room->guard.looked)
        wal_retry_reserve(room->wal);
    return true;
}

bool disk_room_others_are_full(const struct disk_room *room)
{
    for (uint32_t i = 0; i < room->full_count; i++) {
        const struct member *member = members_find(&room->group->members, room->full[i]);
        if (member && member->voter && group_is_active(room->group, member->id))
            return true;
    }
    return false;
}

void disk_room_say(struct disk_room *room, struct peer *leader)
{
    bool is_full = disk_room_is_full(room, 0);
    if ((is_full || room->said_full) && peer_say_disk(leader, is_full) == 0)
        room->said_full = is_full;
}

void disk_room_on_leader(struct disk_room *room)
{
    room->said_full = false;
}

void disk_room_init(struct disk_room *room, const char *folder, const struct group *group,
                    struct wal *wal, struct loop *loop)
{
    *room = (struct disk_room){.group = group, .wal = wal, .loop = loop};
    disk_guard_init(&room->guard, folder);
}
