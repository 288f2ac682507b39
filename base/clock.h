/* clock.h - the only place that reads a clock.
 *
 * Boot time (CLOCK_BOOTTIME, counts suspend, never jumps) is what leases, timeouts and intervals
 * are measured with, in ns since boot. Wall time is for people and for the start of cluster time;
 * it may jump. Cluster time is the board's (shm/board.h). All processes of a node must live in one
 * time namespace. No function here fails but clock_boot_id: a missing clock is a failed check.
 */
#ifndef INSI_BASE_CLOCK_H
#define INSI_BASE_CLOCK_H

#include <stdint.h>

#define NS_PER_MS 1000000ull
#define NS_PER_S 1000000000ull

uint64_t clock_boot_ns(void);
uint64_t clock_boot_ms(void);
uint64_t clock_wall_ms(void); /* ms since 1970-01-01 UTC; 0 for anything before */

/* The environment variable INSI_TEST_WALL_OFFSET_MS, read at the first call of clock_wall_ms,
 * shifts this process's wall clock: for tests of nodes whose clocks disagree. */

/* RFC 3339 in UTC with milliseconds: "2026-11-24T08:15:30.123Z"; the last moment of the year 9999
 * for all that lies behind it. out holds CLOCK_RFC3339_BYTES. */
#define CLOCK_RFC3339_BYTES 32
void clock_format_rfc3339(uint64_t wall_ms, char *out);

/* The kernel's boot id ("xxxxxxxx-xxxx-..."), NUL terminated, the same until the next boot.
 * E_IO with errno when it cannot be read. The environment variable INSI_TEST_BOOT_ID replaces it in
 * tests. */
#define CLOCK_BOOT_ID_BYTES 37
int clock_boot_id(char out[CLOCK_BOOT_ID_BYTES]);

#endif
