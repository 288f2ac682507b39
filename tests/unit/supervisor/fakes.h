/* fakes.h - a node whose supervisor is real and whose workers are tests/fake/worker.c: in a
 * temporary folder, with a port of its own, in a process of its own. */
#ifndef INSI_TESTS_UNIT_SUPERVISOR_FAKES_H
#define INSI_TESTS_UNIT_SUPERVISOR_FAKES_H

#include <criterion/criterion.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/clock.h"
#include "insid-supervisor/children.h"
#include "insid-supervisor/config_file.h"

#define FAKES_NODE "node0"

extern char fakes_folder[64];
extern char fakes_config[96]; /* the file's path */
/* Time for what is not to happen, however busy the machine is; a test that wants it to happen sets
 * a short limit before the start. */
extern struct child_limits fakes_limits;

void fakes_init(void); /* folder, configuration */
void fakes_fini(void); /* kills what still runs, removes the folder */

/* Writes the configuration anew with so many gateways and this in its limits section. */
void fakes_write_config(unsigned gateways, const char *limits, const char *more);

/* What a worker is to do at its next starts: "crash crash serve". */
void fakes_tell(const char *name, const char *behaviours);

/* Removes a worker's program from the node's libexec, and puts it back. */
void fakes_uninstall(enum proc proc);
void fakes_install(enum proc proc);

void fakes_start(void);
pid_t fakes_pid(void);   /* of the supervisor */
int fakes_wait(void);    /* for its end; the exit status */
void fakes_forget(void); /* it was waited for already */

pid_t fakes_worker(const char *name);                       /* the pid of its last start */
unsigned fakes_traced(const char *name, const char *what);  /* so often */
unsigned fakes_logged(const char *event, const char *more); /* lines with both; event may be "" */
uint64_t fakes_traced_ms(const char *name, const char *what, unsigned which); /* boot time */
bool fakes_is_alive(pid_t pid);
bool fakes_state_has(const char *name, const char *line);    /* of its last start */
uint64_t fakes_state_hex(const char *name, const char *key); /* the number behind "SigIgn:" */

#define FAKES_WAIT_FOR(condition)                                                                  \
    do {                                                                                           \
        uint64_t end_ms_ = clock_boot_ms() + 15000;                                                \
        while (!(condition)) {                                                                     \
            if (clock_boot_ms() >= end_ms_)                                                        \
                fakes_dump();                                                                      \
            cr_assert_lt(clock_boot_ms(), end_ms_, "waited in vain: %s", #condition);              \
            fakes_pause();                                                                         \
        }                                                                                          \
    } while (0)
void fakes_pause(void);
void fakes_dump(void); /* the log, to stderr */

#endif
