/* popping.c - see popping.h. */
#include "tests/unit/gateway/popping.h"

#include "ipc/entry.h"

struct popping rig;

/* ---- the wire ---- */

static int on_propose(void *arg, struct slice bytes)
{
    struct entry entry;
    struct command command;
    (void)arg;
    cr_assert_eq(entry_decode(&entry, bytes), 0);
    cr_assert_eq(command_decode(&command, entry.parts[0].command), 0);
    cr_assert_lt(rig.sent_count, SENT_MAX);
    rig.sent[rig.sent_count++] =
        (struct sent){entry.session,     entry.sequence,  entry.floor,
                      command.operation, command.wait_ms, command.sequence};
    return 0;
}

static int on_recall(void *arg, enum proc worker, uint64_t session, uint64_t sequence)
{
    (void)arg;
    (void)session;
    (void)sequence;
    cr_assert_eq(worker, PROC_CACHEQ);
    rig.recalls++;
    return 0;
}

static uint64_t on_now(void *arg)
{
    (void)arg;
    return rig.now_ns;
}

static void on_begin_session(void *arg, uint64_t session)
{
    (void)arg;
    rig.sessions[rig.session_count++ % 64] = session;
}

static void on_done(void *arg, const struct inflight_outcome *outcome)
{
    struct client *client = arg;
    client->told++;
    client->error = outcome->error;
    client->index = outcome->index;
    if (outcome->detail.len > 0 && outcome->detail.len < sizeof(client->item))
        memcpy(client->item, outcome->detail.data, outcome->detail.len);
    client->pop = NULL;
}

void popping_start(void)
{
    const struct pops_wire wire = {
        .writes = {.propose = on_propose, .recall = on_recall, .now_ns = on_now},
        .begin_session = on_begin_session};
    rig.now_ns = 1000 * NS_PER_S;
    rig.pops = pops_new(&wire);
    pops_on_leader(rig.pops, true);
}

void popping_stop(void)
{
    pops_free(&rig.pops);
}

void result(const struct sent *sent, int error, const char *item)
{
    const struct inflight_outcome outcome = {error, ++rig.index, slice_text(item)};
    pops_on_result(rig.pops, PROC_CACHEQ, sent->session, sent->sequence, &outcome);
}

void serve(void)
{
    for (; rig.served < rig.sent_count; rig.served++) {
        const struct sent sent = rig.sent[rig.served];
        const struct inflight_outcome opened = {0, 1, slice_of(NULL, 0)};
        if (sent.operation != COMMAND_SESSION_OPEN)
            continue;
        for (int worker = PROC_FIRST_WORKER; worker <= PROC_LAST_WORKER; worker++)
            pops_on_result(rig.pops, (enum proc)worker, sent.session, sent.sequence, &opened);
    }
}

struct sent *find_last(enum command_operation operation)
{
    for (unsigned i = rig.sent_count; i > 0; i--) {
        if (rig.sent[i - 1].operation == operation)
            return &rig.sent[i - 1];
    }
    return NULL;
}

unsigned count_of(enum command_operation operation)
{
    unsigned count = 0;
    for (unsigned i = 0; i < rig.sent_count; i++)
        count += rig.sent[i].operation == operation;
    return count;
}

int begin_from(struct client *client, uint64_t wait_ms, uint64_t origin)
{
    const struct pop_wish wish = {.key = slice_text("jobs"),
                                  .wait_ms = wait_ms,
                                  .patience_ms = PATIENCE_MS,
                                  .origin = origin,
                                  .done = on_done,
                                  .arg = client};
    *client = (struct client){0};
    int error = pop_begin(rig.pops, &wish, &client->pop);
    serve();
    return error;
}

int begin(struct client *client, uint64_t wait_ms)
{
    return begin_from(client, wait_ms, rig.sent_count);
}

struct sent begin_waiting(struct client *client, uint64_t wait_ms)
{
    cr_assert_eq(begin(client, wait_ms), 0);
    struct sent sent = *find_last(COMMAND_QUEUE_POP);
    result(&sent, E_QUEUE_WAITING, "");
    cr_assert_eq(client->told, 0);
    return sent;
}

void pass_ms(uint64_t ms)
{
    rig.now_ns += ms * NS_PER_MS;
    pops_tick(rig.pops);
    serve();
}

void expect(const struct client *client, int error)
{
    cr_assert_eq(client->told, 1);
    cr_assert_eq(client->error, error, "%s", error_name(client->error));
}
