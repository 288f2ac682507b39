/* events_main.c - insi-events: retained events in events.mdb on tmpfs, and who gets them. */
#include <stddef.h>

#include "base/clock.h"
#include "procs/events/events.h"

#define EVENTS_RESERVE_BYTES (4u << 20)
#define EVENTS_REACHED_NS (250 * NS_PER_MS) /* between two times that gateways are told how far */

static struct events events;
static struct loop_timer reached_timer;

static void events_on_reached_timer(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < LIMIT_GATEWAYS; i++)
        feed_tell_reached(&events.feeds[i]);
}

/* An idle worker does not wake up. */
static void events_set_reached_timer(struct worker *worker)
{
    bool is_due = false;

    for (unsigned i = 0; i < LIMIT_GATEWAYS && !is_due; i++)
        is_due = feed_has_reached(&events.feeds[i]);
    if (is_due && reached_timer.due_ns == 0)
        loop_timer_set(worker_loop(worker), &reached_timer,
                       loop_now_ns(worker_loop(worker)) + EVENTS_REACHED_NS);
}

/* Before anything more is applied, which may drop from the ring. */
static void events_on_committed(void *arg, struct worker *worker)
{
    uint64_t applied_index = worker_applied_index(worker);

    (void)arg;
    if (!events_have_news(&events, applied_index))
        return;
    MDB_txn *txn = worker_read_begin(worker);
    int error = events_run_live(&events, txn, applied_index);
    worker_read_end(worker);
    if (error != 0)
        worker_fail(worker, "events", error);
}

static void events_sweep(struct worker *worker)
{
    if (!events_have_sweeps(&events))
        return;
    MDB_txn *txn = worker_read_begin(worker);
    int error = events_run_sweeps(&events, txn);
    worker_read_end(worker);
    if (error != 0)
        worker_fail(worker, "sweep", error);
}

/* When there is no room for it the next transaction goes on with the housework. */
static void events_on_turn_end(void *arg, struct worker *worker)
{
    bool has_kept_house = events_have_housework(&events) && worker_keep_house(worker);

    events_on_committed(arg, worker); /* what windows held up */
    events_sweep(worker);
    events_set_reached_timer(worker);
    if (events_have_sweeps(&events) || (has_kept_house && events_have_housework(&events)))
        loop_run_again(worker_loop(worker));
}

static void events_on_gateway_up(void *arg, struct worker *worker, unsigned gateway)
{
    (void)arg;
    feed_begin(&events.feeds[gateway], worker_gateway_link(worker, gateway),
               worker_applied_index(worker));
}

static void events_on_gateway_down(void *arg, struct worker *worker, unsigned gateway)
{
    (void)arg;
    (void)worker;
    feed_end(&events.feeds[gateway]);
}

static void events_on_gateway_message(void *arg, struct worker *worker, unsigned gateway,
                                      enum msg type, struct unpack *body)
{
    (void)arg;
    events_on_message(&events, gateway, type, body, worker_applied_index(worker));
}

int main(int argc, char **argv)
{
    static const struct worker_kind kind = {
        .proc = PROC_EVENTS,
        .map_kind = MAP_EVENTS,
        .folder = offsetof(struct node_paths, events_map),
        .reserve_bytes = EVENTS_RESERVE_BYTES,
        .is_volatile = true,
        .load = events_load,
        .store = events_store,
        .apply = events_apply,
        .committed = events_on_committed,
        .configured = events_configured,
        .turn_ended = events_on_turn_end,
        .gateway_up = events_on_gateway_up,
        .gateway_down = events_on_gateway_down,
        .gateway_message = events_on_gateway_message,
        .arg = &events,
    };

    events_init(&events);
    reached_timer.fire = events_on_reached_timer;
    worker_run(&kind, argc, argv);
}
