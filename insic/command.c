/* command.c - the table of commands, and what is checked before one runs. */
#include "insic/command.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "insic/print.h"

const struct command command_table[] = {
    {"get", "<key>", 1, 1, COMMAND_NEEDS_TOKEN, "print the value of a key", command_get},
    {"set", "<key> <value>", 2, 2, COMMAND_NEEDS_TOKEN, "set the value of a key", command_set},
    {"delete", "<key>", 1, 1, COMMAND_NEEDS_TOKEN,
     "delete a key\nDeleting a key that does not exist is no error.", command_delete},
    {"setnx", "<key> <value>", 2, 2, COMMAND_NEEDS_TOKEN,
     "set the value of a key that does not exist yet", command_setnx},
    {"cas", "<key> <old> <new>", 3, 3, COMMAND_NEEDS_TOKEN,
     "replace the value of a key if it is <old>", command_cas},
    {"bump", "<key> <n>", 2, 2, COMMAND_NEEDS_TOKEN,
     "add a whole number to a value, print the sum\n"
     "A key that does not exist counts as 0, and the sum is never below 0.",
     command_bump},
    {"iterate prefix", "<prefix> [offset] [limit]", 1, 3, COMMAND_NEEDS_TOKEN,
     "print the keys that begin with a prefix\n"
     "One key per line, in byte order; '' stands for all keys. Without a limit 100 keys are\n"
     "printed, and a note on stderr says so when more follow.",
     command_iterate},
    {"batchset", "<file.json>", 1, 1, COMMAND_NEEDS_TOKEN,
     "set many keys at once, all or none\n"
     "The file ('-': stdin) holds [{\"key\":\"a\",\"value\":\"1\"}, ...], at most 1000 of them.",
     command_batchset},
    {"batchdelete", "<file.json>", 1, 1, COMMAND_NEEDS_TOKEN,
     "delete many keys at once, all or none\n"
     "The file ('-': stdin) holds [\"a\", \"b\", ...], at most 1000 of them.",
     command_batchdelete},
    {"cache set", "<key> <value> <ttl>", 3, 3, COMMAND_NEEDS_TOKEN,
     "keep a value in the cache for a time\n"
     "The ttl is a duration such as 90s, 5m or 1h30m; afterwards the entry is gone.",
     command_cache_set},
    {"cache get", "<key>", 1, 1, COMMAND_NEEDS_TOKEN, "print the value of a cache entry",
     command_cache_get},
    {"cache delete", "<key>", 1, 1, COMMAND_NEEDS_TOKEN, "remove a cache entry",
     command_cache_delete},
    {"atomic new", "<key> [true|false]", 1, 2, COMMAND_NEEDS_TOKEN,
     "make a counter that is 0\nWith true one that exists is set back to 0.", command_atomic_new},
    {"atomic get", "<key>", 1, 1, COMMAND_NEEDS_TOKEN,
     "print a counter\nOne that does not exist is 0.", command_atomic_get},
    {"atomic add", "<key> <delta>", 2, 2, COMMAND_NEEDS_TOKEN,
     "add a whole number to a counter, print the sum\n"
     "A counter that does not exist is made, and none is ever below 0.",
     command_atomic_add},
    {"atomic delete", "<key>", 1, 1, COMMAND_NEEDS_TOKEN, "delete a counter",
     command_atomic_delete},
    {"queue new", "<key>", 1, 1, COMMAND_NEEDS_TOKEN, "make a queue, unless it is there",
     command_queue_new},
    {"queue push", "<key> <value>", 2, 2, COMMAND_NEEDS_TOKEN, "put an item at a queue's end",
     command_queue_push},
    {"queue pop", "<key> [--wait 5s]", 1, 3, COMMAND_NEEDS_TOKEN,
     "take the first item of a queue, print it\n"
     "With --wait it waits for an item so long, at most 60s, when the queue is empty.",
     command_queue_pop},
    {"queue delete", "<key>", 1, 1, COMMAND_NEEDS_TOKEN, "delete a queue and its items",
     command_queue_delete},
    {"queue length", "<key>", 1, 1, COMMAND_NEEDS_TOKEN, "print how many items a queue holds",
     command_queue_length},
    {"queue peek", "<key>", 1, 1, COMMAND_NEEDS_TOKEN, "print a queue's first item, and leave it",
     command_queue_peek},
    {"publish", "<topic> <data> [--json]", 2, 3, COMMAND_NEEDS_TOKEN,
     "send an event to the subscribers of a topic\n"
     "The data are a string; with --json they are JSON.",
     command_publish},
    {"subscribe", "<topic> [--after N]", 1, 3, COMMAND_NEEDS_TOKEN,
     "print the events of a topic as they come\n"
     "A topic that ends in '*' stands for all that begin so. With --after the events behind that\n"
     "index that are still kept come first. Until Ctrl-C; goes on at another node by itself.",
     command_subscribe},
    {"ping", "", 0, 0, COMMAND_NEEDS_TOKEN, "ask a node who it is", command_ping},
    {"api add", "<name>", 1, 1, COMMAND_NEEDS_ROOT,
     "make an API key with a key space of its own\n"
     "The key is shown this once; the server keeps only its hash.",
     command_api_add},
    {"api delete", "<key>", 1, 1, COMMAND_NEEDS_ROOT,
     "delete an API key and all its data\n"
     "The key stops working at once on every node.",
     command_api_delete},
    {"api list", "", 0, 0, COMMAND_NEEDS_ROOT, "list the API keys' names, never the keys",
     command_api_list},
    {"api verify", "<key>", 1, 1, COMMAND_NEEDS_NONE, "does an API key work?", command_api_verify},
    {"cluster", "", 0, 0, COMMAND_NEEDS_ADMIN,
     "list the members of the cluster\n"
     "Without a leader it shows what the node that is asked knows by itself.",
     command_cluster},
    {"join", "<leader-id> <follower-id>", 2, 2, COMMAND_NEEDS_ROOT,
     "have a node join the cluster\n"
     "Asks the first node to let the second one in, at its raftBinding of the configuration.\n"
     "Nodes of a new cluster join by themselves; this is for one that was removed before.",
     command_join},
    {"remove", "<id>", 1, 1, COMMAND_NEEDS_ADMIN, "remove a node from the cluster", command_remove},
    {"transfer", "<id>", 1, 1, COMMAND_NEEDS_ADMIN, "make another node the leader",
     command_transfer},
    {NULL, NULL, 0, 0, COMMAND_NEEDS_NONE, NULL, NULL},
};

/* Words of a name that the given ones begin with; 0: another command. */
static unsigned command_match(const char *name, char *const *words, unsigned count)
{
    const char *space = strchr(name, ' ');
    size_t first = space ? (size_t)(space - name) : strlen(name);
    if (count == 0 || strlen(words[0]) != first || memcmp(words[0], name, first) != 0)
        return 0;
    if (!space)
        return 1;
    return count > 1 && strcmp(words[1], space + 1) == 0 ? 2 : 0;
}

const struct command *command_find(char *const *words, unsigned count, unsigned *out_words)
{
    for (const struct command *command = command_table; command->name; command++) {
        *out_words = command_match(command->name, words, count);
        if (*out_words > 0)
            return command;
    }
    return NULL;
}

static bool command_is_in_group(const struct command *command, const char *word)
{
    size_t len = strlen(word);
    return strncmp(command->name, word, len) == 0 && command->name[len] == ' ';
}

bool command_is_group(const char *word)
{
    for (const struct command *command = command_table; command->name; command++)
        if (command_is_in_group(command, word))
            return true;
    return false;
}

static void command_print_line(FILE *out, const char *begin, const struct command *command)
{
    bool root = command->needs == COMMAND_NEEDS_ROOT || command->needs == COMMAND_NEEDS_ADMIN;
    fprintf(out, "%sinsic %s%s%s%s\n", begin, root ? "--root " : "", command->name,
            command->arguments[0] ? " " : "", command->arguments);
}

void command_print_usage(FILE *out, const struct command *command)
{
    command_print_line(out, "Usage: ", command);
}

void command_print_group(FILE *out, const char *word)
{
    const char *begin = "Usage: ";
    for (const struct command *command = command_table; command->name; command++)
        if (command_is_in_group(command, word)) {
            command_print_line(out, begin, command);
            begin = "       ";
        }
}

void command_print_help(FILE *out, const struct command *command)
{
    command_print_usage(out, command);
    fprintf(out, "\n%c%s\n", command->help[0] & ~0x20, command->help + 1); /* capital letter */
}

void command_print_overview(FILE *out)
{
    fputs("insic - the command line of INSI\n"
          "\n"
          "  insic [flags] <command> [arguments]\n"
          "\n",
          out);
    for (const struct command *command = command_table; command->name; command++) {
        int width = fprintf(out, "  %s %s", command->name, command->arguments);
        fprintf(out, "%*s%.*s\n", width < 44 ? 44 - width : 2, "",
                (int)strcspn(command->help, "\n"), command->help);
    }
    fputs("  help [command]                            more about one command\n"
          "\n"
          "Flags:\n"
          "  --config FILE     configuration; else cluster.yaml, else insi-data/cluster.yaml\n"
          "  --target NODE     ask this node; else the default leader, then the others\n"
          "  --endpoint URL    ask this server, as http://127.0.0.1:8443, instead\n"
          "  --root            with the root token of the configuration\n"
          "  --key TOKEN       with this token; other users may see it in the list of processes\n"
          "  --timeout 10s     give up after this time\n"
          "  -o text|json      json: the server's answer as it is, on one line\n"
          "  --                what follows is no flag\n"
          "  --help, --version\n"
          "\n"
          "The token is the root token with --root, else --key, else $INSI_API_KEY.\n"
          "Exit status: 0 done, 1 refused or failed, 2 wrong usage.\n",
          out);
}

bool command_is_integer(const char *text)
{
    size_t digits = strspn(text + (*text == '-'), "0123456789");
    return digits > 0 && text[(*text == '-') + digits] == '\0';
}

static int command_refuse_words(char *const *words)
{
    if (command_is_group(words[0])) {
        print_error("Error", "'%s' is followed by one of these.", words[0]);
        command_print_group(stderr, words[0]);
    } else {
        print_error("Error", "unknown command '%s'.", words[0]);
        print_note("Usage: insic [flags] <command> [arguments]; 'insic help' shows them all.");
    }
    return E_USAGE;
}

static int command_check_count(const struct command *command, char *const *arguments,
                               unsigned count)
{
    if (count >= command->least && count <= command->most)
        return 0;
    for (unsigned i = 0; i < count; i++)
        if (strncmp(arguments[i], "--", 2) == 0) {
            print_error("Error", "'%s' has no flag '%s'.", command->name, arguments[i]);
            command_print_usage(stderr, command);
            return E_USAGE;
        }
    char wanted[32];
    if (command->least == command->most)
        snprintf(wanted, sizeof(wanted), "%u", command->least);
    else
        snprintf(wanted, sizeof(wanted), "%u to %u", command->least, command->most);
    print_error("Error", "'%s' takes %s argument%s, not %u.", command->name, wanted,
                command->most == 1 ? "" : "s", count);
    command_print_usage(stderr, command);
    return E_USAGE;
}

static int command_check_text(const struct command *command, char *const *arguments, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        json_t *text = json_string(arguments[i]); /* NULL for what is not UTF-8 */
        json_decref(text);
        if (!text) {
            print_error("Error", "argument %u of '%s' is not valid UTF-8.", i + 1, command->name);
            command_print_usage(stderr, command);
            return E_USAGE;
        }
    }
    return 0;
}

/* Whether the root token is lacking for certain; any other token is the server's to refuse. */
static bool command_lacks_root(const struct command *command, const struct options *options)
{
    const char *token = options->key ? options->key : getenv("INSI_API_KEY");
    if (options->root)
        return false;
    return command->needs == COMMAND_NEEDS_ROOT ||
           (command->needs == COMMAND_NEEDS_ADMIN && (!token || !token[0]));
}

static int command_run_one(const struct options *options, const struct command *command,
                           char *const *arguments, unsigned count)
{
    struct client client;
    int error = command_check_count(command, arguments, count);
    error = error ? error : command_check_text(command, arguments, count);
    if (error)
        return error;
    if (command_lacks_root(command, options)) {
        print_error("Error", "%s requires --root flag.", command->name);
        return E_DENIED;
    }
    error = client_open(&client, options, command->needs != COMMAND_NEEDS_NONE);
    if (!error) {
        error = command->run(&client, arguments, count);
        if (error == E_USAGE)
            command_print_usage(stderr, command);
    }
    client_close(&client);
    return error;
}

/* "insic help", "insic help api add", "insic api add --help" */
static int command_help(char *const *words, unsigned count)
{
    unsigned used;
    const struct command *command = command_find(words, count, &used);
    if (count == 0)
        command_print_overview(stdout);
    else if (command)
        command_print_help(stdout, command);
    else if (command_is_group(words[0]))
        command_print_group(stdout, words[0]);
    else
        return command_refuse_words(words);
    return 0;
}

static bool command_asks_for_help(char *const *arguments, unsigned count)
{
    return count == 1 && (strcmp(arguments[0], "--help") == 0 || strcmp(arguments[0], "-h") == 0);
}

int command_run(const struct options *options)
{
    char *const *words = options->words;
    unsigned count = options->word_count, used;
    if (options->help)
        return command_help(words, count);
    if (count == 0) {
        print_error("Error", "a command is missing.");
        command_print_overview(stderr);
        return E_USAGE;
    }
    if (strcmp(words[0], "help") == 0)
        return command_help(words + 1, count - 1);
    const struct command *command = command_find(words, count, &used);
    if (command && command_asks_for_help(words + used, count - used))
        return command_help(words, used);
    if (!command && command_is_group(words[0]) && command_asks_for_help(words + 1, count - 1))
        return command_help(words, 1);
    if (!command)
        return command_refuse_words(words);
    return command_run_one(options, command, words + used, count - used);
}
