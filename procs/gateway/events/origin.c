/* origin.c - see origin.h. */
#include "procs/gateway/events/origin.h"

#include <string.h>
#include <strings.h>

struct origin {
    struct slice scheme, authority; /* host[:port] */
};

static bool origin_same_text(struct slice a, struct slice b)
{
    return a.len == b.len && strncasecmp(a.data, b.data, a.len) == 0;
}

/* "scheme://host[:port]"; a path has no place in it. */
static bool origin_parse(struct slice text, struct origin *out)
{
    static const char mark[] = "://";
    const char *start = text.data;
    const char *at = memmem(text.data, text.len, mark, sizeof(mark) - 1);
    if (at == NULL || at == start)
        return false;
    out->scheme = slice_of(start, (size_t)(at - start));
    at += sizeof(mark) - 1;
    out->authority = slice_of(at, text.len - (size_t)(at - start));
    return out->authority.len > 0 && memchr(at, '/', out->authority.len) == NULL;
}

/* Without the port that the scheme stands for. */
static struct slice origin_strip_port(struct slice authority, struct slice scheme)
{
    bool is_secure = origin_same_text(scheme, slice_text("https")) ||
                     origin_same_text(scheme, slice_text("wss"));
    const struct slice port = slice_text(is_secure ? ":443" : ":80");
    const char *at = authority.data;
    if (authority.len > port.len && memcmp(at + authority.len - port.len, port.data, port.len) == 0)
        authority.len -= port.len;
    return authority;
}

static bool origin_same_host(const struct origin *origin, struct slice host)
{
    return origin_same_text(origin_strip_port(origin->authority, origin->scheme),
                            origin_strip_port(host, origin->scheme));
}

static bool origin_matches(struct slice text, struct slice entry)
{
    struct origin origin, listed;
    if (slice_equal(entry, slice_text("*")) || origin_same_text(text, entry))
        return true;
    return origin_parse(text, &origin) && origin_parse(entry, &listed) &&
           origin_same_text(origin.scheme, listed.scheme) &&
           origin_same_host(&origin, listed.authority);
}

bool origin_is_listed(struct slice origin, char *const *allowed, unsigned allowed_count)
{
    for (unsigned i = 0; i < allowed_count; i++) {
        if (origin_matches(origin, slice_text(allowed[i])))
            return true;
    }
    return false;
}

bool origin_is_allowed(struct slice origin, struct slice host, char *const *allowed,
                       unsigned allowed_count)
{
    struct origin parsed;
    if (allowed_count > 0)
        return origin_is_listed(origin, allowed, allowed_count);
    return host.len > 0 && origin_parse(origin, &parsed) && origin_same_host(&parsed, host);
}
