/* config_file.c - reading, sharing and creating the configuration file. */
#include "insid-supervisor/config_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/file.h"

#define CONFIG_FILE_BYTES_MAX (4 << 20)
#define CONFIG_FILE_MESSAGE_BYTES 1200

void config_file_to_stderr(const char *message, void *arg)
{
    (void)arg;
    fprintf(stderr, "insid: %s\n", message);
}

static int config_file_load(struct config_file *file)
{
    struct buf text;
    buf_init(&text, CONFIG_FILE_BYTES_MAX);
    int error = file_read(&text, file->path);
    if (error == E_TOO_LARGE)
        errno = EFBIG;
    file->text = (char *)text.data; /* ours now; NULL when nothing was read */
    file->len = text.len;
    return error ? E_IO : 0;
}

int config_file_read(struct config_file *file, const char *path, config_error_fn *report, void *arg)
{
    char message[CONFIG_FILE_MESSAGE_BYTES];
    *file = (struct config_file){.path = path};
    int error = config_file_load(file);
    if (error) {
        int saved = errno;
        snprintf(message, sizeof(message), "cannot read %s: %s", path, strerror(saved));
        report(message, arg);
        errno = saved;
    } else {
        file->text = mem_resize(file->text, file->len + 1);
        error = config_parse(&file->config, slice_of(file->text, file->len), path, report, arg);
    }
    if (error) {
        free(file->text);
        file->text = NULL;
    }
    return error;
}

void config_file_fini(struct config_file *file)
{
    if (file->text) {
        explicit_bzero(file->text, file->len);
        config_fini(&file->config);
    }
    free(file->text);
    file->text = NULL;
}

static int config_file_write(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t written = write(fd, text, len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return E_IO;
        text += written;
        len -= (size_t)written;
    }
    return 0;
}

int config_file_share(const struct config_file *file)
{
    int fd = memfd_create("insi-config", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -1;
    if (config_file_write(fd, file->text, file->len) != 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

int config_file_create(const char *path, const char *dev_data_dir)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        fprintf(stderr, "insid: cannot create %s: %s\n", path, strerror(errno));
        return errno == EEXIST ? E_EXISTS : E_IO;
    }
    char *text = config_template(dev_data_dir);
    int error = config_file_write(fd, text, strlen(text));
    if (!error && fsync(fd) != 0)
        error = E_IO;
    if (error) {
        fprintf(stderr, "insid: cannot write %s: %s\n", path, strerror(errno));
        unlink(path); /* ours: O_EXCL made it */
    }
    close(fd);
    explicit_bzero(text, strlen(text));
    free(text);
    return error;
}
