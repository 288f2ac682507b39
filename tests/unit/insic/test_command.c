/* The table of commands: names are found whole, and what it says of itself fits together. */
#include <criterion/criterion.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "insic/command.h"
#include "tests/unit/insic/capture.h"

static const char *find(const char *first, const char *second, unsigned *used)
{
    char a[32], b[32];
    char *words[] = {a, b};
    snprintf(a, sizeof(a), "%s", first);
    snprintf(b, sizeof(b), "%s", second ? second : "");
    const struct command *command = command_find(words, second ? 2 : 1, used);
    return command ? command->name : "none";
}

Test(command, one_word_or_two_name_a_command)
{
    unsigned used;
    cr_expect_str_eq(find("get", "x", &used), "get");
    cr_expect_eq(used, 1);
    cr_expect_str_eq(find("get", NULL, &used), "get");
    cr_expect_str_eq(find("api", "add", &used), "api add");
    cr_expect_eq(used, 2);
    cr_expect_str_eq(find("iterate", "prefix", &used), "iterate prefix");
    cr_expect_str_eq(find("api", NULL, &used), "none");
    cr_expect_str_eq(find("api", "ad", &used), "none");
    cr_expect_str_eq(find("ap", "add", &used), "none");
    cr_expect_str_eq(find("api add", NULL, &used), "none");
    cr_expect_str_eq(find("ge", NULL, &used), "none");
    cr_expect_str_eq(find("gett", NULL, &used), "none");
    cr_expect_str_eq(find("", NULL, &used), "none");
    cr_expect(command_is_group("api") && command_is_group("iterate"));
    cr_expect_not(command_is_group("get") || command_is_group("ap") || command_is_group(""));
}

static unsigned count_of(const char *text, char what)
{
    unsigned count = 0;
    for (; *text; text++)
        count += *text == what;
    return count;
}

/* "[--flag value]" is two words, "[--flag]" one. */
static unsigned count_of_flag_values(const char *text)
{
    unsigned count = 0;
    for (; (text = strstr(text, "[--")) != NULL; text++)
        count += text[strcspn(text, " ]")] == ' ';
    return count;
}

Test(command, the_table_counts_what_its_usage_shows)
{
    for (const struct command *command = command_table; command->name; command++) {
        cr_expect_eq(command->least, count_of(command->arguments, '<'), "%s", command->name);
        cr_expect_eq(command->most,
                     command->least + count_of(command->arguments, '[') +
                         count_of_flag_values(command->arguments),
                     "%s", command->name);
        cr_expect_leq(count_of(command->name, ' '), 1, "%s", command->name);
        cr_expect(islower((unsigned char)command->help[0]), "%s", command->name);
        cr_expect_not_null(command->run, "%s", command->name);
    }
}

Test(command, no_name_stands_twice_or_hides_another)
{
    for (const struct command *a = command_table; a->name; a++)
        for (const struct command *b = command_table; b < a; b++) {
            cr_expect_str_neq(a->name, b->name);
            cr_expect_not(command_is_group(a->name) || command_is_group(b->name));
        }
}

Test(command, usage_shows_the_root_flag_where_it_is_needed)
{
    char *text = NULL;
    size_t len = 0;
    unsigned used;
    char api[] = "api", add[] = "add", get[] = "get";
    char *add_words[] = {api, add}, *get_words[] = {get};
    FILE *out = open_memstream(&text, &len);
    command_print_usage(out, command_find(add_words, 2, &used));
    command_print_usage(out, command_find(get_words, 1, &used));
    fclose(out);
    cr_expect_str_eq(text, "Usage: insic --root api add <name>\nUsage: insic get <key>\n");
    free(text);
}

Test(command, what_needs_root_is_refused_before_anything_is_read)
{
    char api[] = "api", list[] = "list";
    char *words[] = {api, list};
    const struct options options = {.words = words, .word_count = 2, .config = "/nowhere"};
    capture_begin();
    cr_expect_eq(command_run(&options), E_DENIED);
    char *text = capture_end();
    cr_expect_str_eq(text, "Error: api list requires --root flag.\n");
    free(text);
}

Test(command, the_cluster_commands_take_the_root_token_from_anywhere_but_join_from_root)
{
    static const struct {
        char words[3][8];
        unsigned count;
        const char *refusal; /* without any token */
    } cases[] = {{{"cluster"}, 1, "Error: cluster requires --root flag.\n"},
                 {{"remove", "n"}, 2, "Error: remove requires --root flag.\n"},
                 {{"join", "a", "b"}, 3, "Error: join requires --root flag.\n"}};
    unsetenv("INSI_API_KEY");
    for (unsigned i = 0; i < 3; i++) {
        char words[3][8];
        char *pointers[] = {words[0], words[1], words[2]};
        memcpy(words, cases[i].words, sizeof(words));
        struct options options = {.words = pointers, .word_count = cases[i].count};
        options.config = "/nowhere";
        capture_begin();
        cr_expect_eq(command_run(&options), E_DENIED);
        char *text = capture_end();
        cr_expect_str_eq(text, cases[i].refusal);
        free(text);
        options.key = "a token";
        capture_begin();
        bool is_join = strcmp(words[0], "join") == 0;
        cr_expect_eq(command_run(&options), is_join ? E_DENIED : E_INVALID, "%s", words[0]);
        free(capture_end()); /* the configuration is not there */
    }
}
