/* dev.c - the development node: its configuration, and how to talk to it. */
#include "insid-supervisor/dev.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/path.h"
#include "insid-supervisor/config_file.h"

#define DEV_WORD_BYTES 4096u /* room for a path of which every byte needs quotes */

int dev_make_config(void)
{
    if (mkdir(DEV_FOLDER, 0700) != 0 && errno != EEXIST) {
        fprintf(stderr, "insid: cannot make folder %s: %s\n", DEV_FOLDER, strerror(errno));
        return E_IO;
    }
    if (access(DEV_CONFIG, F_OK) == 0)
        return 0;
    return config_file_create(DEV_CONFIG, DEV_FOLDER) == 0 ? 0 : E_IO;
}

bool dev_quote(char *out, size_t size, const char *text)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./+,:@%=";
    size_t len = 0;
    if (text[0] && text[strspn(text, plain)] == '\0')
        return (size_t)snprintf(out, size, "%s", text) < size;
    if (size < 3)
        return false;
    out[len++] = '\'';
    for (const char *at = text; *at; at++) {
        const char single[2] = {*at, '\0'};
        const char *piece = *at == '\'' ? "'\\''" : single;
        size_t bytes = strlen(piece);
        if (len + bytes + 2 > size)
            return false;
        memcpy(out + len, piece, bytes);
        len += bytes;
    }
    out[len++] = '\'';
    out[len] = '\0';
    return true;
}

/* Whether the shell finds programs of this folder by name alone. */
static bool dev_is_in_path(const char *folder)
{
    const char *list = getenv("PATH");
    size_t len = strlen(folder);
    for (const char *at = list; at; at = strchr(at, ':') ? strchr(at, ':') + 1 : NULL)
        if (strncmp(at, folder, len) == 0 && (at[len] == ':' || at[len] == '\0'))
            return true;
    return false;
}

/* How a shell in any folder calls the insic that belongs to us. */
static void dev_find_insic(char out[DEV_WORD_BYTES])
{
    char self[PATH_BYTES], insic[PATH_BYTES + 8];
    snprintf(out, DEV_WORD_BYTES, "insic");
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[len > 0 ? len : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (!slash)
        return;
    *slash = '\0';
    snprintf(insic, sizeof(insic), "%s/insic", self);
    if (access(insic, X_OK) != 0 || dev_is_in_path(self))
        return;
    if (!dev_quote(out, DEV_WORD_BYTES, insic))
        snprintf(out, DEV_WORD_BYTES, "insic");
}

void dev_print_first_steps(const struct config *config)
{
    const struct config_address *http = &config->nodes[0].http;
    char insic[DEV_WORD_BYTES], here[PATH_BYTES], folder[DEV_WORD_BYTES];
    dev_find_insic(insic);
    if (!getcwd(here, sizeof(here)) || !dev_quote(folder, sizeof(folder), here))
        snprintf(folder, sizeof(folder), ".");
    printf("A development node: its data are in %s, its secrets and settings in %s.\n"
           "In another terminal:\n"
           "\n"
           "  cd %s\n"
           "  %s --root set greeting 'hello, world'\n"
           "  %s --root get greeting\n"
           "\n"
           "  KEY=$(%s --root api add demo | sed -n 's/^API Key: *//p')\n"
           "  curl -H \"Authorization: Bearer $KEY\" http://%s:%u/db/api/v1/ping\n"
           "\n"
           "Ctrl-C stops it.\n"
           "\n",
           DEV_FOLDER, DEV_CONFIG, folder, insic, insic, insic, http->host, http->port);
    fflush(stdout);
}
