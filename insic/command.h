/* command.h - the commands of insic: one table, from which usage and help come too. */
#ifndef INSI_INSIC_COMMAND_H
#define INSI_INSIC_COMMAND_H

#include <stdio.h>

#include "insic/client.h"

enum command_needs {
    COMMAND_NEEDS_TOKEN, /* any token */
    COMMAND_NEEDS_ROOT,  /* refused without --root */
    COMMAND_NEEDS_ADMIN, /* the root token, by --root or as any other; refused without one */
    COMMAND_NEEDS_NONE   /* brings a token of its own */
};

struct command {
    const char *name;      /* one word or two: "get", "api add" */
    const char *arguments; /* as usage shows them: "<key> [offset]" */
    unsigned least, most;  /* arguments */
    enum command_needs needs;
    const char *help; /* first line: summary; more may follow */
    /* 0, or an E_ code after the error was reported. arguments are valid UTF-8. */
    int (*run)(struct client *client, char *const *arguments, unsigned count);
};

extern const struct command command_table[]; /* ends with name NULL */

/* The command that the first words name, and how many of them; NULL: none. */
const struct command *command_find(char *const *words, unsigned count, unsigned *out_words);

/* "Usage: insic set <key> <value>" of one command, or of all whose first word this is. */
void command_print_usage(FILE *out, const struct command *command);
void command_print_group(FILE *out, const char *word);
bool command_is_group(const char *word);

void command_print_help(FILE *out, const struct command *command); /* of one */
void command_print_overview(FILE *out);                            /* flags and all commands */

/* Runs what the words say: checks them, then opens a client and runs the command. */
int command_run(const struct options *options);

/* Digits, perhaps behind a minus. */
bool command_is_integer(const char *text);

int command_get(struct client *client, char *const *arguments, unsigned count);
int command_set(struct client *client, char *const *arguments, unsigned count);
int command_delete(struct client *client, char *const *arguments, unsigned count);
int command_setnx(struct client *client, char *const *arguments, unsigned count);
int command_cas(struct client *client, char *const *arguments, unsigned count);
int command_bump(struct client *client, char *const *arguments, unsigned count);
int command_iterate(struct client *client, char *const *arguments, unsigned count);
int command_batchset(struct client *client, char *const *arguments, unsigned count);
int command_batchdelete(struct client *client, char *const *arguments, unsigned count);
int command_cache_set(struct client *client, char *const *arguments, unsigned count);
int command_cache_get(struct client *client, char *const *arguments, unsigned count);
int command_cache_delete(struct client *client, char *const *arguments, unsigned count);
int command_atomic_new(struct client *client, char *const *arguments, unsigned count);
int command_atomic_get(struct client *client, char *const *arguments, unsigned count);
int command_atomic_add(struct client *client, char *const *arguments, unsigned count);
int command_atomic_delete(struct client *client, char *const *arguments, unsigned count);
int command_queue_new(struct client *client, char *const *arguments, unsigned count);
int command_queue_push(struct client *client, char *const *arguments, unsigned count);
int command_queue_pop(struct client *client, char *const *arguments, unsigned count);
int command_queue_delete(struct client *client, char *const *arguments, unsigned count);
int command_queue_length(struct client *client, char *const *arguments, unsigned count);
int command_queue_peek(struct client *client, char *const *arguments, unsigned count);
int command_publish(struct client *client, char *const *arguments, unsigned count);
int command_subscribe(struct client *client, char *const *arguments, unsigned count);
int command_ping(struct client *client, char *const *arguments, unsigned count);
int command_api_add(struct client *client, char *const *arguments, unsigned count);
int command_api_delete(struct client *client, char *const *arguments, unsigned count);
int command_api_list(struct client *client, char *const *arguments, unsigned count);
int command_api_verify(struct client *client, char *const *arguments, unsigned count);
int command_cluster(struct client *client, char *const *arguments, unsigned count);
int command_join(struct client *client, char *const *arguments, unsigned count);
int command_remove(struct client *client, char *const *arguments, unsigned count);
int command_transfer(struct client *client, char *const *arguments, unsigned count);

#endif
