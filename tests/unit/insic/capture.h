/* capture.h - what a piece of insic wrote to stderr or to a stream, as text. */
#ifndef INSI_TESTS_CAPTURE_H
#define INSI_TESTS_CAPTURE_H

#include <stdio.h>

/* From now on stderr goes to a file of the test's own; capture_end restores it and returns what was
 * written. The caller frees. */
void capture_begin(void);
char *capture_end(void);

#endif
