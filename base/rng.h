/* rng.h - seeded, repeatable random numbers (splitmix64, Steele et al. 2014). Not for secrets:
 * those come from token.h. The state is explicit so that a simulation owns every choice. */
#ifndef INSI_BASE_RNG_H
#define INSI_BASE_RNG_H

#include <stdint.h>

struct rng {
    uint64_t state;
};

void rng_init(struct rng *rng, uint64_t seed);
uint64_t rng_next(struct rng *rng);
uint64_t rng_below(struct rng *rng, uint64_t bound); /* 0 <= result < bound, unbiased; bound > 0 */
uint64_t rng_between(struct rng *rng, uint64_t low, uint64_t high); /* both inclusive */

#endif
