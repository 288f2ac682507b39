/* main.c - has the simulator teeth? The core is built with its deliberate faults
 * (procs/raft/core/mutation.h); each of them, switched on alone, must make a seed fail.
 *
 *     raft-mutants [--seeds N] [--jobs N] [--only NAME]
 *
 * N seeds are the most that one may need. Prints how many each needed, and what was noticed. */
#ifndef RAFT_MUTATIONS
#define RAFT_MUTATIONS /* tests.mk says so for all files of this program */
#endif

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "procs/raft/core/mutation.h"
#include "tests/sim/seed.h"

#define MUTANTS_JOBS_MAX 64

struct mutant { /* in shared memory */
    uint64_t seed;
    bool caught;
    char failure[256];
};

static const char *const mutant_names[] = {"none",
#define X(name, text) #name,
                                           RAFT_MUTATION_LIST(X)
#undef X
};
static const char *const mutant_texts[] = {"",
#define X(name, text) text,
                                           RAFT_MUTATION_LIST(X)
#undef X
};

/* In a process of its own: a core that fails one of its checks takes it down, which counts. */
static void mutant_run(struct mutant *mutant, enum raft_mutation mutation, uint64_t seeds)
{
    struct sim_marks marks = {0};
    struct sim_result result = {.passed = true};
    raft_mutation = mutation;
    CHECK(freopen("/dev/null", "w", stderr));
    snprintf(mutant->failure, sizeof(mutant->failure), "the core failed one of its own checks");
    for (mutant->seed = 1; mutant->seed <= seeds; mutant->seed++) {
        sim_seed_run(mutant->seed, &marks, NULL, NULL, &result);
        if (result.passed)
            continue;
        mutant->caught = true;
        snprintf(mutant->failure, sizeof(mutant->failure), "%.255s", result.failure);
        break;
    }
    _exit(0);
}

static void mutant_reap(struct mutant *mutants, const pid_t *pids, uint32_t *running)
{
    int status;
    pid_t pid = waitpid(-1, &status, 0);
    for (uint32_t i = 1; i < RAFT_MUTATION_END; i++)
        if (pids[i] == pid && WIFSIGNALED(status))
            mutants[i].caught = true;
    (*running)--;
}

static uint32_t mutants_report(const struct mutant *mutants, const char *only)
{
    uint32_t alive = 0;
    for (uint32_t i = 1; i < RAFT_MUTATION_END; i++) {
        const struct mutant *mutant = &mutants[i];
        if (only && strcmp(only, mutant_names[i]) != 0)
            continue;
        alive += !mutant->caught;
        if (mutant->caught)
            printf("%-24s seed %4lu  %.100s\n", mutant_names[i], mutant->seed, mutant->failure);
        else
            printf("%-24s NOT CAUGHT: %s\n", mutant_names[i], mutant_texts[i]);
    }
    printf("%u mutations of the core, %u not caught\n", RAFT_MUTATION_END - 1, alive);
    return alive;
}

static uint32_t mutants_run(uint64_t seeds, uint32_t jobs, const char *only)
{
    pid_t pids[RAFT_MUTATION_END] = {0};
    struct mutant *mutants = mmap(NULL, RAFT_MUTATION_END * sizeof(*mutants),
                                  PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(mutants != MAP_FAILED);
    uint32_t running = 0;
    for (uint32_t i = 1; i < RAFT_MUTATION_END; i++) {
        if (only && strcmp(only, mutant_names[i]) != 0)
            continue;
        if (running == jobs)
            mutant_reap(mutants, pids, &running);
        fflush(NULL);
        pids[i] = fork();
        CHECK(pids[i] >= 0);
        if (pids[i] == 0)
            mutant_run(&mutants[i], (enum raft_mutation)i, seeds);
        running++;
    }
    while (running > 0)
        mutant_reap(mutants, pids, &running);
    return mutants_report(mutants, only);
}

int main(int argc, char **argv)
{
    uint64_t seeds = 3000;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const char *only = NULL;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seeds") == 0)
            seeds = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--jobs") == 0)
            cores = strtol(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--only") == 0)
            only = argv[i + 1];
    }
    if (cores < 1 || cores > MUTANTS_JOBS_MAX)
        cores = 1;
    return mutants_run(seeds, (uint32_t)cores, only) > 0;
}
