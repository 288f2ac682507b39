/* seats.h - how many subscribers a node has, over all its gateway processes.
 *
 * One small file in the node's shm folder holds a counter per gateway process. Each writes its own
 * only, and begins at 0; what a process that was killed left behind does not count, because every
 * one holds a lock on its counter, which ends with it. So a place is given back on every kind of
 * end. The limit is not kept in the file: every process brings that of its configuration.
 */
#ifndef INSI_SHM_SEATS_H
#define INSI_SHM_SEATS_H

#include <stdbool.h>
#include <stdint.h>

struct seats;

/* Makes the file (mode 0600) when it is not there. index: of this gateway process, below
 * LIMIT_GATEWAYS. E_IO with errno, E_INVALID when it is something else, E_BUSY when another process
 * holds this counter. */
int seats_open(struct seats **out, const char *path, unsigned index);
void seats_close(struct seats **seats); /* gives back all that were taken */

/* False when the node has so many already. Of processes that ask for the last place at the same
 * moment, none may get it. */
bool seats_take(struct seats *seats, uint64_t max);
void seats_give_back(struct seats *seats);

uint64_t seats_taken(const struct seats *seats); /* by living processes */

#endif
