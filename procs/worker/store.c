/* store.c - the boot rule of store.h, numbered as there.
 *
 * The mark is one small text file, replaced as a whole: "insi-map 1", "boot <id>", "clean <0|1>",
 * a line each.
 */
#include "procs/worker/store.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/failpoint.h"
#include "base/file.h"
#include "base/log.h"
#include "base/path.h"

#define STORE_MARK_FORMAT 1
#define STORE_FILE_BYTES STORE_PATH_BYTES
#define STORE_TEXT_BYTES 128

struct store_mark {
    char boot_id[CLOCK_BOOT_ID_BYTES];
    bool is_clean;
};

static int store_failed(const char *event, const char *path)
{
    LOG_ERROR(event, LOG_STR("path", path), LOG_ERRNO(errno));
    return E_IO;
}

/* ---- the mark ---- */

static void store_mark_file(char out[STORE_FILE_BYTES], const char *folder)
{
    int len = snprintf(out, STORE_FILE_BYTES, "%s/mark", folder);
    CHECK(len > 0 && len < STORE_FILE_BYTES);
}

/* E_NOT_FOUND, E_CORRUPT, E_IO. */
static int store_read_mark(const char *folder, struct store_mark *mark)
{
    char path[STORE_FILE_BYTES];
    int format = 0, is_clean = 0, end = 0, fields = 0;
    struct buf text;

    store_mark_file(path, folder);
    buf_init(&text, STORE_TEXT_BYTES);
    int error = file_read(&text, path);
    if (error == E_IO)
        error = errno == ENOENT ? E_NOT_FOUND : store_failed("map_mark_unreadable", path);
    else if (error != 0 || buf_append_byte(&text, '\0') != 0)
        error = E_CORRUPT;
    else /* NOLINTNEXTLINE(cert-err34-c): the text must come out as it was written */
        fields = sscanf((char *)text.data, "insi-map %d boot %36s clean %d %n", &format,
                        mark->boot_id, &is_clean, &end);
    if (error == 0 && (fields != 3 || format != STORE_MARK_FORMAT || text.data[end] != '\0' ||
                       (is_clean & ~1) != 0))
        error = E_CORRUPT;
    mark->is_clean = is_clean == 1;
    buf_fini(&text);
    return error;
}

static int store_write_mark(const char *folder, const struct store_mark *mark)
{
    char path[STORE_FILE_BYTES], text[STORE_TEXT_BYTES];

    store_mark_file(path, folder);
    int len = snprintf(text, sizeof(text), "insi-map %d\nboot %s\nclean %d\n", STORE_MARK_FORMAT,
                       mark->boot_id, mark->is_clean ? 1 : 0);
    CHECK(len > 0 && len < (int)sizeof(text));
    int error = file_replace(path, slice_of(text, (size_t)len));
    return error != 0 ? store_failed("map_mark_failed", path) : 0;
}

static int store_remove_mark(const char *folder)
{
    char path[STORE_FILE_BYTES];

    store_mark_file(path, folder);
    return unlink(path) == 0 || errno == ENOENT ? 0 : store_failed("map_mark_failed", path);
}

/* A boot that nobody can name is not the same as any other. */
static void store_this_boot(char out[CLOCK_BOOT_ID_BYTES])
{
    if (clock_boot_id(out) == 0)
        return;
    LOG_WARN("boot_id_unreadable", LOG_ERRNO(errno));
    snprintf(out, CLOCK_BOOT_ID_BYTES, "unknown");
}

int store_mark_clean(const char *folder)
{
    struct store_mark mark = {.is_clean = true};

    store_this_boot(mark.boot_id);
    return store_write_mark(folder, &mark);
}

/* ---- the map ---- */

int store_discard(const char *folder, const char *reason)
{
    char parent[STORE_FILE_BYTES];

    LOG_WARN("map_discarded", LOG_STR("folder", folder), LOG_STR("reason", reason));
    (void)store_remove_mark(folder); /* first: then it is not used, whatever else fails */
    if (path_remove_tree(folder) != 0 || path_make_folder(folder) != 0)
        return store_failed("map_discard_failed", folder);
    snprintf(parent, sizeof(parent), "%s/..", folder);
    if (path_sync_folder(folder) != 0 || path_sync_folder(parent) != 0)
        return store_failed("map_discard_failed", folder);
    return 0;
}

/* ---- crashes ----
 *
 * A signal handler has nothing but these to go by. */

static const int store_faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
#define STORE_FAULTS (sizeof(store_faults) / sizeof(store_faults[0]))

static struct {
    int fd; /* of the file; -1: not counted */
    uint8_t count;
    bool is_watching;
    struct sigaction before[STORE_FAULTS];
} store_crash = {.fd = -1};

static void store_crash_file(char out[STORE_FILE_BYTES], const char *folder)
{
    snprintf(out, STORE_FILE_BYTES, "%s/crashes", folder);
}

/* Never synced: after a crash of the system the boot rule decides. What cannot be read is 0. */
static uint8_t store_read_crashes(const char *folder)
{
    char path[STORE_FILE_BYTES];
    uint8_t count = 0;

    store_crash_file(path, folder);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return 0;
    if (read(fd, &count, 1) != 1)
        count = 0;
    close(fd);
    return count;
}

/* Notes it, and lets it happen again with whatever was to be done about it before. */
static void store_on_fault(int signal_number)
{
    int saved = errno;

    if (store_crash.fd >= 0 && pwrite(store_crash.fd, &store_crash.count, 1, 0) != 1)
        store_crash.fd = -1; /* nothing to be done about it here */
    for (size_t i = 0; i < STORE_FAULTS; i++) {
        if (store_faults[i] == signal_number)
            sigaction(signal_number, &store_crash.before[i], NULL);
    }
    errno = saved;
    raise(signal_number);
}

static void store_count_crashes(const char *folder)
{
    const struct sigaction action = {.sa_handler = store_on_fault};
    char path[STORE_FILE_BYTES];

    if (store_crash.fd >= 0)
        close(store_crash.fd); /* of another map, in tests */
    store_crash.count = (uint8_t)(store_read_crashes(folder) + 1);
    store_crash_file(path, folder);
    store_crash.fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    for (size_t i = 0; i < STORE_FAULTS && !store_crash.is_watching; i++)
        sigaction(store_faults[i], &action, &store_crash.before[i]);
    store_crash.is_watching = true;
}

void store_forget_crashes(const char *folder)
{
    char path[STORE_FILE_BYTES];

    if (store_crash.fd >= 0)
        close(store_crash.fd);
    store_crash.fd = -1;
    store_crash_file(path, folder);
    unlink(path);
}

/* Rule 1: NULL, or why the map may not be used. */
static const char *store_objection(const struct store_mark *mark, int mark_error,
                                   const char *boot_id)
{
    if (mark_error == E_NOT_FOUND)
        return "no mark of the boot that wrote it";
    if (mark_error != 0)
        return "the mark of the boot that wrote it is damaged";
    if (mark->is_clean)
        return NULL;
    if (strcmp(boot_id, "unknown") == 0)
        return "not closed cleanly, and this boot is unknown";
    return strcmp(mark->boot_id, boot_id) == 0 ? NULL : "not closed cleanly before another boot";
}

static int store_check_room(const char *folder, uint64_t room_bytes)
{
    uint64_t free_bytes;

    if (path_space(folder, &free_bytes, NULL) != 0)
        return store_failed("map_folder_failed", folder);
    if (free_bytes >= room_bytes)
        return 0;
    LOG_ERROR("map_has_no_room", LOG_STR("folder", folder), LOG_U64("free_bytes", free_bytes),
              LOG_U64("needed_bytes", room_bytes));
    return E_IO;
}

static void store_staging(char out[STORE_FILE_BYTES], const char *folder)
{
    int len = snprintf(out, STORE_FILE_BYTES, "%s/staged", folder);
    CHECK(len > 0 && len < STORE_FILE_BYTES);
}

/* What is left of one that did not get its place. */
static int store_clear_staging(const char *folder)
{
    char staging[STORE_FILE_BYTES];

    store_staging(staging, folder);
    return path_remove_tree(staging) == 0 ? 0 : store_failed("map_staging_failed", staging);
}

static void store_tell_losing(const struct store_options *options)
{
    if (options->losing != NULL)
        options->losing(options->arg);
}

static int store_give_up(const struct store_options *options, const char *reason)
{
    store_tell_losing(options);
    return store_discard(options->folder, reason);
}

/* Whether what lies there may be used: if not, it is gone afterwards. */
static int store_judge(const struct store_options *options, const char *boot_id)
{
    struct store_mark mark = {0};

    if (!map_exists(options->folder, options->kind))
        return 0;
    int mark_error = store_read_mark(options->folder, &mark);
    if (mark_error == E_IO)
        return E_IO;
    const char *objection = store_objection(&mark, mark_error, boot_id);
    if (objection == NULL && store_read_crashes(options->folder) >= STORE_CRASHES)
        objection = "its process has crashed again and again";
    return objection != NULL ? store_give_up(options, objection) : 0;
}

/* Rules 1, 2 and 5. */
static int store_prepare(const struct store_options *options)
{
    struct store_mark fresh = {.is_clean = false};

    if (path_make_folder(options->folder) != 0)
        return store_failed("map_folder_failed", options->folder);
    store_this_boot(fresh.boot_id);
    int error = store_clear_staging(options->folder);
    if (error == 0)
        error = store_judge(options, fresh.boot_id);
    if (error != 0)
        return error;
    if (map_exists(options->folder, options->kind))
        return store_write_mark(options->folder, &fresh);
    store_tell_losing(options);
    error = store_remove_mark(options->folder); /* there is one again with store_accept */
    return error != 0 ? error : store_check_room(options->folder, options->room_bytes);
}

int store_open(struct map **out, const struct store_options *options)
{
    const char *folder = options->folder;

    *out = NULL;
    int error = store_prepare(options);
    if (error != 0)
        return error;
    store_count_crashes(folder); /* LMDB's look at the map may be one */
    error = map_open_writer(out, folder, options->kind);
    if (error == E_CORRUPT || error == E_VERSION || error == E_FOREIGN) { /* rule 3 */
        error = store_give_up(options, error_text(error));
        if (error == 0)
            error = store_prepare(options);
        if (error == 0)
            error = map_open_writer(out, folder, options->kind);
    }
    if (error != 0)
        LOG_ERROR("map_open_failed", LOG_STR("folder", folder),
                  LOG_STR("error", error_text(error)));
    return error;
}

/* ---- a map from elsewhere ---- */

int store_stage(const char *folder, enum map_kind kind, char out[STORE_PATH_BYTES])
{
    char staging[STORE_FILE_BYTES];

    int error = store_clear_staging(folder);
    if (error != 0)
        return error;
    store_staging(staging, folder);
    if (path_make_folder(staging) != 0)
        return store_failed("map_staging_failed", staging);
    return map_file(out, STORE_PATH_BYTES, staging, kind) == 0 ? 0 : E_IO;
}

int store_open_staged(struct map **out, const char *folder, enum map_kind kind)
{
    char staging[STORE_FILE_BYTES];

    store_staging(staging, folder);
    return map_open_writer(out, staging, kind);
}

int store_place(struct map *staged, const char *folder)
{
    int error = store_remove_mark(folder);
    if (error != 0)
        return error;
    FAILPOINT("map_unmarked");
    return map_move(staged, folder);
}

int store_accept(const char *folder)
{
    struct store_mark fresh = {.is_clean = false};

    store_this_boot(fresh.boot_id);
    int error = store_write_mark(folder, &fresh);
    return error != 0 ? error : store_clear_staging(folder);
}
