/* test_session_keys.c - the API keys that subscribers came with: one for all that share it. */
#include <criterion/criterion.h>
#include <string.h>

#include "procs/gateway/events/session_keys.h"

TestSuite(session_keys, .timeout = 60);

Test(session_keys, many_keys_are_told_apart_and_forgotten)
{
    struct session_keys keys = {0};
    struct session_key *taken[300];
    uint8_t hash[SHA256_BYTES] = {0};
    for (unsigned i = 0; i < 300; i++) {
        hash[0] = (uint8_t)(i % 7); /* many begin at the same place */
        hash[20] = (uint8_t)i;
        hash[21] = (uint8_t)(i >> 8);
        taken[i] = session_key_take(&keys, hash);
        cr_assert_eq(taken[i], session_key_take(&keys, hash));
        cr_assert_eq(taken[i]->users, 2);
    }
    cr_assert_eq(keys.count, 300);
    for (unsigned i = 0; i < 300; i++) {
        unsigned which = i * 7 % 300;
        struct session_key *again = taken[which];
        memcpy(hash, again->hash, sizeof(hash));
        session_key_release(&keys, &again);
        cr_assert_eq(session_key_take(&keys, hash), taken[which]);
        for (unsigned users = 0; users < 2; users++) {
            again = taken[which];
            session_key_release(&keys, &again);
        }
    }
    session_keys_fini(&keys);
}
