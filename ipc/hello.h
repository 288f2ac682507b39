/* hello.h - the first message on every connection of a link, each way.
 *
 *   [HELLO, version, process, index, node, start id]
 *
 * The version is read before anything else is believed, so a later protocol may change the rest.
 */
#ifndef INSI_IPC_HELLO_H
#define INSI_IPC_HELLO_H

#include <stdint.h>

#include "base/slice.h"
#include "ipc/pack.h"

struct hello {
    uint64_t version;
    uint64_t proc, index;
    struct slice node; /* borrowed */
    uint64_t start_id;
};

void hello_pack(struct pack *pack, const struct hello *hello); /* the whole array */

/* body: the whole array. E_VERSION (version is set then), E_INVALID, E_TRUNCATED, E_TRAILING. */
int hello_decode(struct hello *hello, struct slice body);

/* 0, or why the peer is not the one that is expected: E_VERSION or E_FOREIGN; what names the field.
 */
int hello_compare(const struct hello *got, const struct hello *expected, const char **what);

#endif
