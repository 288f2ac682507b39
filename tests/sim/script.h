/* script.h - scenarios as text: commands in, what must come of them below each.
 *
 *     # A comment; blank lines are kept, too.
 *     > cluster 3
 *     > lead 1
 *     > propose 1 2
 *       1 writes #4 entries 2..3 proposed
 *       1 -> 2 term=1 append prev=1/1 count=2 commit=1 round=3 floor=1
 *
 * Nothing happens by itself: messages stay on the wire until they are delivered or dropped, writes
 * in the queue until they are synced, entries unapplied. The rules are checked all the same. A file
 * passes when its commands give exactly the text that it holds; --rewrite records it anew, to be
 * reviewed as a diff. docs/testing.md lists the commands.
 */
#ifndef INSI_TESTS_SIM_SCRIPT_H
#define INSI_TESTS_SIM_SCRIPT_H

#include <stdbool.h>

#include "tests/sim/sim.h"

#define SCRIPT_WORDS_MAX 12

struct script_line {
    uint32_t count;
    const char *words[SCRIPT_WORDS_MAX];
};

/* 0 when the file holds what its commands give; the difference goes to stderr. */
int sim_script_run(const char *path, bool rewrite);

/* commands.c: carries out one line; the output goes to world->trace. False: not understood. */
bool sim_script_command(struct sim_world *world, const struct script_line *line);

/* wire.c: the commands about messages */
bool sim_script_deliver(struct sim_world *world, const struct script_line *line);
bool sim_script_drop(struct sim_world *world, const struct script_line *line);
bool sim_script_repeat(struct sim_world *world, const struct script_line *line);
bool sim_script_hold(struct sim_world *world, const struct script_line *line);
bool sim_script_release(struct sim_world *world);
bool sim_script_wire(struct sim_world *world, const struct script_line *line);
/* All between members of a group of ids, as bits; the others are lost. Whether there were any. */
bool sim_script_deliver_among(struct sim_world *world, uint64_t group);

/* The value of name=value among the words; the default when it is not there. */
const char *sim_script_option(const struct script_line *line, const char *name,
                              const char *otherwise);
uint64_t sim_script_number(const struct script_line *line, const char *name, uint64_t otherwise);
struct sim_node *sim_script_node(struct sim_world *world, const struct script_line *line,
                                 uint32_t word); /* NULL: no such node */

#endif
