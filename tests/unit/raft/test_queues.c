/* What is gathered over a turn: proposals and questions; and the cache of the newest entries. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/check.h"
#include "procs/raft/proposals.h"
#include "procs/raft/reads.h"
#include "procs/raft/wal/entry_cache.h"

/* ---- reads ---- */

struct heard {
    uint64_t ids[8];
    size_t count;
};

static void reads_hear(const struct reads_origin *origin, void *arg)
{
    struct heard *heard = arg;
    cr_assert_lt(heard->count, 8);
    heard->ids[heard->count++] = origin->id;
}

Test(reads, questions_of_a_turn_share_one)
{
    struct reads reads = {0};
    struct heard heard = {0};
    cr_assert_eq(reads_ask(&reads), 0);
    for (uint64_t id = 1; id <= 3; id++)
        cr_assert(reads_add(&reads, &(struct reads_origin){.id = id}));
    uint64_t first = reads_ask(&reads);
    cr_assert_neq(first, 0);
    cr_assert_eq(reads_ask(&reads), 0, "they are asked already");
    cr_assert(reads_add(&reads, &(struct reads_origin){.id = 4}));
    uint64_t second = reads_ask(&reads);
    cr_assert_neq(second, first);
    cr_assert(reads_add(&reads, &(struct reads_origin){.id = 5}));
    reads_answer(&reads, second, reads_hear, &heard);
    cr_assert_eq(heard.count, 1);
    cr_assert_eq(heard.ids[0], 4);
    reads_answer(&reads, second, reads_hear, &heard);
    reads_answer(&reads, 99, reads_hear, &heard);
    cr_assert_eq(heard.count, 1, "answered once");
    heard.count = 0;
    reads_answer(&reads, first, reads_hear, &heard);
    cr_assert_eq(heard.count, 3);
    cr_assert_eq(heard.ids[2], 3);
    heard.count = 0;
    reads_answer(&reads, reads_ask(&reads), reads_hear, &heard);
    cr_assert_eq(heard.ids[0], 5);
    cr_assert_eq(reads.count, 0);
    reads_fini(&reads);
}

static void reads_ignore(const struct reads_origin *origin, void *arg)
{
    (void)origin;
    (void)arg;
}

Test(reads, are_bounded)
{
    struct reads reads = {0};
    for (uint64_t i = 0; i < READS_MAX; i++)
        cr_assert(reads_add(&reads, &(struct reads_origin){.id = i}));
    cr_assert_not(reads_add(&reads, &(struct reads_origin){.id = 1}));
    reads_answer(&reads, reads_ask(&reads), reads_ignore, NULL);
    cr_assert_eq(reads.room, 0, "memory is given back");
    cr_assert(reads_add(&reads, &(struct reads_origin){.id = 1}));
    reads_fini(&reads);
}

/* ---- proposals ---- */

Test(proposals, keep_bytes_and_origins_together)
{
    struct proposals *proposals = mem_alloc(sizeof(*proposals));
    proposals_init(proposals);
    proposals_add(proposals, &(struct proposal_origin){.sequence = 1}, slice_text("first"));
    proposals_add(proposals, &(struct proposal_origin){.sequence = 2}, slice_text("second one"));
    cr_assert_eq(proposals->count, 2);
    cr_assert_eq(proposals->sizes[1], 10);
    cr_assert_eq(proposals->origins[1].sequence, 2);
    cr_assert_eq(memcmp(proposals_entry(proposals, 0), "first", 5), 0);
    cr_assert_eq(memcmp(proposals_entry(proposals, 1), "second one", 10), 0);
    proposals_clear(proposals);
    cr_assert_eq(proposals->count, 0);
    proposals_fini(proposals);
    free(proposals);
}

Test(proposals, are_full_by_count_or_by_bytes)
{
    struct proposals *proposals = mem_alloc(sizeof(*proposals));
    struct proposal_origin origin = {0};
    char *large = mem_alloc(PROPOSALS_BYTES);
    proposals_init(proposals);
    for (unsigned i = 0; i < PROPOSALS_MAX; i++) {
        cr_assert_not(proposals_is_full(proposals));
        proposals_add(proposals, &origin, slice_text("x"));
    }
    cr_assert(proposals_is_full(proposals));
    proposals_clear(proposals);
    proposals_add(proposals, &origin, slice_of(large, PROPOSALS_BYTES - 1));
    cr_assert_not(proposals_is_full(proposals));
    proposals_add(proposals, &origin, slice_of(large, PROPOSALS_BYTES));
    cr_assert(proposals_is_full(proposals));
    proposals_clear(proposals);
    cr_assert_eq(proposals->bytes.cap, 0, "memory is given back");
    proposals_fini(proposals);
    free(large);
    free(proposals);
}

/* ---- the cache ---- */

static void cache_add(struct entry_cache *cache, uint64_t index, uint64_t term, size_t bytes,
                      uint64_t write)
{
    char *payload = mem_alloc(bytes + 1);
    memset(payload, (int)('a' + (index + term) % 26), bytes);
    entry_cache_add(
        cache,
        &(struct wal_entry){
            .index = index, .term = term, .kind = WAL_COMMAND, .payload = slice_of(payload, bytes)},
        write);
    free(payload);
}

static void cache_check(const struct entry_cache *cache, uint64_t index, uint64_t term)
{
    struct wal_entry entry;
    cr_assert(entry_cache_get(cache, index, &entry), "entry %lu", index);
    cr_assert_eq(entry.index, index);
    cr_assert_eq(entry.term, term);
    for (size_t i = 0; i < entry.payload.len; i++)
        cr_assert_eq(((const char *)entry.payload.data)[i], (char)('a' + (index + term) % 26));
}

Test(entry_cache, keeps_what_is_not_durable_and_a_little_more)
{
    struct entry_cache cache;
    struct wal_entry entry;
    entry_cache_init(&cache);
    for (uint64_t i = 1; i <= 5000; i++)
        cache_add(&cache, i, 1, 1000, i);
    entry_cache_trim(&cache, 1000);
    cache_check(&cache, 5000, 1);
    cache_check(&cache, 1001, 1);
    entry_cache_trim(&cache, 5000);
    cr_assert_not(entry_cache_get(&cache, 1, &entry));
    cache_check(&cache, 5000, 1);
    cr_assert_leq(cache.chunk_bytes, ENTRY_CACHE_KEEP_BYTES);
    cr_assert_gt(cache.count, 500);
    cr_assert_not(entry_cache_get(&cache, 5001, &entry));
    entry_cache_fini(&cache);
}

Test(entry_cache, a_large_entry_does_not_stay)
{
    struct entry_cache cache;
    entry_cache_init(&cache);
    cache_add(&cache, 1, 1, 100, 1);
    cache_add(&cache, 2, 1, 8 << 20, 2);
    entry_cache_trim(&cache, 1);
    cache_check(&cache, 2, 1);
    entry_cache_trim(&cache, 2);
    cr_assert_leq(cache.chunk_bytes, ENTRY_CACHE_KEEP_BYTES);
    cache_add(&cache, 3, 1, 100, 3);
    cache_check(&cache, 3, 1);
    entry_cache_fini(&cache);
}

Test(entry_cache, an_override_leaves_what_is_before_it)
{
    struct entry_cache cache;
    struct wal_entry entry;
    entry_cache_init(&cache);
    for (uint64_t i = 10; i < 3000; i++)
        cache_add(&cache, i, 1, 500, i);
    cache_add(&cache, 20, 2, 500, 3000);
    cache_check(&cache, 19, 1);
    cache_check(&cache, 20, 2);
    cr_assert_not(entry_cache_get(&cache, 21, &entry));
    cache_add(&cache, 5, 3, 10, 3001); /* below all that is there */
    cache_check(&cache, 5, 3);
    cr_assert_not(entry_cache_get(&cache, 19, &entry));
    cr_assert_eq(cache.count, 1);
    cache_add(&cache, 100, 3, 10, 3002); /* a log that begins anew */
    cache_check(&cache, 100, 3);
    cr_assert_eq(cache.count, 1);
    entry_cache_fini(&cache);
}

/* Against a plain array, with everything at random. */
Test(entry_cache, always_gives_what_was_put_in_last)
{
    struct entry_cache cache;
    uint64_t terms[4000] = {0}, last = 0, durable = 0;
    unsigned short seed[3] = {9, 9, 9};
    entry_cache_init(&cache);
    for (uint64_t write = 1; last < 3900; write++) {
        uint64_t back = nrand48(seed) % 64 == 0 ? (uint64_t)nrand48(seed) % 60 : 0;
        uint64_t index = last + 1 > back ? last + 1 - back : 1;
        last = index;
        terms[index] = write;
        size_t bytes = nrand48(seed) % 100 == 0 ? 600000 : (size_t)nrand48(seed) % 3000;
        cache_add(&cache, index, write, bytes, write);
        if (nrand48(seed) % 4 == 0) {
            durable = write - (uint64_t)nrand48(seed) % (write - durable);
            entry_cache_trim(&cache, durable);
        }
        for (uint64_t i = last; i > 0 && i + 5 > last; i--)
            if (terms[i] > durable)
                cache_check(&cache, i, terms[i]);
        uint64_t any = cache.first_index + (uint64_t)nrand48(seed) % (cache.count + 1);
        if (any < cache.first_index + cache.count)
            cache_check(&cache, any, terms[any]);
    }
    entry_cache_fini(&cache);
}
