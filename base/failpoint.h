/* failpoint.h - places where a test lets a process die, or wait.
 *
 * A place is named in the code, FAILPOINT("snapshot_renamed"), where dying must do no harm and
 * would show it if it did: between two steps that have an order. The environment names one of them:
 *
 *     INSI_TEST_FAIL=<name>:<what>:<file>
 *
 * what: "kill": the process sends itself SIGKILL there, "stop": SIGSTOP; "hold": the thread stays
 * there until the test writes into the file, while the process's other threads go on. It happens
 * once: the one who makes the file (O_EXCL) is struck, others pass. Read once per process. Without
 * the variable a place costs one load; none is in a path that is taken per command.
 */
#ifndef INSI_BASE_FAILPOINT_H
#define INSI_BASE_FAILPOINT_H

#define FAILPOINT(name) failpoint_pass(name)

void failpoint_pass(const char *name);

#endif
