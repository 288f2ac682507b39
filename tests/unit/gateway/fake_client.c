/* fake_client.c - the HTTP client of fake_node.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake_node.h"

int client_connect(struct fake *fake)
{
    return client_connect_to(fake->port);
}

int client_connect_to(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

void client_send(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL);
        if (sent <= 0)
            return; /* the answer, or the lack of one, will tell */
        bytes += sent;
        len -= (size_t)sent;
    }
}

/* So many bytes, taking turns of the node until they are there. */
static bool client_take(struct fake *fake, int fd, char *out, size_t len)
{
    uint64_t end_ms = clock_boot_ms() + 20000;
    while (len > 0) {
        ssize_t got = recv(fd, out, len, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            return false;
        if (got < 0) {
            cr_assert_lt(clock_boot_ms(), end_ms, "no answer came");
            fake_turn(fake, 1);
            continue;
        }
        out += got;
        len -= (size_t)got;
    }
    return true;
}

static const char *client_header(const struct answer *answer, const char *name)
{
    return strcasestr(answer->head, name);
}

bool client_read(struct fake *fake, int fd, struct answer *answer, bool has_body)
{
    size_t len = 0;
    memset(answer, 0, sizeof(*answer));
    while (strstr(answer->head, "\r\n\r\n") == NULL) {
        cr_assert_lt(len + 1, sizeof(answer->head));
        if (!client_take(fake, fd, answer->head + len, 1))
            return false;
        len++;
    }
    cr_assert_eq(strncmp(answer->head, "HTTP/1.1 ", 9), 0);
    answer->status = (int)strtol(answer->head + 9, NULL, 10);
    const char *length = client_header(answer, "content-length: ");
    answer->len = length != NULL && has_body ? strtoul(length + 16, NULL, 10) : 0;
    answer->body = calloc(1, answer->len + 1);
    if (!client_take(fake, fd, answer->body, answer->len))
        return false;
    answer->json = json_loadb(answer->body, answer->len, JSON_ALLOW_NUL, NULL);
    return true;
}

bool client_is_closed(struct fake *fake, int fd, uint64_t within_ms)
{
    for (uint64_t end_ms = clock_boot_ms() + within_ms; clock_boot_ms() < end_ms;) {
        char byte;
        ssize_t got = recv(fd, &byte, 1, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            return true;
        fake_turn(fake, 2);
    }
    return false;
}

void answer_fini(struct answer *answer)
{
    free(answer->body);
    json_decref(answer->json);
    answer->body = NULL;
    answer->json = NULL;
}

size_t client_format(char *out, size_t size, const char *method, const char *target,
                     const char *token, const char *body)
{
    int len = snprintf(out, size, "%s %s HTTP/1.1\r\nHost: localhost\r\n", method, target);
    if (token != NULL)
        len += snprintf(out + len, size - (size_t)len, "Authorization: Bearer %s\r\n", token);
    if (body != NULL)
        len += snprintf(out + len, size - (size_t)len, "Content-Length: %zu\r\n", strlen(body));
    len += snprintf(out + len, size - (size_t)len, "\r\n%s", body != NULL ? body : "");
    cr_assert_lt((size_t)len, size);
    return (size_t)len;
}

struct answer client_call(struct fake *fake, const char *method, const char *target,
                          const char *token, const char *body)
{
    size_t size = 4096 + strlen(target) + (body != NULL ? strlen(body) : 0);
    char *bytes = malloc(size);
    struct answer answer;
    int fd = client_connect(fake);
    client_send(fd, bytes, client_format(bytes, size, method, target, token, body));
    cr_assert(client_read(fake, fd, &answer, strcmp(method, "HEAD") != 0));
    close(fd);
    free(bytes);
    return answer;
}

const char *answer_text(const struct answer *answer, const char *name)
{
    const char *text = json_string_value(json_object_get(answer->json, name));
    cr_assert_not_null(text, "no '%s' in: %s", name, answer->body);
    return text;
}

int64_t answer_number(const struct answer *answer, const char *name)
{
    const json_t *value = json_object_get(answer->json, name);
    cr_assert(json_is_integer(value), "no '%s' in: %s", name, answer->body);
    return json_integer_value(value);
}

void answer_expect(const struct answer *answer, int status, const char *error_type)
{
    cr_assert_eq(answer->status, status, "%d: %s", answer->status, answer->body);
    if (error_type != NULL)
        cr_assert_str_eq(answer_text(answer, "error_type"), error_type, "%s", answer->body);
}
