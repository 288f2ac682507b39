/* test_reply.c - the error table, word for word. */
#include <criterion/criterion.h>
#include <jansson.h>

#include "base/error.h"
#include "procs/gateway/http/reply.h"

Test(reply, every_error_type_has_the_status_of_the_contract)
{
    static const struct {
        unsigned status;
        const char *types;
    } table[] = {
        {400, " BAD_REQUEST KEY_TOO_LONG VALUE_TOO_LARGE TTL_TOO_LONG BATCH_TOO_LARGE "},
        {401, " AUTHENTICATION_FAILED "},
        {403, " FORBIDDEN "},
        {404, " NOT_FOUND QUEUE_NOT_FOUND QUEUE_EMPTY "},
        {405, " METHOD_NOT_ALLOWED "},
        {409, " CONFLICT OVERFLOW NOT_A_NUMBER "},
        {413, " PAYLOAD_TOO_LARGE "},
        {426, " UPGRADE_REQUIRED "},
        {429, " RATE_LIMITED "},
        {500, " INTERNAL "},
        {503, " NO_LEADER TOO_MANY_SESSIONS OUTCOME_UNKNOWN "},
        {507, " STORAGE_FULL "},
    };
    unsigned found = 0;
    for (unsigned i = 0; i < REPLY_ERROR_COUNT; i++) {
        char name[64];
        snprintf(name, sizeof(name), " %s ", reply_error_name(i));
        for (size_t j = 0; j < sizeof(table) / sizeof(table[0]); j++) {
            if (strstr(table[j].types, name) != NULL) {
                cr_expect_eq(reply_error_status(i), table[j].status, "%s", name);
                found++;
            }
        }
    }
    cr_expect_eq(found, REPLY_ERROR_COUNT);
}

Test(reply, every_outcome_of_a_write_has_its_answer)
{
    static const struct {
        int error;
        enum reply_error type;
    } table[] = {
        {E_NOT_FOUND, REPLY_NOT_FOUND},
        {E_CONFLICT, REPLY_CONFLICT},
        {E_NOT_A_NUMBER, REPLY_NOT_A_NUMBER},
        {E_OVERFLOW, REPLY_OVERFLOW},
        {E_QUEUE_NOT_FOUND, REPLY_QUEUE_NOT_FOUND},
        {E_QUEUE_EMPTY, REPLY_QUEUE_EMPTY},
        {E_STORAGE_FULL, REPLY_STORAGE_FULL},
        {E_SCOPE_GONE, REPLY_AUTHENTICATION_FAILED},
        {E_NO_LEADER, REPLY_NO_LEADER},
        {E_BUSY, REPLY_RATE_LIMITED},
        {E_TOO_LARGE, REPLY_PAYLOAD_TOO_LARGE},
        {E_OUTCOME_UNKNOWN, REPLY_OUTCOME_UNKNOWN},
        {E_SESSION_EXPIRED, REPLY_OUTCOME_UNKNOWN},
        {E_BAD_COMMAND, REPLY_INTERNAL},
        {12345, REPLY_INTERNAL},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        const char *message = NULL;
        cr_expect_eq(reply_of_outcome(table[i].error, &message), table[i].type, "%s",
                     error_name(table[i].error));
        cr_expect(message != NULL && message[0] != '\0');
    }
}

Test(reply, an_error_body_is_json_whatever_it_is_about)
{
    static const char about[] = "\",\"error_type\":\"X\\\n\x01";
    struct buf out;
    buf_init(&out, 4096);
    reply_error_body(&out, REPLY_NOT_FOUND, "key '", slice_text(about), "' does not exist");
    json_t *root = json_loadb((const char *)out.data, out.len, JSON_REJECT_DUPLICATES, NULL);
    cr_assert_not_null(root);
    cr_expect_eq(json_object_size(root), 2);
    cr_expect_str_eq(json_string_value(json_object_get(root, "error_type")), "NOT_FOUND");
    cr_expect_not_null(strstr(json_string_value(json_object_get(root, "message")), about));
    json_decref(root);
    buf_fini(&out);
}
