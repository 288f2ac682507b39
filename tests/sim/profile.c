/* profile.c - what a seed decides: swarm style. Each seed draws its own rates, and many of them are
 * nothing, so that rare combinations are not drowned by everything else going wrong, too. */
#include "tests/sim/sim.h"

static uint64_t sim_draw(struct sim_world *world, uint64_t low, uint64_t high)
{
    return rng_between(&world->rng, low, high);
}

/* Nothing in permille of the seeds, else between low and high. */
static uint64_t sim_draw_some(struct sim_world *world, uint32_t nothing, uint64_t low,
                              uint64_t high)
{
    return sim_chance(world, nothing) ? 0 : sim_draw(world, low, high);
}

static void sim_profile_size(struct sim_world *world)
{
    static const uint32_t voters[] = {1, 1, 3, 3, 3, 3, 3, 3, 3, 3, 5, 5, 5, 5, 5, 7};
    struct sim_profile *profile = &world->profile;
    profile->voters = voters[sim_below(world, sizeof(voters) / sizeof(voters[0]))];
    profile->spares = (uint32_t)sim_draw_some(world, 300, 1, 4);
    if (profile->voters == 1) /* it grows */
        profile->spares = (uint32_t)sim_draw_some(world, 200, 2, 5);
}

static void sim_profile_network(struct sim_world *world)
{
    struct sim_profile *profile = &world->profile;
    profile->loss_permille = (uint32_t)sim_draw_some(world, 500, 1, 150);
    if (sim_chance(world, 50))
        profile->loss_permille = 300;
    profile->duplicate_permille = (uint32_t)sim_draw_some(world, 600, 10, 300);
    profile->delay_ns = sim_draw(world, 0, profile->heartbeat_ns / 3);
    profile->delay_tail_ns =
        sim_draw_some(world, 600, profile->heartbeat_ns, 3 * profile->election_ns);
    profile->tail_permille = (uint32_t)sim_draw(world, 5, sim_chance(world, 300) ? 200 : 30);
    profile->reorder = sim_chance(world, 500);
}

static void sim_profile_machine(struct sim_world *world)
{
    struct sim_profile *profile = &world->profile;
    profile->fsync_ns = sim_draw(world, 0, profile->heartbeat_ns / 2);
    profile->fsync_slow_permille = (uint32_t)sim_draw_some(world, 600, 5, 100);
    profile->apply_ns = sim_draw_some(world, 300, SIM_MS / 10, profile->heartbeat_ns);
    profile->gateway_pause_permille = (uint32_t)sim_draw_some(world, 300, 10, 300);
    static const uint32_t spreads[] = {0, 100, 10000, 52000}; /* 52000 / 2^20 is just below 5 % */
    profile->clock_spread = spreads[sim_below(world, 4)];
    if (sim_chance(world, 60)) { /* beyond any margin: whatever needs no clock must hold */
        profile->clock_spread = 300000;
        profile->reads = RAFT_READS_INDEX;
    }
    profile->snapshot_gap = sim_draw_some(world, 300, 1, sim_chance(world, 500) ? 6 : 60);
}

static void sim_profile_core(struct sim_world *world)
{
    struct sim_profile *profile = &world->profile;
    if (sim_chance(world, 200))
        profile->reads = RAFT_READS_INDEX;
    profile->append_entries = (uint32_t)sim_draw(world, 1, sim_chance(world, 500) ? 4 : 60);
    profile->append_bytes = (uint32_t)sim_draw_some(world, 700, SIM_ENTRY_BYTES, 1000);
    profile->window_bytes = (uint32_t)sim_draw_some(world, 700, 2000, 5000);
    uint32_t entries = profile->append_bytes / SIM_ENTRY_BYTES;
    if (entries == 0 || entries > profile->append_entries)
        entries = profile->append_entries;
    uint32_t window = 16 / entries; /* less would not carry the load */
    profile->window_messages = (uint32_t)sim_draw(world, window + 1, window + 3);
    if (sim_chance(world, 500))
        profile->window_messages = 64;
    profile->promote_lag = (uint32_t)sim_draw(world, 1, 50);
    profile->manual_promotion = sim_chance(world, 200);
    profile->uncommitted_bytes =
        sim_draw(world, 8, sim_chance(world, 300) ? 20 : 150) * SIM_ENTRY_BYTES;
}

/* Some of the faults, each with a weight of its own. */
static void sim_profile_faults(struct sim_world *world)
{
    struct sim_profile *profile = &world->profile;
    uint32_t quiet = (uint32_t)sim_draw(world, 300, 950);
    for (uint32_t i = 0; i < SIM_FAULTS; i++) {
        profile->weights[i] = (uint32_t)sim_draw_some(world, quiet, 1, 10);
        profile->weight_sum += profile->weights[i];
    }
    if (profile->voters == 1 || sim_chance(world, 300))
        for (uint32_t i = SIM_FAULT_add; i <= SIM_FAULT_promote; i++) {
            profile->weights[i] += 3;
            profile->weight_sum += 3;
        }
}

void sim_profile_draw(struct sim_world *world)
{
    struct sim_profile *profile = &world->profile;
    *profile = (struct sim_profile){0};
    profile->election_ns = sim_draw(world, 100, 1000) * SIM_MS;
    profile->heartbeat_ns = profile->election_ns / sim_draw(world, 3, 10);
    sim_profile_size(world);
    sim_profile_network(world);
    sim_profile_machine(world);
    sim_profile_core(world);
    sim_profile_faults(world);
    profile->client_gap_ns = profile->election_ns / sim_draw(world, 2, 20);
    profile->nemesis_gap_ns = profile->election_ns * sim_draw(world, 1, 8) / 4;
    profile->chaos_ns = profile->election_ns * sim_draw(world, 15, 45);
    profile->chase_permille = (uint32_t)sim_draw_some(world, 300, 100, 900);
    profile->leave_some_broken = sim_chance(world, 500);
}

void sim_profile_print(const struct sim_world *world, FILE *out)
{
    static const char *const names[] = {
#define X(name) #name,
        SIM_FAULT_LIST(X)
#undef X
    };
    const struct sim_profile *p = &world->profile;
    fprintf(out,
            "profile: voters=%u spares=%u election=%lums heartbeat=%lums reads=%s loss=%u "
            "duplicate=%u delay=%luus tail=%lums reorder=%d fsync=%luus slow=%u apply=%luus "
            "gateway_pause=%u clock=%u snapshot_gap=%lu append=%u window=%u lag=%u bytes=%lu "
            "manual=%d client=%lums nemesis=%lums chaos=%lums leave=%d\n",
            p->voters, p->spares, p->election_ns / SIM_MS, p->heartbeat_ns / SIM_MS,
            p->reads == RAFT_READS_LEASE ? "lease" : "index", p->loss_permille,
            p->duplicate_permille, p->delay_ns / 1000, p->delay_tail_ns / SIM_MS, p->reorder,
            p->fsync_ns / 1000, p->fsync_slow_permille, p->apply_ns / 1000,
            p->gateway_pause_permille, p->clock_spread, p->snapshot_gap, p->append_entries,
            p->window_messages, p->promote_lag, p->uncommitted_bytes, p->manual_promotion,
            p->client_gap_ns / SIM_MS, p->nemesis_gap_ns / SIM_MS, p->chaos_ns / SIM_MS,
            p->leave_some_broken);
    fprintf(out, "faults:");
    for (uint32_t i = 0; i < SIM_FAULTS; i++)
        if (p->weights[i] > 0)
            fprintf(out, " %s=%u", names[i], p->weights[i]);
    fprintf(out, "\n");
}
