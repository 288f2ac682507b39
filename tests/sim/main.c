/* main.c - the simulator's command line.
 *
 *     raft-sim [--seeds N] [--from SEED] [--jobs N] [--marks]    many seeds
 *     raft-sim --seed S [--trace]                                one, in full
 *     raft-sim --repeat --seeds N [--from SEED]                  each twice, to be the same
 *     raft-sim --scripts [--rewrite] FILE...                     scenarios
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/sim/script.h"
#include "tests/sim/seed.h"

#define MAIN_MARKS_SEEDS 2000 /* so many must show everything that marks.h lists */

struct sim_arguments {
    uint64_t seeds, from, seed;
    uint32_t jobs;
    bool one, trace, marks, repeat, scripts, rewrite;
    char **files; /* scripts */
    int file_count;
};

static const char *const mark_names[] = {
#define X(name, text) #name,
    SIM_MARK_LIST(X)
#undef X
};
static const char *const mark_texts[] = {
#define X(name, text) text,
    SIM_MARK_LIST(X)
#undef X
};

static uint64_t sim_number(const char *text)
{
    char *end;
    uint64_t value = strtoull(text, &end, 10);
    if (*text && !*end)
        return value;
    fprintf(stderr, "raft-sim: '%s' is no number\n", text);
    exit(2);
}

static struct sim_arguments sim_arguments(int argc, char **argv)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct sim_arguments arguments = {.from = 1,
                                      .jobs = cores > 0 && cores < 64 ? (uint32_t)cores : 1};
    for (int i = 1; i < argc; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--trace") == 0)
            arguments.trace = true;
        else if (strcmp(argv[i], "--marks") == 0)
            arguments.marks = true;
        else if (strcmp(argv[i], "--seeds") == 0 && ++i)
            arguments.seeds = sim_number(next);
        else if (strcmp(argv[i], "--from") == 0 && ++i)
            arguments.from = sim_number(next);
        else if (strcmp(argv[i], "--repeat") == 0)
            arguments.repeat = true;
        else if (strcmp(argv[i], "--scripts") == 0)
            arguments.scripts = true;
        else if (strcmp(argv[i], "--rewrite") == 0)
            arguments.rewrite = true;
        else if (strcmp(argv[i], "--jobs") == 0 && ++i)
            arguments.jobs = (uint32_t)sim_number(next);
        else if (strcmp(argv[i], "--seed") == 0 && ++i) {
            arguments.seed = sim_number(next);
            arguments.one = true;
        } else if (arguments.scripts) {
            arguments.files = argv + i;
            arguments.file_count = argc - i;
            break;
        } else {
            fprintf(stderr, "raft-sim: unknown argument '%s'\n", argv[i]);
            exit(2);
        }
    }
    return arguments;
}

/* How often each rare thing happened; returns how many never did. */
static uint32_t sim_marks_report(const struct sim_marks *marks, bool all, bool enough)
{
    uint32_t missing = 0;
    for (uint32_t i = 0; i < SIM_MARKS; i++) {
        if (all)
            printf("%12lu  %-24s %s\n", marks->count[i], mark_names[i], mark_texts[i]);
        if (marks->count[i] > 0)
            continue;
        missing++;
        if (!all && enough)
            printf("never happened: %s (%s)\n", mark_names[i], mark_texts[i]);
    }
    return missing;
}

int main(int argc, char **argv)
{
    struct sim_arguments arguments = sim_arguments(argc, argv);
    struct sim_marks marks = {0};
    if (arguments.one) {
        struct sim_result result;
        sim_seed_run(arguments.seed, &marks, arguments.trace ? stdout : NULL, stderr, &result);
        printf("seed %lu: %s, %lu steps, hash %016lx\n", arguments.seed,
               result.passed ? "passed" : "failed", result.steps, result.hash);
        if (arguments.marks)
            sim_marks_report(&marks, true, false);
        return result.passed ? 0 : 1;
    }
    if (arguments.scripts) {
        int failed = 0;
        for (int i = 0; i < arguments.file_count; i++)
            failed += sim_script_run(arguments.files[i], arguments.rewrite);
        printf("%d scenarios: %d failed\n", arguments.file_count, failed);
        return failed > 0 || arguments.file_count == 0;
    }
    if (arguments.repeat)
        return sim_seeds_repeat(arguments.from, arguments.seeds) > 0;
    uint32_t failures = sim_seeds_run(arguments.from, arguments.seeds, arguments.jobs, &marks);
    bool enough = arguments.seeds >= MAIN_MARKS_SEEDS;
    uint32_t missing = sim_marks_report(&marks, arguments.marks, enough);
    return failures > 0 || (missing > 0 && enough);
}
