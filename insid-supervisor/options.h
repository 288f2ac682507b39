/* options.h - the command line of insid. */
#ifndef INSI_SUPERVISOR_OPTIONS_H
#define INSI_SUPERVISOR_OPTIONS_H

#include <stdbool.h>

enum insid_mode {
    INSID_HOST,         /* every node of the file */
    INSID_AS,           /* one node */
    INSID_NEW_CONFIG,   /* write a configuration */
    INSID_CHECK_CONFIG, /* read it and say what is wrong */
    INSID_CTL,          /* talk to a running node's supervisor */
    INSID_VERSION,
    INSID_HELP
};

struct insid_options {
    enum insid_mode mode;
    const char *config;     /* path */
    bool config_given;      /* by --config */
    const char *node;       /* --as; of ctl: NULL when not given */
    const char *new_config; /* --new-cfg */
    const char *ctl;        /* of ctl: "status", "restart" or "stop" */
    const char *worker;     /* of its restart */
};

/* 0, or E_USAGE after writing what is wrong and what would be right to stderr. */
int options_parse(struct insid_options *options, int argc, char **argv);
void options_print_help(void);

#endif
