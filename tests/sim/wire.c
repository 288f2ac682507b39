/* wire.c - a script's commands about messages that are under way.
 *
 *     deliver [1>2] [append] [from-end]    all of them, or of that link, or of that kind
 *     drop    [1>2] [append]               lost
 *     repeat  [1>2] [append]               delivered, and still under way
 *     hold    [1>2] [append]               kept back until "release", then in front of all others
 *     wire                                 what is there
 */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/script.h"

#define WIRE_MAX 200 /* messages of one delivery */

static const char *sim_wire_kind(const struct raft_message *message)
{
    static const char *const names[] = {"vote",        "vote-reply", "append",    "append-reply",
                                        "timeout-now", "read",       "read-reply"};
    return names[message->kind];
}

struct wire_filter {
    uint64_t from, to; /* 0: any */
    const char *kind;  /* NULL: any */
    uint64_t count;    /* the first so many */
    bool last;         /* the newest alone */
};

static struct wire_filter sim_wire_filter(const struct script_line *line)
{
    struct wire_filter filter = {.count = sim_script_number(line, "count", UINT64_MAX)};
    for (uint32_t i = 1; i < line->count; i++) {
        const char *arrow = strchr(line->words[i], '>');
        if (arrow) {
            filter.from = strtoull(line->words[i], NULL, 10);
            filter.to = strtoull(arrow + 1, NULL, 10);
        } else if (strcmp(line->words[i], "last") == 0) {
            filter.last = true;
        } else if (!strchr(line->words[i], '=')) {
            filter.kind = line->words[i];
        }
    }
    return filter;
}

static bool sim_wire_matches(const struct wire_filter *filter, const struct sim_message *message)
{
    return (filter->from == 0 || filter->from == message->raft.from) &&
           (filter->to == 0 || filter->to == message->raft.to) &&
           (!filter->kind || strcmp(filter->kind, sim_wire_kind(&message->raft)) == 0);
}

/* Takes those that match off the wire, or copies of them; returns how many. */
static uint32_t sim_wire_take(struct sim_world *world, const struct wire_filter *filter, bool copy,
                              struct sim_message *taken[WIRE_MAX])
{
    uint32_t matching = 0, count = 0, at = 0;
    for (const struct sim_message *m = world->wire; m; m = m->next)
        matching += sim_wire_matches(filter, m);
    for (struct sim_message **link = &world->wire; *link && count < WIRE_MAX;) {
        struct sim_message *message = *link;
        bool wanted = sim_wire_matches(filter, message) && at++ < filter->count &&
                      (!filter->last || at == matching);
        if (!wanted || copy) {
            if (wanted)
                taken[count++] = sim_message_copy(message);
            link = &message->next;
            continue;
        }
        *link = message->next;
        message->next = NULL;
        taken[count++] = message;
    }
    return count;
}

static void sim_wire_arrive(struct sim_world *world, struct sim_message *message)
{
    struct sim_node *to = sim_node_by_id(world, message->raft.to);
    if (to->raft)
        sim_node_receive(world, to, message);
    else
        sim_trace_message(world, "lost:", &message->raft);
    sim_message_free(message);
}

static bool sim_wire_hand_over(struct sim_world *world, const struct script_line *line, bool copy,
                               bool arrive)
{
    struct sim_message *taken[WIRE_MAX];
    struct wire_filter filter = sim_wire_filter(line);
    uint32_t count = sim_wire_take(world, &filter, copy, taken);
    for (uint32_t i = 0; i < count; i++) {
        if (arrive) {
            sim_wire_arrive(world, taken[i]);
        } else {
            sim_trace_message(world, "lost:", &taken[i]->raft);
            sim_message_free(taken[i]);
        }
    }
    if (count == 0)
        sim_trace(world, "  none");
    return true;
}

bool sim_script_deliver(struct sim_world *world, const struct script_line *line)
{
    return sim_wire_hand_over(world, line, false, true);
}

bool sim_script_drop(struct sim_world *world, const struct script_line *line)
{
    return sim_wire_hand_over(world, line, false, false);
}

bool sim_script_repeat(struct sim_world *world, const struct script_line *line)
{
    return sim_wire_hand_over(world, line, true, true);
}

bool sim_script_hold(struct sim_world *world, const struct script_line *line)
{
    struct sim_message *taken[WIRE_MAX];
    struct wire_filter filter = sim_wire_filter(line);
    uint32_t count = sim_wire_take(world, &filter, false, taken);
    for (uint32_t i = count; i-- > 0;) {
        taken[i]->next = world->held;
        world->held = taken[i];
    }
    return count > 0;
}

bool sim_script_release(struct sim_world *world)
{
    struct sim_message **end = &world->held;
    while (*end)
        end = &(*end)->next;
    *end = world->wire;
    world->wire = world->held;
    world->held = NULL;
    return true;
}

bool sim_script_wire(struct sim_world *world, const struct script_line *line)
{
    (void)line;
    for (const struct sim_message *message = world->wire; message; message = message->next)
        sim_trace_message(world, "->", &message->raft);
    if (!world->wire)
        sim_trace(world, "  empty");
    return true;
}

bool sim_script_deliver_among(struct sim_world *world, uint64_t group)
{
    struct sim_message *taken[WIRE_MAX];
    struct wire_filter filter = {.count = UINT64_MAX};
    uint32_t count = sim_wire_take(world, &filter, false, taken);
    for (uint32_t i = 0; i < count; i++) {
        if (group >> taken[i]->raft.from & group >> taken[i]->raft.to & 1)
            sim_wire_arrive(world, taken[i]);
        else
            sim_message_free(taken[i]);
    }
    return count > 0;
}
