/* test_calls.c - a real gateway in a played node: every call, and every way of getting it wrong. */
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "fake_node.h"

#define BASE "/db/api/v1"

static struct fake fake;

static void start(void)
{
    fake_start(&fake, NULL);
}

static void stop(void)
{
    fake_stop(&fake);
}

TestSuite(calls, .init = start, .fini = stop, .timeout = 60);

static struct answer post(const char *path, const char *body)
{
    return client_call(&fake, "POST", path, fake_root(), body);
}

static struct answer get(const char *target)
{
    return client_call(&fake, "GET", target, fake_root(), NULL);
}

static void expect_post(const char *path, const char *body, int status, const char *error_type)
{
    struct answer answer = post(path, body);
    cr_expect_eq(answer.status, status, "%s %s: %d %s", path, body, answer.status, answer.body);
    answer_expect(&answer, status, error_type);
    answer_fini(&answer);
}

static void expect_get(const char *target, int status, const char *error_type)
{
    struct answer answer = get(target);
    cr_expect_eq(answer.status, status, "%s: %d %s", target, answer.status, answer.body);
    answer_expect(&answer, status, error_type);
    answer_fini(&answer);
}

static void expect_body(const char *target, const char *body)
{
    struct answer answer = get(target);
    answer_expect(&answer, 200, NULL);
    cr_expect_str_eq(answer.body, body);
    answer_fini(&answer);
}

/* ---- values ---- */

Test(calls, what_was_set_is_read_with_the_index_of_its_write)
{
    struct answer set = post(BASE "/set", "{\"key\":\"greeting\",\"value\":\"hello\"}");
    answer_expect(&set, 200, NULL);
    struct answer got = get(BASE "/get?key=greeting");
    answer_expect(&got, 200, NULL);
    cr_assert_str_eq(answer_text(&got, "data"), "hello");
    cr_assert_eq(answer_number(&got, "index"), answer_number(&set, "index"));
    cr_assert_not_null(strstr(got.head, "content-type: application/json"));
    answer_fini(&set);
    answer_fini(&got);
}

Test(calls, any_string_comes_back_byte_for_byte)
{
    static const char value[] = "\\u0000\\n\\\"\\\\/\\u001f\xc3\xa9\\ud83d\\ude00\\u007f";
    static const char bytes[] = "\0\n\"\\/\x1f\xc3\xa9\xf0\x9f\x98\x80\x7f";
    char body[256];
    snprintf(body, sizeof(body), "{\"key\":\"k\",\"value\":\"%s\"}", value);
    expect_post(BASE "/set", body, 200, NULL);
    struct answer got = get(BASE "/get?key=k");
    const json_t *data = json_object_get(got.json, "data");
    cr_assert_eq(json_string_length(data), sizeof(bytes) - 1);
    cr_assert_eq(memcmp(json_string_value(data), bytes, sizeof(bytes) - 1), 0);
    answer_fini(&got);
}

Test(calls, what_is_absent_is_404_and_named)
{
    struct answer got = get(BASE "/get?key=a");
    answer_expect(&got, 404, "NOT_FOUND");
    cr_assert_str_eq(got.body,
                     "{\"error_type\":\"NOT_FOUND\",\"message\":\"key 'a' does not exist\"}");
    answer_fini(&got);
}

Test(calls, preconditions_are_409)
{
    expect_post(BASE "/setnx", "{\"key\":\"k\",\"value\":\"1\"}", 200, NULL);
    expect_post(BASE "/setnx", "{\"key\":\"k\",\"value\":\"2\"}", 409, "CONFLICT");
    expect_post(BASE "/cas", "{\"key\":\"k\",\"old_value\":\"2\",\"new_value\":\"3\"}", 409,
                "CONFLICT");
    expect_post(BASE "/cas", "{\"key\":\"k\",\"old_value\":\"1\",\"new_value\":\"x\"}", 200, NULL);
    expect_post(BASE "/bump", "{\"key\":\"k\",\"value\":1}", 409, "NOT_A_NUMBER");
    expect_post(BASE "/delete", "{\"key\":\"k\"}", 200, NULL);
    expect_post(BASE "/delete", "{\"key\":\"k\"}", 200, NULL);
}

Test(calls, bump_answers_the_new_number_as_text)
{
    struct answer answer = post(BASE "/bump", "{\"key\":\"n\",\"value\":\"7\"}");
    answer_expect(&answer, 200, NULL);
    cr_assert_str_eq(answer_text(&answer, "value"), "7");
    cr_assert_gt(answer_number(&answer, "index"), 0);
    answer_fini(&answer);
}

Test(calls, batches_are_one_write)
{
    expect_post(BASE "/batchset",
                "{\"items\":[{\"key\":\"a\",\"value\":\"1\"},{\"key\":\"b\",\"value\":\"2\"}]}",
                200, NULL);
    expect_body(BASE "/iterate/prefix?values=true",
                "{\"data\":[{\"key\":\"a\",\"value\":\"1\"},{\"key\":\"b\",\"value\":\"2\"}]}");
    expect_post(BASE "/batchdelete", "{\"keys\":[\"a\",\"nothing\"]}", 200, NULL);
    expect_body(BASE "/iterate/prefix?prefix=", "{\"data\":[\"b\"]}");
}

static char *batch_of(unsigned count, const char *value)
{
    char *body = malloc(64 + (size_t)count * (64 + strlen(value))), *at = body;
    at += sprintf(at, "{\"items\":[");
    for (unsigned i = 0; i < count; i++)
        at += sprintf(at, "%s{\"key\":\"k%05u\",\"value\":\"%s\"}", i > 0 ? "," : "", i, value);
    sprintf(at, "]}");
    return body;
}

Test(calls, a_batch_has_a_thousand_items_at_most)
{
    const unsigned counts[] = {1001, 5000, 50000};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        char *body = batch_of(counts[i], "");
        expect_post(BASE "/batchset", body, 400, "BATCH_TOO_LARGE");
        free(body);
    }
    char *body = batch_of(1000, "v");
    expect_post(BASE "/batchset", body, 200, NULL);
    free(body);
    expect_post(BASE "/batchset", "{\"items\":[]}", 400, "BAD_REQUEST");
    expect_post(BASE "/batchdelete", "{\"keys\":[]}", 400, "BAD_REQUEST");
}

Test(calls, pages_are_exact)
{
    char *body = batch_of(5, "v");
    expect_post(BASE "/batchset", body, 200, NULL);
    free(body);
    expect_body(BASE "/iterate/prefix?prefix=k&limit=2", "{\"data\":[\"k00000\",\"k00001\"],"
                                                         "\"next\":\"k00001\"}");
    expect_body(BASE "/iterate/prefix?prefix=k&limit=2&after=k00001",
                "{\"data\":[\"k00002\",\"k00003\"],\"next\":\"k00003\"}");
    expect_body(BASE "/iterate/prefix?prefix=k&limit=2&after=k00003", "{\"data\":[\"k00004\"]}");
    expect_body(BASE "/iterate/prefix?prefix=k&offset=4", "{\"data\":[\"k00004\"]}");
    expect_body(BASE "/iterate/prefix?prefix=k&offset=5", "{\"data\":[]}");
    expect_body(BASE "/iterate/prefix?prefix=k&limit=5",
                "{\"data\":[\"k00000\",\"k00001\",\"k00002\","
                "\"k00003\",\"k00004\"]}");
    expect_body(BASE "/iterate/prefix?prefix=none", "{\"data\":[]}");
}

Test(calls, a_page_of_large_values_ends_early_and_leaves_nothing_out)
{
    char *value = malloc(1000001), *body = malloc(1100000), after[64] = "";
    memset(value, 'x', 1000000);
    value[1000000] = '\0';
    for (unsigned i = 0; i < 6; i++) {
        sprintf(body, "{\"key\":\"large%u\",\"value\":\"%s\"}", i, value);
        expect_post(BASE "/set", body, 200, NULL);
    }
    unsigned found = 0, pages = 0;
    for (bool more = true; more; pages++) {
        char target[128];
        snprintf(target, sizeof(target), BASE "/iterate/prefix?prefix=large&values=true%s%s",
                 after[0] != '\0' ? "&after=" : "", after);
        struct answer answer = get(target);
        answer_expect(&answer, 200, NULL);
        found += (unsigned)json_array_size(json_object_get(answer.json, "data"));
        const json_t *next = json_object_get(answer.json, "next");
        more = next != NULL;
        snprintf(after, sizeof(after), "%s", more ? json_string_value(next) : "");
        answer_fini(&answer);
    }
    cr_assert_eq(found, 6);
    cr_assert_gt(pages, 1);
    free(value);
    free(body);
}

Test(calls, bad_pages_are_refused)
{
    static const char *const bad[] = {
        "limit=0",         "limit=1001",          "limit=-1",    "limit=x",
        "limit=",          "offset=-1",           "offset=1.5",  "values=yes",
        "values=",         "prefix=%ff",          "after=a%00",  "after=a&offset=1",
        "limit=1&limit=2", "consistency=perhaps", "consistency="};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char target[128];
        snprintf(target, sizeof(target), BASE "/iterate/prefix?%s", bad[i]);
        expect_get(target, 400, "BAD_REQUEST");
    }
}

/* ---- fields ---- */

Test(calls, keys_and_values_have_their_limits)
{
    char key[600] = "", body[2048], target[1024];
    memset(key, 'k', 480);
    snprintf(body, sizeof(body), "{\"key\":\"%s\",\"value\":\"v\"}", key);
    expect_post(BASE "/set", body, 200, NULL);
    key[480] = 'k';
    snprintf(body, sizeof(body), "{\"key\":\"%s\",\"value\":\"v\"}", key);
    expect_post(BASE "/set", body, 400, "KEY_TOO_LONG");
    snprintf(target, sizeof(target), BASE "/get?key=%s", key);
    expect_get(target, 400, "KEY_TOO_LONG");
    snprintf(target, sizeof(target), BASE "/iterate/prefix?prefix=%s", key);
    expect_get(target, 400, "KEY_TOO_LONG");
    char *large = malloc((1 << 20) + 100);
    char *at = stpcpy(large, "{\"key\":\"k\",\"value\":\"");
    memset(at, 'v', (1 << 20) + 1);
    stpcpy(at + (1 << 20) + 1, "\"}");
    expect_post(BASE "/set", large, 400, "VALUE_TOO_LARGE");
    free(large);
}

Test(calls, bad_fields_are_bad_requests)
{
    static const struct {
        const char *path, *body;
    } bad[] = {
        {BASE "/set", "{}"},
        {BASE "/set", "{\"key\":\"k\"}"},
        {BASE "/set", "{\"value\":\"v\"}"},
        {BASE "/set", "{\"key\":\"\",\"value\":\"v\"}"},
        {BASE "/set", "{\"key\":7,\"value\":\"v\"}"},
        {BASE "/set", "{\"key\":\"k\",\"value\":7}"},
        {BASE "/set", "{\"key\":\"k\",\"value\":null}"},
        {BASE "/set", "{\"key\":\"a\\u0000b\",\"value\":\"v\"}"},
        {BASE "/set", ""},
        {BASE "/set", "[]"},
        {BASE "/set", "key=k&value=v"},
        {BASE "/delete", "{\"keys\":\"k\"}"},
        {BASE "/cas", "{\"key\":\"k\",\"old_value\":\"v\"}"},
        {BASE "/cas", "{\"key\":\"k\",\"new_value\":\"v\"}"},
        {BASE "/bump", "{\"key\":\"k\"}"},
        {BASE "/bump", "{\"key\":\"k\",\"value\":1.0}"},
        {BASE "/bump", "{\"key\":\"k\",\"value\":\"+7\"}"},
        {BASE "/batchset", "{\"items\":{}}"},
        {BASE "/batchset", "{\"items\":[[]]}"},
        {BASE "/batchset", "{\"items\":[{\"key\":\"k\"}]}"},
        {BASE "/batchset", "{\"items\":[7]}"},
        {BASE "/batchdelete", "{\"keys\":[7]}"},
        {BASE "/batchdelete", "{\"keys\":[\"\"]}"},
        {BASE "/admin/api/create", "{}"},
        {BASE "/admin/api/create", "{\"key_name\":\"\"}"},
        {BASE "/admin/api/create", "{\"key_name\":7}"},
        {BASE "/admin/api/delete", "{}"},
        {BASE "/admin/api/delete", "{\"key\":\"\"}"},
    };
    unsigned before = fake.applied;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        expect_post(bad[i].path, bad[i].body, 400, "BAD_REQUEST");
    cr_assert_eq(fake.applied, before);
}

Test(calls, names_that_nobody_knows_are_ignored)
{
    expect_post(BASE "/set", "{\"key\":\"k\",\"value\":\"v\",\"colour\":{\"a\":[1]}}", 200, NULL);
    expect_get(BASE "/get?key=k&colour=blue", 200, NULL);
}

Test(calls, bodies_have_their_limit_and_its_answer_arrives)
{
    size_t size = (2 << 20) + 1;
    char *body = malloc(size + 1);
    memset(body, ' ', size);
    body[size] = '\0';
    expect_post(BASE "/set", body, 413, "PAYLOAD_TOO_LARGE"); /* the handler's */
    body[size - 1] = '\0';
    expect_post(BASE "/set", body, 400, "BAD_REQUEST"); /* exactly the limit, and blank */
    free(body);
    body = malloc(8 * size);
    memset(body, ' ', 8 * size - 1);
    body[8 * size - 1] = '\0';
    expect_post(BASE "/set", body, 413, "PAYLOAD_TOO_LARGE"); /* before it was read */
    free(body);
}

/* ---- paths and methods ---- */

Test(calls, unknown_paths_are_404)
{
    static const char *const paths[] = {
        "/",          "/db/api/v1",  "/db/api/v1/",      "/get?key=k",  "/db/api/v2/get?key=k",
        BASE "/sets", BASE "/get/",  BASE "//get",       BASE "/%67et", BASE "/../v1/get",
        BASE "/GET",  BASE "/cache", BASE "/queue/pops", BASE "/event", BASE "/admin/clusters"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        expect_get(paths[i], 404, "NOT_FOUND");
        expect_post(paths[i], "{}", 404, "NOT_FOUND");
    }
}

Test(calls, wrong_methods_are_405_and_say_which_is_right)
{
    struct answer answer = get(BASE "/set");
    answer_expect(&answer, 405, "METHOD_NOT_ALLOWED");
    cr_assert_not_null(strstr(answer.head, "allow: POST\r\n"), "%s", answer.head);
    answer_fini(&answer);
    static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"};
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        answer = client_call(&fake, methods[i], BASE "/get?key=k", fake_root(), NULL);
        answer_expect(&answer, 405, "METHOD_NOT_ALLOWED");
        cr_assert_not_null(strstr(answer.head, "allow: GET, HEAD\r\n"), "%s", answer.head);
        answer_fini(&answer);
    }
}

Test(calls, head_is_get_without_the_body)
{
    struct answer answer = client_call(&fake, "HEAD", BASE "/ping", fake_root(), NULL);
    answer_expect(&answer, 200, NULL);
    cr_assert_not_null(strstr(answer.head, "Content-Length: "));
    answer_fini(&answer);
}

/* ---- tokens ---- */

Test(calls, without_a_known_token_it_is_401)
{
    static const char *const paths[] = {BASE "/get?key=k", BASE "/ping", BASE "/admin/api/list"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct answer none = client_call(&fake, "GET", paths[i], NULL, NULL);
        answer_expect(&none, 401, "AUTHENTICATION_FAILED");
        cr_assert_not_null(strstr(none.head, "www-authenticate: Bearer"));
        struct answer wrong = client_call(&fake, "GET", paths[i], "insi_wrong", NULL);
        answer_expect(&wrong, 401, "AUTHENTICATION_FAILED");
        cr_assert_str_eq(none.body, wrong.body);
        answer_fini(&none);
        answer_fini(&wrong);
    }
    struct answer bad = client_call(&fake, "POST", BASE "/set", "wrong", "{bad");
    answer_expect(&bad, 401, "AUTHENTICATION_FAILED");
    answer_fini(&bad);
}

Test(calls, each_key_has_a_scope_of_its_own)
{
    char first[TOKEN_APIKEY_BYTES], second[TOKEN_APIKEY_BYTES];
    fake_add_key(&fake, "first", first);
    fake_add_key(&fake, "second", second);
    const char *tokens[] = {first, second, fake_root()};
    for (unsigned i = 0; i < 3; i++) {
        char body[64];
        snprintf(body, sizeof(body), "{\"key\":\"k\",\"value\":\"of %u\"}", i);
        struct answer set = client_call(&fake, "POST", BASE "/set", tokens[i], body);
        answer_expect(&set, 200, NULL);
        answer_fini(&set);
    }
    for (unsigned i = 0; i < 3; i++) {
        char expected[64];
        struct answer got = client_call(&fake, "GET", BASE "/get?key=k", tokens[i], NULL);
        snprintf(expected, sizeof(expected), "of %u", i);
        cr_assert_str_eq(answer_text(&got, "data"), expected);
        answer_fini(&got);
    }
}

Test(calls, a_key_is_no_root_token)
{
    char key[TOKEN_APIKEY_BYTES];
    fake_add_key(&fake, "shop", key);
    struct answer answer = client_call(&fake, "GET", BASE "/admin/api/list", key, NULL);
    answer_expect(&answer, 403, "FORBIDDEN");
    answer_fini(&answer);
    answer = client_call(&fake, "POST", BASE "/admin/api/create", key, "{\"key_name\":\"x\"}");
    answer_expect(&answer, 403, "FORBIDDEN");
    answer_fini(&answer);
}

Test(calls, a_key_is_made_listed_used_and_deleted)
{
    struct answer made = post(BASE "/admin/api/create", "{\"key_name\":\"shop\"}");
    answer_expect(&made, 200, NULL);
    cr_assert_str_eq(answer_text(&made, "key_name"), "shop");
    const char *key = answer_text(&made, "key");
    cr_assert_eq(strlen(key), TOKEN_APIKEY_BYTES - 1);

    struct answer pinged = client_call(&fake, "GET", BASE "/ping", key, NULL);
    answer_expect(&pinged, 200, NULL);
    cr_assert_str_eq(answer_text(&pinged, "status"), "ok");
    cr_assert_str_eq(answer_text(&pinged, "entity"), "shop");
    cr_assert_str_eq(answer_text(&pinged, "node"), "node0");
    cr_assert_str_eq(answer_text(&pinged, "leader"), "node0");

    struct answer listed = get(BASE "/admin/api/list");
    answer_expect(&listed, 200, NULL);
    const json_t *row = json_array_get(json_object_get(listed.json, "data"), 0);
    cr_assert_str_eq(json_string_value(json_object_get(row, "key_name")), "shop");
    cr_assert_eq(json_string_length(json_object_get(row, "scope")), 32);
    cr_assert_eq(json_string_length(json_object_get(row, "created_at")), 24);
    cr_assert_null(strstr(listed.body, key + 5));

    char body[128];
    snprintf(body, sizeof(body), "{\"key\":\"%s\"}", key);
    expect_post(BASE "/admin/api/delete", body, 200, NULL);
    expect_post(BASE "/admin/api/delete", body, 404, "NOT_FOUND");
    struct answer after = client_call(&fake, "GET", BASE "/ping", key, NULL);
    answer_expect(&after, 401, "AUTHENTICATION_FAILED");
    cr_assert_not(fake_log_contains(&fake, key + 5));
    answer_fini(&made);
    answer_fini(&pinged);
    answer_fini(&listed);
    answer_fini(&after);
}

Test(calls, health_and_readiness_are_open)
{
    static const char *const paths[] = {"/healthz", "/readyz", BASE "/healthz", BASE "/readyz"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct answer answer = client_call(&fake, "GET", paths[i], NULL, NULL);
        answer_expect(&answer, 200, NULL);
        cr_assert_str_eq(answer.body, "{\"status\":\"ok\"}");
        answer_fini(&answer);
    }
}
