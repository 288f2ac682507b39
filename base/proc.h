/* proc.h - the processes of a node, who talks to whom, and what a child inherits.
 *
 * This header needs no library: the supervisor, which forks, includes it and links neither NNG nor
 * LMDB.
 */
#ifndef INSI_BASE_PROC_H
#define INSI_BASE_PROC_H

#include <stddef.h>

/* X(enumerator, number, name, program) - numbers travel in log entries and hellos. */
#define PROC_LIST(X)                                                                               \
    X(SUPERVISOR, 0, "supervisor", "insid")                                                        \
    X(RAFT, 1, "raft", "insi-raft")                                                                \
    X(STORAGE, 2, "storage", "insi-storage")                                                       \
    X(CACHEQ, 3, "cacheq", "insi-cacheq")                                                          \
    X(EVENTS, 4, "events", "insi-events")                                                          \
    X(GATEWAY, 5, "gateway", "insi-gateway")

enum proc {
#define X(name, number, text, program) PROC_##name = number,
    PROC_LIST(X)
#undef X
        PROC_COUNT
};

/* The state workers: the processes that apply entries. */
#define PROC_FIRST_WORKER PROC_STORAGE
#define PROC_LAST_WORKER PROC_EVENTS
#define PROC_WORKER_COUNT 3
#define PROC_WORKER_SLOT(proc) ((unsigned)(proc)-PROC_FIRST_WORKER)

const char *proc_name(enum proc proc);    /* "storage" */
const char *proc_program(enum proc proc); /* "insi-storage" */

/* Links (ipc/link.h; the left side listens):
 *   raft     <- storage, cacheq, events, each gateway
 *   storage  <- each gateway
 *   cacheq   <- each gateway
 *   events   <- each gateway
 * Socket: <runDir>/<listener>-<dialer><index of the dialer>.sock, "raft-gateway0.sock".
 * E_TOO_LARGE when the path would not fit a socket address. out gets "ipc://<path>". */
#define PROC_LINK_BYTES 128
int proc_link_url(char out[PROC_LINK_BYTES], const char *run_dir, enum proc listener,
                  enum proc dialer, unsigned dialer_index);

/* Descriptors a worker inherits. */
enum proc_fd {
    PROC_FD_CONTROL = 3, /* SOCK_SEQPACKET to the supervisor */
    PROC_FD_CONFIG =
        4,             /* sealed memfd: the text of the configuration that the supervisor checked */
    PROC_FD_HTTP = 5,  /* gateway: bound and listening socket (httpBinding) */
    PROC_FD_ADMIN = 6, /* gateway 0: adminBinding, when set */
    PROC_FD_LOCK = 7,  /* keeps the node's folder locked while this worker lives; never used */
};

/* Exit status of a worker that no restart can help (a corrupt log, say): the supervisor stops the
 * node and exits 1. Any other end of a worker is followed by its restart. */
#define PROC_EXIT_STOP_NODE 3

/* Arguments of a worker: --node <id> --index <n> --config-name <path, for messages> */

/* Control messages: one byte each, in one packet each. */
enum proc_control {
    PROC_CONTROL_READY = 'R',     /* worker -> supervisor: serving */
    PROC_CONTROL_HEARTBEAT = 'H', /* supervisor -> worker, answered with the same byte */
    PROC_CONTROL_STOP = 'S',      /* supervisor -> worker: finish what you hold and exit 0 */
    PROC_CONTROL_RELOAD = 'L', /* supervisor -> worker, with a new sealed config memfd attached */
    /* supervisor -> raft, before a planned stop of the node: hand leadership over and do not stand
     * for election again. Answered once, with the same byte, when this node does not lead or cannot
     * hand over; the supervisor waits for that for a bounded time. */
    PROC_CONTROL_YIELD = 'Y',
};

#endif
