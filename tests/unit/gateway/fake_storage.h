/* fake_storage.h - what the played workers of fake_node.h do with a command: enough of the real
 * ones for the gateway not to know the difference. */
#ifndef INSI_TESTS_UNIT_GATEWAY_FAKE_STORAGE_H
#define INSI_TESTS_UNIT_GATEWAY_FAKE_STORAGE_H

#include "fake_node.h"
#include "ipc/entry.h"

/* Applies one part to the map, each (session, sequence) once, and remembers its result. */
void fake_storage_apply(struct fake *fake, const struct entry *entry, const struct entry_part *part,
                        struct fake_result *result);

/* Storage's applied index goes on with every entry, whoever it was for. */
void fake_storage_reach(struct fake *fake);

#endif
