/* rng.c - splitmix64. */
#include "base/rng.h"

#include "base/check.h"

void rng_init(struct rng *rng, uint64_t seed)
{
    rng->state = seed;
}

uint64_t rng_next(struct rng *rng)
{
    uint64_t z = (rng->state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

uint64_t rng_below(struct rng *rng, uint64_t bound)
{
    CHECK(bound > 0);
    uint64_t unfair = (0 - bound) % bound; /* 2^64 mod bound: draws below it would favour some */
    uint64_t draw;
    do
        draw = rng_next(rng);
    while (draw < unfair);
    return draw % bound;
}

uint64_t rng_between(struct rng *rng, uint64_t low, uint64_t high)
{
    CHECK(low <= high);
    return high - low == UINT64_MAX ? rng_next(rng) : low + rng_below(rng, high - low + 1);
}
