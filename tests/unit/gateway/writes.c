/* writes.c - see writes.h. */
#include "tests/unit/gateway/writes.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"

struct writes writes;

static int wire_propose(void *arg, struct slice bytes)
{
    struct entry entry;
    struct command command;
    (void)arg;
    if (writes.wire_error != 0)
        return writes.wire_error;
    cr_assert_eq(entry_decode(&entry, bytes), 0);
    cr_assert_eq(command_decode(&command, entry.parts[0].command), 0);
    cr_assert_lt(writes.sent_count, SENT_MAX);
    writes.sent[writes.sent_count++] = (struct sent){entry.session, entry.sequence, entry.floor,
                                                     entry.part_count, command.operation};
    return 0;
}

static int wire_recall(void *arg, enum proc worker, uint64_t session, uint64_t sequence)
{
    (void)arg;
    cr_assert_eq(session, inflight_session(writes.inflight));
    cr_assert_eq(worker, PROC_STORAGE);
    writes.recalled[writes.recall_count++] = sequence;
    return 0;
}

static uint64_t wire_now(void *arg)
{
    (void)arg;
    return writes.now_ns;
}

void writes_on_done(void *arg, const struct inflight_outcome *outcome)
{
    struct told *told = arg;
    told->count++;
    told->error = outcome->error;
    told->index = outcome->index;
    cr_assert_lt(outcome->detail.len, sizeof(told->detail));
    if (outcome->detail.len > 0)
        memcpy(told->detail, outcome->detail.data, outcome->detail.len);
}

void writes_start(void)
{
    const struct inflight_wire wire = {
        .propose = wire_propose, .recall = wire_recall, .now_ns = wire_now};
    writes.now_ns = 1000 * NS_PER_S;
    writes.session = SESSION;
    writes.inflight = inflight_new(SESSION, &wire);
}

void writes_stop(void)
{
    inflight_free(&writes.inflight);
}

int writes_add_from(uint64_t origin, struct told *told, uint64_t *ticket)
{
    static const struct scope scope = {{1}};
    struct command command = {.operation = COMMAND_VALUE_SET,
                              .scope = scope,
                              .key = slice_text("key"),
                              .value = slice_text("value")};
    struct buf bytes;
    buf_init(&bytes, 4096);
    cr_assert_eq(command_encode(&bytes, &command), 0);
    const struct entry_part part = {PROC_STORAGE, buf_slice(&bytes)};
    const struct inflight_write write = {.parts = &part,
                                         .part_count = 1,
                                         .origin = origin,
                                         .deadline_ns = writes.now_ns + PATIENCE_NS,
                                         .done = writes_on_done,
                                         .arg = told};
    int error = inflight_add(writes.inflight, &write, ticket);
    buf_fini(&bytes);
    return error;
}

uint64_t writes_add(struct told *told)
{
    uint64_t ticket = 0;
    memset(told, 0, sizeof(*told));
    cr_assert_eq(writes_add_from(0, told, &ticket), 0);
    return ticket;
}

void writes_result(enum proc worker, uint64_t sequence, uint64_t index, int error)
{
    const struct inflight_outcome outcome = {error, index, slice_of(NULL, 0)};
    inflight_on_result(writes.inflight, worker, writes.session, sequence, &outcome);
}

const struct sent *writes_last(void)
{
    cr_assert_gt(writes.sent_count, 0);
    return &writes.sent[writes.sent_count - 1];
}

/* The session is open at every worker. */
void writes_confirm(void)
{
    cr_assert_eq(writes_last()->operation, COMMAND_SESSION_OPEN);
    cr_assert_eq(writes_last()->parts, EVERY_WORKER);
    uint64_t sequence = writes_last()->sequence;
    for (int worker = PROC_FIRST_WORKER; worker <= PROC_LAST_WORKER; worker++)
        writes_result((enum proc)worker, sequence, 1, 0);
}

/* A leader, and the session open. */
void writes_serve(void)
{
    inflight_on_leader(writes.inflight, true);
    writes_confirm();
}

void writes_pass(uint64_t ns)
{
    writes.now_ns += ns;
    inflight_tick(writes.inflight);
}

void writes_expect_told(const struct told *told, int error)
{
    cr_assert_eq(told->count, 1);
    cr_assert_eq(told->error, error, "%s", error_name(told->error));
}
