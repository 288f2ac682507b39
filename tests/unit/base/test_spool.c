/* Files written in steps, and places where a test lets a process die. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/failpoint.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/path.h"
#include "base/rng.h"
#include "base/spool.h"

static char folder[64], path[96];

static void swallow_log(enum log_level level, const char *line, void *arg)
{
    (void)level;
    (void)line;
    (void)arg;
}

static void make_folder(void)
{
    strcpy(folder, "/tmp/insi-spool-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/file", folder);
    log_set_hook(swallow_log, NULL);
}

static void remove_folder(void)
{
    path_remove_tree(folder);
}

TestSuite(spool, .init = make_folder, .fini = remove_folder, .timeout = 60);
TestSuite(failpoint, .init = make_folder, .fini = remove_folder, .timeout = 60);

static uint8_t *noise(size_t len)
{
    uint8_t *bytes = mem_alloc(len + 1);
    struct rng rng;
    rng_init(&rng, len);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)rng_next(&rng);
    return bytes;
}

static void expect_file(const uint8_t *bytes, size_t len)
{
    struct stat info;
    int fd = open(path, O_RDONLY);
    cr_assert_geq(fd, 0);
    cr_assert_eq(fstat(fd, &info), 0);
    cr_assert_eq((size_t)info.st_size, len);
    cr_assert_eq(info.st_mode & 0777, 0600);
    uint8_t *found = mem_alloc(len + 1);
    cr_assert_eq(read(fd, found, len), (ssize_t)len);
    cr_assert_arr_eq(found, bytes, len);
    free(found);
    close(fd);
}

static void write_in_pieces(struct spool *spool, const uint8_t *bytes, size_t len, size_t piece)
{
    for (size_t at = 0; at < len; at += piece) {
        size_t part = len - at < piece ? len - at : piece;
        cr_assert_eq(spool_write(spool, bytes + at, part), 0);
        cr_assert_leq(spool->end - spool->finished, 2UL * SPOOL_STEP_BYTES + piece);
    }
}

Test(spool, a_file_holds_what_was_written_in_pieces_of_any_size)
{
    static const size_t pieces[] = {777, 4096, SPOOL_STEP_BYTES, 5 * SPOOL_STEP_BYTES / 2};
    size_t len = 7 * SPOOL_STEP_BYTES + 13;
    uint8_t *bytes = noise(len);
    for (unsigned i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        const struct spool_options options = {.path = path, .stays_cached = i % 2 == 0};
        struct spool spool;
        cr_assert_eq(spool_open(&spool, &options), 0);
        write_in_pieces(&spool, bytes, len, pieces[i]);
        cr_assert_eq(spool_sync(&spool), 0);
        cr_assert_eq(spool.finished, len);
        spool_close(&spool);
        expect_file(bytes, len);
        unlink(path);
    }
    free(bytes);
}

/* Only the least is said: a busy machine takes longer. */
Test(spool, a_file_written_with_rests_takes_that_much_longer_and_holds_the_same)
{
    enum { STEPS = 6, REST = 3, PIECES = 4 };
    size_t piece = SPOOL_STEP_BYTES / PIECES, len = STEPS * SPOOL_STEP_BYTES + 13;
    uint8_t *bytes = noise(len);
    const struct spool_options options = {.path = path, .rest = REST};
    struct spool spool;
    uint64_t step_ns = 0, due_ns = 0, took_ns = 0;
    cr_assert_eq(spool_open(&spool, &options), 0);
    for (size_t at = 0; at < len; at += piece) {
        uint64_t start_ns = clock_boot_ns();
        usleep(3000); /* what its user does between two writes is part of the step */
        step_ns += clock_boot_ns() - start_ns;
        start_ns = clock_boot_ns();
        cr_assert_eq(spool_write(&spool, bytes + at, len - at < piece ? len - at : piece), 0);
        took_ns += clock_boot_ns() - start_ns;
        cr_assert_lt(spool.end - spool.finished, SPOOL_STEP_BYTES);
        if (spool.end % SPOOL_STEP_BYTES != 0)
            continue;
        cr_assert_eq(spool.finished, spool.end, "a step is on the disk before the rest");
        due_ns += step_ns * REST < SPOOL_REST_MAX_NS ? step_ns * REST : SPOOL_REST_MAX_NS;
        step_ns = 0;
    }
    cr_assert_geq(took_ns, due_ns);
    cr_assert_geq(due_ns, 3000000ull * PIECES * STEPS * REST);
    cr_assert_eq(spool_sync(&spool), 0);
    spool_close(&spool);
    expect_file(bytes, len);
    free(bytes);
}

Test(spool, a_rest_has_an_end)
{
    const struct spool_options options = {.path = path, .rest = 10000000};
    struct spool spool;
    uint8_t *bytes = noise(SPOOL_STEP_BYTES);
    cr_assert_eq(spool_open(&spool, &options), 0);
    for (unsigned i = 0; i < 3; i++) {
        uint64_t start_ns = clock_boot_ns();
        usleep(1000); /* of this alone it would rest for hours */
        cr_assert_eq(spool_write(&spool, bytes, SPOOL_STEP_BYTES), 0);
        cr_assert_geq(clock_boot_ns() - start_ns, SPOOL_REST_MAX_NS);
    }
    spool_close(&spool);
    free(bytes);
}

Test(spool, a_file_goes_on_where_it_ended_when_asked_to_and_is_refused_else)
{
    struct spool_options options = {.path = path};
    struct spool spool;
    cr_assert_eq(spool_open(&spool, &options), 0);
    cr_assert_eq(spool_write(&spool, "abc", 3), 0);
    spool_close(&spool);
    cr_assert_eq(spool_open(&spool, &options), E_IO);
    options.goes_on = true;
    cr_assert_eq(spool_open(&spool, &options), 0);
    cr_assert_eq(spool.end, 3);
    cr_assert_eq(spool_write(&spool, "def", 3), 0);
    cr_assert_eq(spool_sync(&spool), 0);
    spool_close(&spool);
    expect_file((const uint8_t *)"abcdef", 6);
}

Test(spool, the_reserve_of_the_file_system_is_left_alone)
{
    struct spool_options options = {.path = path, .reserve_bytes = 1ull << 62};
    struct spool spool;
    uint8_t *bytes = noise(SPOOL_STEP_BYTES);
    cr_assert_eq(spool_check_room(folder, 1, 0), 0);
    cr_assert_eq(spool_check_room(folder, 1ull << 62, 0), E_STORAGE_FULL);
    cr_assert_eq(spool_check_room(folder, 1, 1ull << 62), E_STORAGE_FULL);
    cr_assert_eq(spool_check_room("/no/such/folder", 1, 0), E_IO);
    cr_assert_eq(spool_open(&spool, &options), 0);
    int error = 0;
    for (unsigned i = 0; i <= SPOOL_LOOK_BYTES / SPOOL_STEP_BYTES && error == 0; i++)
        error = spool_write(&spool, bytes, SPOOL_STEP_BYTES);
    cr_assert_eq(error, E_STORAGE_FULL);
    spool_close(&spool);
    free(bytes);
}

Test(spool, a_full_disk_is_told_from_other_errors)
{
    const struct spool_options options = {.path = "/dev/full", .goes_on = true};
    struct spool spool;
    cr_assert_eq(spool_open(&spool, &options), 0);
    cr_assert_eq(spool_write(&spool, "abc", 3), E_STORAGE_FULL);
    spool_close(&spool);
}

Test(spool, a_sum_piece_by_piece_is_that_of_the_whole)
{
    uint8_t whole[SHA256_BYTES], pieces[SHA256_BYTES], *bytes = noise(10000);
    hash_sha256(slice_of(bytes, 10000), whole);
    for (size_t piece = 1; piece < 20000; piece = piece * 3 + 1) {
        struct hash_sum *sum = hash_sum_begin();
        for (size_t at = 0; at < 10000; at += piece)
            hash_sum_add(sum, bytes + at, at + piece > 10000 ? 10000 - at : piece);
        hash_sum_end(&sum, pieces);
        cr_assert_null(sum);
        cr_assert_arr_eq(whole, pieces, SHA256_BYTES, "pieces of %zu", piece);
    }
    struct hash_sum *unused = hash_sum_begin();
    hash_sum_end(&unused, NULL);
    free(bytes);
}

/* ---- failpoints ---- */

/* The signal that ends a process which passes the places first and second. */
static int pass_in_a_process(const char *variable)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        setenv("INSI_TEST_FAIL", variable, 1);
        FAILPOINT("first");
        FAILPOINT("second");
        _exit(0);
    }
    cr_assert_eq(waitpid(pid, &status, WUNTRACED), pid);
    if (WIFSTOPPED(status)) {
        kill(pid, SIGKILL);
        cr_assert_eq(waitpid(pid, NULL, 0), pid);
        return WSTOPSIG(status);
    }
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

Test(failpoint, one_process_is_struck_at_the_place_that_was_named_and_only_once)
{
    char variable[128];
    snprintf(variable, sizeof(variable), "second:kill:%s/flag", folder);
    cr_assert_eq(pass_in_a_process(variable), SIGKILL);
    cr_assert_eq(pass_in_a_process(variable), 0);
    snprintf(variable, sizeof(variable), "first:stop:%s/other", folder);
    cr_assert_eq(pass_in_a_process(variable), SIGSTOP);
    snprintf(variable, sizeof(variable), "third:kill:%s/third", folder);
    cr_assert_eq(pass_in_a_process(variable), 0);
    cr_assert_neq(access(path, F_OK), 0);
}

Test(failpoint, who_is_held_goes_on_when_the_file_is_written_to)
{
    char variable[128], file[96];
    int status;
    snprintf(file, sizeof(file), "%s/held", folder);
    snprintf(variable, sizeof(variable), "first:hold:%s", file);
    pid_t pid = fork();
    if (pid == 0) {
        setenv("INSI_TEST_FAIL", variable, 1);
        FAILPOINT("first");
        FAILPOINT("first"); /* once */
        _exit(0);
    }
    while (access(file, F_OK) != 0)
        usleep(1000);
    usleep(50000);
    cr_assert_eq(waitpid(pid, &status, WNOHANG), 0, "it stays");
    FILE *out = fopen(file, "we");
    cr_assert_not_null(out);
    fputs("go on", out);
    cr_assert_eq(fclose(out), 0);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

Test(failpoint, what_names_no_place_does_nothing)
{
    cr_assert_eq(pass_in_a_process(""), 0);
    cr_assert_eq(pass_in_a_process("first"), 0);
    cr_assert_eq(pass_in_a_process("first:kill"), 0);
    cr_assert_eq(pass_in_a_process("first:kill:/no/such/folder/file"), 0);
}
