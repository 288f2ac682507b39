/* seed.h - running seeds: one, or many in several processes. */
#ifndef INSI_TESTS_SIM_SEED_H
#define INSI_TESTS_SIM_SEED_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/sim/marks.h"

struct sim_result {
    bool passed;
    uint64_t hash, steps;
    char failure[1024];
};

/* One seed, in this process. A failing one prints its state to errors (NULL: nowhere). */
void sim_seed_run(uint64_t seed, struct sim_marks *marks, FILE *trace, FILE *errors,
                  struct sim_result *result);

/* Seeds first .. first + count - 1 in jobs processes; stops at the first failures. Returns how many
 * failed; each is printed with what replays it. */
uint32_t sim_seeds_run(uint64_t first, uint64_t count, uint32_t jobs, struct sim_marks *marks);

/* count seeds, each twice: is everything determined by the seed? Returns how many were not. */
uint32_t sim_seeds_repeat(uint64_t first, uint64_t count);

#endif
