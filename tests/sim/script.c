/* script.c - reads scenarios, runs their commands, and compares. */
#include "tests/sim/script.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "tests/sim/oracle.h"

#define SCRIPT_LINE_MAX 400

const char *sim_script_option(const struct script_line *line, const char *name,
                              const char *otherwise)
{
    size_t length = strlen(name);
    for (uint32_t i = 1; i < line->count; i++)
        if (strncmp(line->words[i], name, length) == 0 && line->words[i][length] == '=')
            return line->words[i] + length + 1;
    return otherwise;
}

uint64_t sim_script_number(const struct script_line *line, const char *name, uint64_t otherwise)
{
    const char *text = sim_script_option(line, name, NULL);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

struct sim_node *sim_script_node(struct sim_world *world, const struct script_line *line,
                                 uint32_t word)
{
    return word < line->count ? sim_node_by_id(world, strtoull(line->words[word], NULL, 10)) : NULL;
}

static struct script_line sim_script_split(char *text)
{
    struct script_line line = {0};
    char *state;
    for (char *word = strtok_r(text, " \n", &state); word && line.count < SCRIPT_WORDS_MAX;
         word = strtok_r(NULL, " \n", &state))
        line.words[line.count++] = word;
    return line;
}

/* Whether it was understood, and broke no rule. */
static bool sim_script_try(struct sim_world *world, const struct script_line *line)
{
    static jmp_buf failed;
    world->failed = &failed;
    if (setjmp(failed) != 0)
        return false;
    return line->count > 0 && sim_script_command(world, line);
}

/* One command line; "~" instead of ">" leaves its output out. */
static bool sim_script_line(struct sim_world *world, const char *text, FILE *out)
{
    char copy[SCRIPT_LINE_MAX];
    snprintf(copy, sizeof(copy), "%s", text + 1);
    struct script_line line = sim_script_split(copy);
    world->trace = text[0] == '>' ? out : NULL;
    if (sim_script_try(world, &line))
        return true;
    if (world->failure[0])
        fprintf(out, "  FAILED %s\n", world->failure);
    else
        fprintf(out, "  NOT UNDERSTOOD\n");
    return false;
}

/* The file again, with what its commands give now. */
static char *sim_script_output(FILE *in, bool *failed)
{
    static struct sim_world world; /* large */
    static struct sim_marks marks;
    char text[SCRIPT_LINE_MAX], *output;
    size_t size;
    FILE *out = open_memstream(&output, &size);
    CHECK(out);
    sim_world_init(&world, 1, &marks);
    world.scripted = true;
    *failed = false;
    while (fgets(text, sizeof(text), in)) {
        if (text[0] == ' ')
            continue; /* what they gave before */
        fputs(text, out);
        if (!*failed && (text[0] == '>' || text[0] == '~'))
            *failed = !sim_script_line(&world, text, out);
    }
    sim_world_fini(&world);
    fclose(out);
    return output;
}

static void sim_script_diff(const char *path, const char *output)
{
    char now[] = "/tmp/raft-sim-XXXXXX";
    int file = mkstemp(now);
    CHECK(file >= 0 && write(file, output, strlen(output)) == (ssize_t)strlen(output));
    close(file);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        execlp("diff", "diff", "-u", path, now, (char *)NULL);
        _exit(127);
    }
    waitpid(pid, NULL, 0);
    unlink(now);
}

static char *sim_script_text(FILE *in)
{
    char *text = mem_alloc(1), line[SCRIPT_LINE_MAX];
    size_t used = 0;
    rewind(in);
    while (fgets(line, sizeof(line), in)) {
        size_t length = strlen(line);
        text = mem_resize(text, used + length + 1);
        memcpy(text + used, line, length + 1);
        used += length;
    }
    return text;
}

int sim_script_run(const char *path, bool rewrite)
{
    FILE *in = fopen(path, "r");
    if (!in) {
        fprintf(stderr, "raft-sim: cannot read %s\n", path);
        return 1;
    }
    bool failed;
    char *output = sim_script_output(in, &failed);
    char *before = sim_script_text(in);
    fclose(in);
    bool same = strcmp(output, before) == 0;
    if (rewrite && !same && !failed) {
        FILE *file = fopen(path, "w");
        CHECK(file && fputs(output, file) >= 0 && fclose(file) == 0);
        printf("recorded anew: %s\n", path);
    } else if (!same) {
        fflush(stdout);
        sim_script_diff(path, output);
    }
    free(before);
    free(output);
    return failed || (!same && !rewrite);
}
