/* fake_private.h - what the files of the played node share (fake_node.h). */
#ifndef INSI_TESTS_UNIT_GATEWAY_FAKE_PRIVATE_H
#define INSI_TESTS_UNIT_GATEWAY_FAKE_PRIVATE_H

#include "base/path.h"
#include "fake_node.h"

/* settings: as of fake_options; they do not change where things are. */
void fake_paths(const struct fake *fake, const char *settings, struct node_paths *paths);
void fake_on_control(struct fake *fake); /* the gateway said something to its supervisor */

#endif
