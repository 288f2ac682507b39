/* The payload of config entries. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "base/error.h"
#include "procs/raft/members.h"

static struct members members, back;
static struct buf out;

static void members_setup(void)
{
    buf_init(&out, MEMBERS_BYTES);
    members = (struct members){.count = 3};
    for (uint32_t i = 0; i < 3; i++) {
        struct member *member = &members.list[i];
        member->id = 100 + i;
        member->voter = i != 1;
        snprintf(member->name, sizeof(member->name), "node%u", i);
        snprintf(member->raft_address, sizeof(member->raft_address), "10.0.0.%u:2222", i);
        snprintf(member->http_address, sizeof(member->http_address), "[fd00::%u]:8443", i);
    }
}

static void members_teardown(void)
{
    buf_fini(&out);
}

TestSuite(members, .init = members_setup, .fini = members_teardown);

static void members_check_equal(void)
{
    cr_assert_eq(back.count, members.count);
    for (uint32_t i = 0; i < members.count; i++) {
        const struct member *is = &back.list[i], *was = &members.list[i];
        cr_assert_eq(is->id, was->id);
        cr_assert_eq(is->voter, was->voter);
        cr_assert_str_eq(is->name, was->name);
        cr_assert_str_eq(is->raft_address, was->raft_address);
        cr_assert_str_eq(is->http_address, was->http_address);
    }
}

Test(members, come_back_as_they_were)
{
    cr_assert_eq(members_encode(&out, &members), 0);
    cr_assert_eq(members_decode(&back, buf_slice(&out)), 0);
    members_check_equal();
}

Test(members, a_node_knows_itself)
{
    char id[] = "node7", raft_host[] = "::1", http_host[] = "example.org";
    const struct config_node self = {
        .id = id, .raft = {raft_host, 2222}, .http = {http_host, 8443}};
    cr_assert_eq(members_of_self(&back, 42, &self), 0);
    cr_assert_eq(back.count, 1);
    cr_assert_eq(back.list[0].id, 42);
    cr_assert(back.list[0].voter);
    cr_assert_str_eq(back.list[0].name, "node7");
    cr_assert_str_eq(back.list[0].raft_address, "[::1]:2222");
    cr_assert_str_eq(back.list[0].http_address, "example.org:8443");
}

Test(members, as_many_as_the_core_allows_fit)
{
    members.count = RAFT_MEMBERS_MAX;
    for (uint32_t i = 0; i < RAFT_MEMBERS_MAX; i++) {
        members.list[i].id = UINT64_MAX - RAFT_MEMBERS_MAX + i;
        memset(members.list[i].name, 'n', LIMIT_NODE_ID_BYTES - 1);
        memset(members.list[i].raft_address, 'r', MEMBER_ADDRESS_BYTES - 1);
        memset(members.list[i].http_address, 'h', MEMBER_ADDRESS_BYTES - 1);
    }
    cr_assert_eq(members_encode(&out, &members), 0);
    cr_assert_eq(members_decode(&back, buf_slice(&out)), 0);
    members_check_equal();
}

Test(members, the_cores_config_is_the_same_without_addresses)
{
    struct raft_config config;
    members_to_config(&members, &config);
    cr_assert_eq(config.count, 3);
    cr_assert_eq(config.members[1].id, 101);
    cr_assert_not(config.members[1].voter);
    cr_assert(config.members[2].voter);
    /* one leaves, one becomes a voter, one is not known yet */
    config.count = 3;
    config.members[0] = config.members[1];
    config.members[0].voter = true;
    config.members[1] = config.members[2];
    config.members[2] = (struct raft_member){.id = 200};
    members_select(&back, &members, &config);
    cr_assert_eq(back.count, 3);
    cr_assert_str_eq(back.list[0].name, "node1");
    cr_assert(back.list[0].voter);
    cr_assert_str_eq(back.list[1].raft_address, "10.0.0.2:2222");
    cr_assert_eq(back.list[2].id, 200);
    cr_assert_str_eq(back.list[2].name, "");
    cr_assert_eq(members_find(&members, 101), &members.list[1]);
    cr_assert_null(members_find(&members, 99));
}

Test(members, what_is_cut_short_or_has_something_left_over_is_refused)
{
    cr_assert_eq(members_encode(&out, &members), 0);
    for (size_t len = 0; len < out.len; len++)
        cr_assert_neq(members_decode(&back, slice_of(out.data, len)), 0, "%zu bytes", len);
    buf_append_byte(&out, 0);
    cr_assert_eq(members_decode(&back, buf_slice(&out)), E_TRAILING);
}

static int members_recode(void)
{
    buf_clear(&out);
    cr_assert_eq(members_encode(&out, &members), 0);
    return members_decode(&back, buf_slice(&out));
}

Test(members, nonsense_is_refused)
{
    members.list[1].id = 100; /* twice */
    cr_assert_eq(members_recode(), E_INVALID);
    members.list[1].id = 99; /* out of order */
    cr_assert_eq(members_recode(), E_INVALID);
    members.list[1].id = 101;
    members.list[0].id = 0;
    cr_assert_eq(members_recode(), E_INVALID);
    members.list[0].id = 100;
    members.list[2].name[0] = '\0';
    cr_assert_eq(members_recode(), E_INVALID);
    members.count = 0;
    cr_assert_eq(members_recode(), E_INVALID);
}
