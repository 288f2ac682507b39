/* number.h - counters kept as text in values.
 *
 * A number is what this module writes: decimal digits without leading zeros, with a minus sign when
 * below zero, from -2^63 to 2^63-1. "007", "+1", "-0", " 1" and "" are texts.
 */
#ifndef INSI_PROCS_STORAGE_NUMBER_H
#define INSI_PROCS_STORAGE_NUMBER_H

#include <stdint.h>

#include "base/slice.h"

#define NUMBER_TEXT_BYTES 21 /* the longest one, and a NUL */

/* E_NOT_A_NUMBER; E_OVERFLOW for one that is written like a number but does not fit. */
int number_parse(struct slice text, int64_t *out);

struct slice number_format(int64_t number, char out[NUMBER_TEXT_BYTES]);

/* current + delta, 0 when that is below 0; E_OVERFLOW past 2^63-1. */
int number_bump(int64_t current, int64_t delta, int64_t *out);

#endif
