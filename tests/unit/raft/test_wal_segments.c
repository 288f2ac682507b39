/* Segments and small files of a log that are missing, damaged, or somebody else's: the log is
 * refused, and the line says which file and why. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "tests/unit/raft/log_folder.h"

static struct log_folder folder;

static void begin(void)
{
    log_folder_init(&folder, false);
}

static void end(void)
{
    log_folder_fini(&folder);
}

TestSuite(segments, .init = begin, .fini = end, .timeout = 300);

Test(segments, a_missing_first_segment_is_noticed)
{
    log_make_segments(&folder);
    log_remove_segment(&folder, 1);
    log_expect_refusal(&folder, E_CORRUPT, 1, "a segment is missing");
}

Test(segments, a_missing_middle_segment_is_noticed)
{
    log_make_segments(&folder);
    log_remove_segment(&folder, 3);
    log_expect_refusal(&folder, E_CORRUPT, 3, "a segment is missing");
}

Test(segments, missing_last_segments_are_noticed)
{
    log_make_segments(&folder);
    uint64_t count = log_segment_count(&folder, NULL);
    log_remove_segment(&folder, count);
    log_expect_refusal(&folder, E_CORRUPT, count, "a segment is missing at the end");
    log_remove_segment(&folder, count - 1);
    log_expect_refusal(&folder, E_CORRUPT, count - 1, "a segment is missing at the end");
}

Test(segments, all_segments_missing_is_noticed)
{
    log_make_segments(&folder);
    for (uint64_t i = log_segment_count(&folder, NULL); i > 0; i--)
        log_remove_segment(&folder, i);
    log_expect_refusal(&folder, E_CORRUPT, 1, "a segment is missing");
}

Test(segments, a_segment_under_another_name_is_noticed)
{
    char from[WAL_NAME_BYTES], to[WAL_NAME_BYTES];
    log_make_segments(&folder);
    log_file_name(&folder, from, 3);
    log_file_name(&folder, to, 2);
    cr_assert_eq(rename(from, to), 0);
    log_expect_refusal(&folder, E_CORRUPT, 2, "another's name");
}

Test(segments, a_segment_of_another_node_is_refused)
{
    char mine[WAL_NAME_BYTES];
    uint8_t *bytes;
    log_make_segments(&folder);
    log_file_name(&folder, mine, 2);
    struct log_folder other;
    log_folder_init(&other, false);
    other.options.segment_bytes = LOG_SMALL_BYTES;
    cr_assert_eq(log_open(&other), 0);
    for (uint64_t i = 1; i <= 60; i++) {
        log_add(&other, i, 1, 1, 500);
        log_sync(&other);
    }
    log_close(&other);
    char theirs[WAL_NAME_BYTES];
    log_file_name(&other, theirs, 2);
    size_t len = log_file_load(theirs, &bytes);
    log_file_store(mine, bytes, len);
    free(bytes);
    cr_assert_eq(path_remove_tree(other.path), 0);
    log_folder_init(&other, false); /* for its hook: lines go to the first folder again */
    cr_assert_eq(path_remove_tree(other.path), 0);
    cr_assert_eq(log_open(&folder), E_FOREIGN);
}

Test(segments, a_flipped_bit_in_an_older_segment_names_file_and_offset)
{
    char name[WAL_NAME_BYTES];
    uint8_t *bytes;
    log_make_segments(&folder);
    log_file_name(&folder, name, 2);
    size_t len = log_file_load(name, &bytes);
    bytes[WAL_HEADER_BYTES + WAL_BATCH_HEADER_BYTES + 7] ^= 1;
    log_file_store(name, bytes, len);
    log_expect_refusal(&folder, E_CORRUPT, 2, "offset=4096");
    bytes[WAL_HEADER_BYTES + WAL_BATCH_HEADER_BYTES + 7] ^= 1;
    log_file_store(name, bytes, len);
    free(bytes);
    cr_assert_eq(log_open(&folder), 0);
    cr_assert_eq(folder.state.last_index, 60);
}

/* Nothing valid lies behind it in its segment, but the next segment does. */
Test(segments, a_damaged_end_of_an_older_segment_is_not_taken_for_a_torn_tail)
{
    char name[WAL_NAME_BYTES];
    uint8_t *bytes;
    log_make_segments(&folder);
    log_file_name(&folder, name, 2);
    size_t len = log_file_load(name, &bytes);
    size_t end = len;
    while (bytes[end - 1] == 0)
        end--;
    bytes[end - 2] ^= 1; /* in the seal */
    log_file_store(name, bytes, len);
    free(bytes);
    log_expect_refusal(&folder, E_CORRUPT, 2, "a later segment behind it");
}

Test(segments, a_lost_floor_or_identity_is_noticed)
{
    char name[WAL_NAME_BYTES], kept[WAL_NAME_BYTES + 8];
    static const char *const files[] = {"floor", "identity"};
    log_make_segments(&folder);
    for (unsigned i = 0; i < 2; i++) {
        snprintf(name, sizeof(name), "%s/%s", folder.path, files[i]);
        snprintf(kept, sizeof(kept), "%s.kept", name);
        cr_assert_eq(rename(name, kept), 0);
        cr_assert_eq(log_open(&folder), E_CORRUPT, "%s", files[i]);
        cr_assert_eq(rename(kept, name), 0);
    }
    cr_assert_eq(log_open(&folder), 0);
}

Test(segments, every_flipped_bit_of_the_small_files_is_found)
{
    static const char *const files[] = {"floor", "identity"};
    char name[WAL_NAME_BYTES];
    uint8_t *bytes;
    log_make_segments(&folder);
    for (unsigned i = 0; i < 2; i++) {
        snprintf(name, sizeof(name), "%s/%s", folder.path, files[i]);
        size_t len = log_file_load(name, &bytes);
        for (size_t bit = 0; bit < 8 * len; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            log_file_store(name, bytes, len);
            cr_assert_eq(log_open(&folder), E_CORRUPT, "%s bit %zu", files[i], bit);
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        log_file_store(name, bytes, len);
        free(bytes);
    }
    cr_assert_eq(log_open(&folder), 0);
}
