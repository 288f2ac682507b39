/* test_gateway.c - a real gateway process in a played node: what clients see. */
#include <unistd.h>

#include "base/error.h"
#include "fake_node.h"

static struct fake fake;

static void start(void)
{
    fake_start(&fake, NULL);
}

static void stop(void)
{
    fake_stop(&fake);
}

TestSuite(gateway, .init = start, .fini = stop, .timeout = 60);

static struct answer post(const char *path, const char *body)
{
    return client_call(&fake, "POST", path, fake_root(), body);
}

static struct answer get(const char *target)
{
    return client_call(&fake, "GET", target, fake_root(), NULL);
}

/* ---- values ---- */

Test(gateway, what_was_set_is_read_with_the_index_of_its_write)
{
    struct answer set = post("/db/api/v1/set", "{\"key\":\"greeting\",\"value\":\"hello\"}");
    answer_expect(&set, 200, NULL);
    struct answer got = get("/db/api/v1/get?key=greeting");
    answer_expect(&got, 200, NULL);
    cr_assert_str_eq(answer_text(&got, "data"), "hello");
    cr_assert_eq(answer_number(&got, "index"), answer_number(&set, "index"));
    answer_fini(&set);
    answer_fini(&got);
}
