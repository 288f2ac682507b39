/* clock.c - the only place that reads a clock. */
#include "base/clock.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"

static struct {
    bool read_environment;
    int64_t wall_offset_ms;
} clock_context;

uint64_t clock_boot_ns(void)
{
    struct timespec now;
    CHECK(clock_gettime(CLOCK_BOOTTIME, &now) == 0);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t clock_boot_ms(void)
{
    return clock_boot_ns() / NS_PER_MS;
}

uint64_t clock_wall_ms(void)
{
    if (!clock_context.read_environment) {
        const char *offset = getenv("INSI_TEST_WALL_OFFSET_MS");
        clock_context.wall_offset_ms = offset ? strtoll(offset, NULL, 10) : 0;
        clock_context.read_environment = true;
    }
    struct timespec now;
    CHECK(clock_gettime(CLOCK_REALTIME, &now) == 0);
    int64_t ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / (int64_t)NS_PER_MS;
    ms += clock_context.wall_offset_ms;
    return ms > 0 ? (uint64_t)ms : 0;
}

void clock_format_rfc3339(uint64_t wall_ms, char *out)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc;
    if (!gmtime_r(&seconds, &utc) || utc.tm_year > 9999 - 1900) {
        snprintf(out, CLOCK_RFC3339_BYTES, "9999-12-31T23:59:59.999Z");
        return;
    }
    size_t len = strftime(out, CLOCK_RFC3339_BYTES, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(out + len, CLOCK_RFC3339_BYTES - len, ".%03uZ", (unsigned)(wall_ms % 1000));
}

int clock_boot_id(char out[CLOCK_BOOT_ID_BYTES])
{
    const char *fake = getenv("INSI_TEST_BOOT_ID");
    memset(out, 0, CLOCK_BOOT_ID_BYTES);
    if (fake) {
        memcpy(out, fake, strnlen(fake, CLOCK_BOOT_ID_BYTES - 1));
        return 0;
    }
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return E_IO;
    ssize_t got = read(fd, out, CLOCK_BOOT_ID_BYTES - 1);
    close(fd);
    return got == CLOCK_BOOT_ID_BYTES - 1 ? 0 : E_IO;
}
