/* test_origin.c - which pages may subscribe. */
#include <criterion/criterion.h>

#include "procs/gateway/events/origin.h"

static bool is_allowed(const char *origin, const char *host)
{
    return origin_is_allowed(slice_text(origin), slice_text(host), NULL, 0);
}

Test(origin, without_a_list_a_page_must_be_of_the_same_host_and_port)
{
    cr_assert(is_allowed("http://example.org", "example.org"));
    cr_assert(is_allowed("http://Example.ORG", "example.org"));
    cr_assert(is_allowed("http://example.org:8080", "example.org:8080"));
    cr_assert(is_allowed("http://[::1]:8080", "[::1]:8080"));
    cr_assert(!is_allowed("http://example.org:8080", "example.org:8081"));
    cr_assert(!is_allowed("http://example.org:8080", "example.org"));
    cr_assert(!is_allowed("http://example.org", "example.com"));
    cr_assert(!is_allowed("http://example.org.evil.net", "example.org"));
    cr_assert(!is_allowed("http://evil.net/example.org", "example.org"));
}

Test(origin, a_port_that_is_not_named_is_that_of_the_pages_scheme)
{
    cr_assert(is_allowed("http://example.org", "example.org:80"));
    cr_assert(is_allowed("http://example.org:80", "example.org"));
    cr_assert(is_allowed("https://example.org", "example.org:443")); /* TLS may end before us */
    cr_assert(is_allowed("https://example.org", "example.org"));
    cr_assert(!is_allowed("https://example.org", "example.org:80"));
    cr_assert(!is_allowed("http://example.org", "example.org:443"));
}

Test(origin, what_is_none_is_refused)
{
    static const char *const wrong[] = {"null",           "",        "example.org",
                                        "://example.org", "http://", "http:/example.org"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        cr_assert(!is_allowed(wrong[i], "example.org"), "%s", wrong[i]);
    cr_assert(!is_allowed("http://example.org", ""));
}

static bool is_listed(const char *origin, char *entry)
{
    return origin_is_allowed(slice_text(origin), slice_text("example.org"), &entry, 1);
}

Test(origin, with_a_list_it_counts_alone)
{
    char listed[] = "https://app.example.org", all[] = "*", null[] = "null", port[] = "http://a:80";
    cr_assert(is_listed("https://app.example.org", listed));
    cr_assert(is_listed("https://APP.example.org:443", listed));
    cr_assert(!is_listed("http://app.example.org", listed));
    cr_assert(!is_listed("https://app.example.org:8443", listed));
    cr_assert(!is_listed("https://example.org", listed)); /* the same host, not listed */
    cr_assert(is_listed("http://a", port));
    cr_assert(is_listed("anything", all));
    cr_assert(is_listed("null", null));
    cr_assert(!is_listed("null", listed));
}
