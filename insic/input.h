/* input.h - files that insic reads: the configuration and batches. */
#ifndef INSI_INSIC_INPUT_H
#define INSI_INSIC_INPUT_H

#include "base/buf.h"
#include "base/config.h"
#include "insic/options.h"

/* Appends what the file holds, stdin for "-", up to the buffer's maximum. E_IO or E_TOO_LARGE after
 * saying so on stderr. */
int input_read(struct buf *out, const char *path);

/* Reads the configuration: --config, else cluster.yaml, else insi-data/cluster.yaml (which
 * `insid --host` writes for a development node). *found is false when there is none and none was
 * named. E_IO, E_INVALID after saying what is wrong. config_fini frees. */
int input_read_config(struct config *config, bool *found, const struct options *options);

#endif
