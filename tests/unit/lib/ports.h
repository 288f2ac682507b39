/* ports.h - TCP ports of the loopback that nobody has. */
#ifndef INSI_TESTS_UNIT_LIB_PORTS_H
#define INSI_TESTS_UNIT_LIB_PORTS_H

#include <stdbool.h>

/* keep: its descriptor stays open, so that nobody else is given the port before the test ends; for
 * those who listen with SO_REUSEADDR. */
unsigned port_find(bool keep);

#endif
