/* config_file.h - the configuration file as insid sees it: read once, checked, handed on. */
#ifndef INSI_SUPERVISOR_CONFIG_FILE_H
#define INSI_SUPERVISOR_CONFIG_FILE_H

#include "base/config.h"

struct config_file {
    const char *path;
    char *text;
    size_t len;
    struct config config;
};

/* Reads and parses; every error is reported. E_IO with errno, E_INVALID. config_file_fini
 * frees. */
int config_file_read(struct config_file *file, const char *path, config_error_fn *report,
                     void *arg);

/* A report for config_file_read: a line on stderr. */
void config_file_to_stderr(const char *message, void *arg);

void config_file_fini(struct config_file *file);

/* A sealed memfd with the text, for workers to inherit; -1 with errno. */
int config_file_share(const struct config_file *file);

/* Writes a new configuration (mode 0600); an existing file is never overwritten. dev_data_dir as in
 * config_template. E_EXISTS, E_IO, after saying so on stderr. */
int config_file_create(const char *path, const char *dev_data_dir);

#endif
