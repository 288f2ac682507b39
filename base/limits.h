/* limits.h - the maxima that several parts share and that are not settings, with what is answered
 * beyond them. A bound of one part stands in that part's header. */
#ifndef INSI_BASE_LIMITS_H
#define INSI_BASE_LIMITS_H

#define LIMIT_KEY_BYTES 480           /* 400 KEY_TOO_LONG; with the scope it fits LMDB's 511 */
#define LIMIT_BATCH_ITEMS 1000        /* 400 BATCH_TOO_LARGE */
#define LIMIT_SCAN_ITEMS 1000         /* iterate: 400 beyond */
#define LIMIT_JSON_DEPTH 32           /* 400 BAD_REQUEST */
#define LIMIT_HEADER_BYTES (16 << 10) /* request line and headers together; 400 BAD_REQUEST */
#define LIMIT_APIKEY_NAME_BYTES 128   /* 400 BAD_REQUEST */
#define LIMIT_QUEUE_WAIT_MS 60000     /* how long a pop may wait; 400 BAD_REQUEST */

#define LIMIT_BODY_MAX (64u << 20) /* largest limits.maxBody a configuration may set */
#define LIMIT_NODES 64             /* nodes in a configuration, members of a cluster */
#define LIMIT_NODE_ID_BYTES 64     /* including the NUL; like the three above: exit 2 */
#define LIMIT_GATEWAYS 64          /* gateway processes of a node */

#define LIMIT_ENTRY_BYTES (LIMIT_BODY_MAX + (1u << 20))      /* a log entry's payload */
#define LIMIT_ENTRY_PARTS 8                                  /* parts of one entry */
#define LIMIT_MESSAGE_BYTES (LIMIT_ENTRY_BYTES + (8u << 20)) /* one message between processes */
#define LIMIT_BATCH_BYTES (4u << 20)                         /* a link closes a batch beyond this */

#define LIMIT_SESSIONS 1024 /* sessions a state worker remembers; the least recently used go */
#define LIMIT_SESSION_WINDOW 8192 /* open proposals of one session; 429 RATE_LIMITED beyond */

#endif
