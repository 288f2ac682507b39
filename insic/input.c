/* input.c - the configuration and other files. */
#include "insic/input.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/file.h"
#include "insic/print.h"

#define INPUT_CONFIG_BYTES_MAX (4 << 20)

int input_read(struct buf *out, const char *path)
{
    bool from_stdin = strcmp(path, "-") == 0;
    int error = from_stdin ? file_read_from(out, STDIN_FILENO) : file_read(out, path);
    if (error == E_TOO_LARGE)
        print_error("Error", "%s is larger than %zu MiB.", from_stdin ? "stdin" : path,
                    out->max >> 20);
    else if (error)
        print_error("Error", "cannot read %s: %s.", from_stdin ? "stdin" : path, strerror(errno));
    return error;
}

static void input_report(const char *message, void *arg)
{
    (void)arg;
    print_error("Error", "%s", message);
}

/* What is looked for when no file is named. */
static const char *input_default_config(void)
{
    static const char *const names[] = {"cluster.yaml", "insi-data/cluster.yaml"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (access(names[i], F_OK) == 0)
            return names[i];
    return NULL;
}

int input_read_config(struct config *config, bool *found, const struct options *options)
{
    const char *path = options->config ? options->config : input_default_config();
    struct buf text;
    *config = (struct config){0};
    *found = path != NULL;
    if (!path)
        return 0;
    buf_init(&text, INPUT_CONFIG_BYTES_MAX);
    int error = input_read(&text, path);
    if (!error)
        error = config_parse(config, buf_slice(&text), path, input_report, NULL);
    if (text.data)
        explicit_bzero(text.data, text.cap);
    buf_fini(&text);
    return error;
}
