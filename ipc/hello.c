/* hello.c - see hello.h. */
#include "ipc/hello.h"

#include "base/error.h"
#include "base/limits.h"
#include "ipc/link.h"
#include "ipc/msg.h"

void hello_pack(struct pack *pack, const struct hello *hello)
{
    pack_array(pack, 1 + (uint32_t)msg_elements(MSG_HELLO));
    pack_u64(pack, MSG_HELLO);
    pack_u64(pack, hello->version);
    pack_u64(pack, hello->proc);
    pack_u64(pack, hello->index);
    pack_text(pack, hello->node);
    pack_u64(pack, hello->start_id);
}

int hello_decode(struct hello *hello, struct slice body)
{
    struct unpack unpack;
    unpack_init(&unpack, body);
    *hello = (struct hello){0};
    uint32_t elements = unpack_array(&unpack);
    if (unpack_u64(&unpack) != MSG_HELLO)
        unpack_refuse(&unpack);
    hello->version = unpack_u64(&unpack);
    if (unpack.error == 0 && hello->version != LINK_PROTOCOL_VERSION)
        return E_VERSION;
    hello->proc = unpack_u64(&unpack);
    hello->index = unpack_u64(&unpack);
    hello->node = unpack_text(&unpack);
    hello->start_id = unpack_u64(&unpack);
    if (elements != 1 + (uint32_t)msg_elements(MSG_HELLO) || hello->node.len == 0 ||
        hello->node.len >= LIMIT_NODE_ID_BYTES)
        unpack_refuse(&unpack);
    return unpack_end(&unpack);
}

int hello_compare(const struct hello *got, const struct hello *expected, const char **what)
{
    *what = "version";
    if (got->version != expected->version)
        return E_VERSION;
    *what = "process";
    if (got->proc != expected->proc)
        return E_FOREIGN;
    *what = "index";
    if (got->index != expected->index)
        return E_FOREIGN;
    *what = "node";
    if (!slice_equal(got->node, expected->node))
        return E_FOREIGN;
    *what = "";
    return 0;
}
