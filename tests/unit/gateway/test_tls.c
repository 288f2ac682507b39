/* test_tls.c - a real gateway with a certificate: HTTPS, HTTP/2, and certificates that change. */
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fake_node.h"

#define BASE "/db/api/v1"

static struct fake fake;
static char folder[64], settings[512];

/* A certificate signed by itself, as <folder>/server.crt and .key. */
static void make_certificate(const char *name)
{
    char path[96];
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
    X509_set_pubkey(certificate, key);
    cr_assert_gt(X509_sign(certificate, key, EVP_sha256()), 0);
    snprintf(path, sizeof(path), "%s/server.crt", folder);
    FILE *file = fopen(path, "w");
    PEM_write_X509(file, certificate);
    fclose(file);
    snprintf(path, sizeof(path), "%s/server.key", folder);
    file = fopen(path, "w");
    PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static void configure(const char *more)
{
    snprintf(settings, sizeof(settings),
             "tls: {cert: %s/server.crt, key: %s/server.key, ca: %s/server.crt}\n%s", folder,
             folder, folder, more);
}

static void start(void)
{
    stpcpy(folder, "/tmp/insi-tls-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    make_certificate("first");
    configure("");
}

static void stop(void)
{
    char path[96];
    fake_stop(&fake);
    snprintf(path, sizeof(path), "%s/server.crt", folder);
    unlink(path);
    snprintf(path, sizeof(path), "%s/server.key", folder);
    unlink(path);
    rmdir(folder);
}

TestSuite(tls, .init = start, .fini = stop, .timeout = 60);

struct tls_client {
    SSL_CTX *context;
    SSL *ssl;
    int fd;
};

/* False when there is no handshake. Nothing that the test plays is needed for one. */
static bool tls_connect(struct tls_client *client, int max_version, const char *alpn)
{
    client->context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(client->context, 0);
    SSL_CTX_set_min_proto_version(client->context, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(client->context, max_version);
    client->ssl = SSL_new(client->context);
    if (alpn != NULL)
        SSL_set_alpn_protos(client->ssl, (const unsigned char *)alpn, (unsigned)strlen(alpn));
    client->fd = client_connect(&fake);
    SSL_set_fd(client->ssl, client->fd);
    return SSL_connect(client->ssl) == 1;
}

static void tls_close(struct tls_client *client)
{
    SSL_free(client->ssl);
    SSL_CTX_free(client->context);
    close(client->fd);
}

static bool chose(const struct tls_client *client, const char *protocol)
{
    const unsigned char *chosen;
    unsigned len;
    SSL_get0_alpn_selected(client->ssl, &chosen, &len);
    return len == strlen(protocol) && memcmp(chosen, protocol, len) == 0;
}

static void expect_name(const char *name)
{
    struct tls_client client;
    char found[64] = "";
    cr_assert(tls_connect(&client, TLS1_3_VERSION, NULL));
    X509 *certificate = SSL_get1_peer_certificate(client.ssl);
    X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, found,
                              sizeof(found));
    cr_assert_str_eq(found, name);
    X509_free(certificate);
    tls_close(&client);
}

Test(tls, https_is_spoken_from_tls_1_2_on)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct tls_client client;
    fake_start(&fake, settings);
    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        char bytes[1024];
        cr_assert(tls_connect(&client, versions[i], NULL));
        size_t len = client_format(bytes, sizeof(bytes), "GET", BASE "/ping", fake_root(), NULL);
        cr_assert_eq(SSL_write(client.ssl, bytes, (int)len), (int)len);
        int got = SSL_read(client.ssl, bytes, sizeof(bytes) - 1);
        cr_assert_gt(got, 12);
        cr_assert_eq(memcmp(bytes, "HTTP/1.1 200", 12), 0);
        tls_close(&client);
    }
    cr_assert_not(tls_connect(&client, TLS1_1_VERSION, NULL));
    tls_close(&client);
}

Test(tls, clear_text_is_not_answered_on_an_https_port)
{
    fake_start(&fake, settings);
    int fd = client_connect(&fake);
    client_send(fd, "GET /healthz HTTP/1.1\r\n\r\n", 25);
    struct answer answer;
    cr_assert_not(client_read(&fake, fd, &answer, true));
    close(fd);
}

Test(tls, http_2_is_offered_unless_it_is_switched_off)
{
    static const char both[] = "\x02h2\x08http/1.1";
    struct tls_client client;
    fake_start(&fake, settings);
    cr_assert(tls_connect(&client, TLS1_3_VERSION, both));
    cr_assert(chose(&client, "h2"));
    tls_close(&client);
    cr_assert(tls_connect(&client, TLS1_3_VERSION, "\x08http/1.1"));
    cr_assert(chose(&client, "http/1.1"));
    tls_close(&client);
    configure("gateway: {http2: false}\n");
    fake_reload(&fake, settings);
    cr_assert(tls_connect(&client, TLS1_3_VERSION, both));
    cr_assert(chose(&client, "http/1.1"));
    tls_close(&client);
}

Test(tls, a_reload_takes_a_new_certificate_and_keeps_the_old_one_when_it_is_bad)
{
    char path[96];
    fake_start(&fake, settings);
    expect_name("first");
    make_certificate("second");
    expect_name("first"); /* not before it is told to */
    fake_reload(&fake, settings);
    expect_name("second");
    snprintf(path, sizeof(path), "%s/server.key", folder);
    cr_assert_eq(truncate(path, 10), 0);
    fake_reload(&fake, settings);
    expect_name("second");
    cr_assert(fake_log_contains(&fake, "certificate_refused"));
}

Test(tls, a_connection_that_was_silent_over_a_reload_still_gets_its_handshake)
{
    struct tls_client client;
    fake_start(&fake, settings);
    int fd = client_connect(&fake);
    fake_pass_ms(&fake, 50); /* accepted */
    for (unsigned i = 0; i < 3; i++)
        fake_reload(&fake, settings);
    cr_assert(tls_connect(&client, TLS1_3_VERSION, NULL));
    tls_close(&client);
    client.context = SSL_CTX_new(TLS_client_method());
    client.ssl = SSL_new(client.context);
    client.fd = fd;
    SSL_set_fd(client.ssl, fd);
    cr_assert_eq(SSL_connect(client.ssl), 1);
    tls_close(&client);
}

/* curl speaks HTTP/2. Its output ends with the status and the version of HTTP. Nothing here needs
 * the played node's help. */
static void curl(const char *arguments, const char *target, const char *expected)
{
    char command[1024], output[1024] = "";
    int len = snprintf(command, sizeof(command),
                       "curl -sk --http2 -m 20 -w ' %%{http_code} %%{http_version}' "
                       "-H 'Authorization: %s' %s 'https://127.0.0.1:%u" BASE "%s'",
                       fake_root(), arguments, fake.port, target);
    cr_assert(len > 0 && (size_t)len < sizeof(command));
    FILE *pipe = popen(command, "r");
    cr_assert_not_null(pipe);
    output[fread(output, 1, sizeof(output) - 1, pipe)] = '\0';
    pclose(pipe);
    cr_assert_not_null(strstr(output, expected), "%s: %s", command, output);
}

Test(tls, http_2_has_the_same_answers)
{
    fake_start(&fake, settings);
    curl("", "/ping", "\"status\":\"ok\"");
    curl("", "/ping", " 200 2");
    curl("", "/get?key=k", "NOT_FOUND");
    curl("", "/get?key=k", " 404 2");
    curl("-d '{bad'", "/set", " 400 2");
    curl("-X PUT", "/set", " 405 2");
    curl("-I", "/ping", " 200 2");
    configure("limits: {maxBody: 64KiB}\n");
    fake_reload(&fake, settings);
    curl("--data-binary \"$(printf %100000s)\"", "/set", "PAYLOAD_TOO_LARGE");
    curl("--data-binary \"$(printf %100000s)\"", "/set", " 413 2");
}
