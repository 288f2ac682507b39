/* seed.c - running seeds: one, or many in several processes. A core that fails one of its own
 * checks takes its process down; which seed it was is then known from shared memory. */
#include "tests/sim/seed.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "tests/sim/oracle.h"
#include "tests/sim/sim.h"

#define SEED_JOBS_MAX 64
#define SEED_FAILURES_MAX 3 /* of one process; then it stops */

/* ---- one ---------------------------------------------------------------------------------------
 */

static void sim_seed_genesis(struct sim_world *world)
{
    struct raft_config config = {.count = world->profile.voters};
    for (uint32_t i = 0; i < config.count; i++)
        config.members[i] = (struct raft_member){.id = i + 1, .voter = true};
    const struct raft_config *genesis = sim_keep_config(world, &config);
    for (uint32_t i = 0; i < config.count; i++)
        sim_node_init(world, i + 1, genesis);
}

void sim_seed_run(uint64_t seed, struct sim_marks *marks, FILE *trace, FILE *errors,
                  struct sim_result *result)
{
    static struct sim_world world; /* large */
    jmp_buf failed;
    sim_world_init(&world, seed, marks);
    world.trace = trace;
    world.failed = &failed;
    result->passed = setjmp(failed) == 0;
    if (result->passed) {
        sim_profile_draw(&world);
        sim_seed_genesis(&world);
        sim_run(&world);
    }
    result->hash = world.hash;
    result->steps = world.steps;
    snprintf(result->failure, sizeof(result->failure), "%s", world.failure);
    if (!result->passed && errors) {
        fprintf(errors, "seed %lu failed: %s\n", seed, world.failure);
        sim_dump(&world, errors);
    }
    sim_world_fini(&world);
}

/* ---- many --------------------------------------------------------------------------------------
 */

struct seed_job {  /* in shared memory */
    uint64_t seed; /* under way */
    uint32_t failures;
    uint64_t steps, done;
    struct sim_marks marks;
};

static void sim_seeds_job(struct seed_job *job, uint64_t first, uint64_t count, uint32_t number,
                          uint32_t jobs)
{
    struct sim_result result;
    for (uint64_t i = number; i < count && job->failures < SEED_FAILURES_MAX; i += jobs) {
        job->seed = first + i;
        sim_seed_run(job->seed, &job->marks, NULL, stderr, &result);
        job->steps += result.steps;
        job->done++;
        if (!result.passed)
            job->failures++;
    }
    fflush(NULL);
    _exit(0);
}

static void sim_seeds_reap(struct seed_job *job, pid_t pid)
{
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return;
    job->failures++;
    fprintf(stderr, "seed %lu failed: the process ended with %s %d\n", job->seed,
            WIFSIGNALED(status) ? "signal" : "status",
            WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

uint32_t sim_seeds_run(uint64_t first, uint64_t count, uint32_t jobs, struct sim_marks *marks)
{
    pid_t pids[SEED_JOBS_MAX];
    CHECK(jobs > 0 && jobs <= SEED_JOBS_MAX);
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    struct seed_job *job =
        mmap(NULL, jobs * sizeof(*job), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(job != MAP_FAILED);
    fflush(NULL);
    for (uint32_t i = 0; i < jobs; i++) {
        pids[i] = fork();
        CHECK(pids[i] >= 0);
        if (pids[i] == 0)
            sim_seeds_job(&job[i], first, count, i, jobs);
    }
    uint32_t failures = 0;
    uint64_t steps = 0, done = 0;
    for (uint32_t i = 0; i < jobs; i++) {
        sim_seeds_reap(&job[i], pids[i]);
        failures += job[i].failures;
        steps += job[i].steps;
        done += job[i].done;
        for (uint32_t k = 0; k < SIM_MARKS; k++)
            marks->count[k] += job[i].marks.count[k];
    }
    munmap(job, jobs * sizeof(*job));
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%lu seeds from %lu on, %lu steps, %.1f s: %u failed\n", done, first, steps,
           (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9,
           failures);
    return failures;
}

uint32_t sim_seeds_repeat(uint64_t first, uint64_t count)
{
    struct sim_marks marks = {0};
    struct sim_result once, again;
    uint32_t different = 0;
    for (uint64_t seed = first; seed < first + count; seed++) {
        sim_seed_run(seed, &marks, NULL, NULL, &once);
        sim_seed_run(seed, &marks, NULL, NULL, &again);
        if (once.hash == again.hash && once.steps == again.steps)
            continue;
        fprintf(stderr, "seed %lu went differently the second time\n", seed);
        different++;
    }
    printf("%lu seeds run twice: %u differ\n", count, different);
    return different;
}
