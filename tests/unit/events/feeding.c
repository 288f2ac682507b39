#include "feeding.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/path.h"
#include "ipc/link_private.h"

#define TEXT_BYTES 65536

struct events events;
struct applier applier;
struct gateway gateways[GATEWAYS];
uint64_t last_index;
int last_error;
char last_data[4096];
const struct scope scope = {"0123456789abcde"}, other_scope = {"0123456789abcdf"};

static char folder[64];
static struct map *map;
static struct buf encoded;
static struct link links[GATEWAYS];

static const struct worker_kind kind = {.proc = PROC_EVENTS,
                                        .map_kind = MAP_EVENTS,
                                        .load = events_load,
                                        .store = events_store,
                                        .apply = events_apply,
                                        .arg = &events};

static void swallow_log(enum log_level level, const char *line, void *arg)
{
    (void)level;
    (void)line;
    (void)arg;
}

/* ---- life ---- */

static void open_map(void)
{
    cr_assert_eq(map_open_writer(&map, folder, MAP_EVENTS), 0);
    cr_assert_eq(applier_open(&applier, map, &kind), 0);
    last_index = applier.last_index;
}

static void close_map(void)
{
    applier_close(&applier);
    map_close(&map);
}

static void forget_clients(struct gateway *gateway)
{
    for (unsigned i = 0; gateway->clients != NULL && i < CLIENTS; i++)
        free(gateway->clients[i].text);
    free(gateway->clients);
    *gateway = (struct gateway){.pays = true};
}

static void open_links(void)
{
    for (unsigned i = 0; i < GATEWAYS; i++) {
        links[i].is_up = true;
        links[i].own_nonce = links[i].peer_nonce = 1;
        buf_init(&links[i].batch, LIMIT_MESSAGE_BYTES);
        gateways[i].clients = calloc(CLIENTS, sizeof(gateways[i].clients[0]));
        gateways[i].pays = true;
        feed_begin(&events.feeds[i], &links[i], applier.last_index);
    }
}

static void close_links(void)
{
    for (unsigned i = 0; i < GATEWAYS; i++) {
        feed_end(&events.feeds[i]);
        for (unsigned j = 0; j < links[i].ready_count; j++)
            buf_fini(&links[i].ready[j]);
        buf_fini(&links[i].batch);
        memset(&links[i], 0, sizeof(links[i]));
        forget_clients(&gateways[i]);
    }
}

void feeding_init(void)
{
    strcpy(folder, "/dev/shm/insi-feeding-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    log_set_hook(swallow_log, NULL);
    buf_init(&encoded, LIMIT_ENTRY_BYTES);
    events_init(&events);
    events.retention_bytes = 64u << 20;
    open_map();
    open_links();
}

void feeding_fini(void)
{
    close_links();
    close_map();
    events_free(&events);
    buf_fini(&encoded);
    path_remove_tree(folder);
}

void feeding_restart(void)
{
    uint64_t retention_bytes = events.retention_bytes;
    close_links();
    close_map();
    events_free(&events);
    events_init(&events);
    events.retention_bytes = retention_bytes;
    open_map();
    open_links();
}

void feeding_reconnect(unsigned gateway)
{
    feed_end(&events.feeds[gateway]);
    buf_clear(&links[gateway].batch);
    feed_begin(&events.feeds[gateway], &links[gateway], applier.last_index);
}

void feeding_move(void)
{
    char next[64], path[96];
    cr_assert_eq(applier_settle(&applier), 0);
    strcpy(next, "/dev/shm/insi-feeding-XXXXXX");
    cr_assert_not_null(mkdtemp(next));
    cr_assert_eq(map_file(path, sizeof(path), next, MAP_EVENTS), 0);
    int fd = open(path, O_CREAT | O_WRONLY | O_EXCL | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(map_copy(map, fd), 0);
    close(fd);
    close_map();
    path_remove_tree(folder);
    snprintf(folder, sizeof(folder), "%s", next);
    open_map();
}

/* ---- the log ---- */

static uint64_t apply(const struct command *command)
{
    struct session_result result;
    buf_clear(&encoded);
    cr_assert_eq(command_encode(&encoded, command), 0);
    last_index++;
    const struct msg_apply entry = {.index = last_index,
                                    .term = 1,
                                    .stamp_ms = 1000000 + last_index,
                                    .command = buf_slice(&encoded)};
    if (applier_is_full(&applier, entry.command.len))
        commit();
    cr_assert_eq(applier_apply(&applier, &entry, &result), 0);
    last_error = result.error;
    cr_assert_eq(result.detail.len, 0);
    return last_index;
}

uint64_t publish_in(const struct scope *where, const char *topic, struct slice data)
{
    return apply(&(struct command){.operation = COMMAND_EVENT_PUBLISH,
                                   .scope = *where,
                                   .key = slice_text(topic),
                                   .value = data});
}

uint64_t publish(const char *topic, const char *data)
{
    return publish_in(&scope, topic, slice_text(data));
}

uint64_t other_entry(void)
{
    applier_advance(&applier, ++last_index);
    return last_index;
}

int purge(const struct scope *where, uint64_t step)
{
    apply(&(struct command){.operation = COMMAND_SCOPE_PURGE, .scope = *where, .step = step});
    return last_error;
}

static MDB_txn *read_begin(void)
{
    MDB_txn *txn;
    cr_assert_null(applier.txn);
    cr_assert_eq(map_write_begin(map, &txn), 0);
    return txn;
}

void commit(void)
{
    cr_assert_eq(applier_commit(&applier), 0);
    MDB_txn *txn = read_begin();
    cr_assert_eq(events_run_live(&events, txn, applier.last_index), 0);
    map_write_abort(map);
}

/* ---- what gateways are sent ---- */

static void note(struct client *client, const char *what)
{
    size_t len = client->text != NULL ? strlen(client->text) : 0;
    client->text = realloc(client->text, len + strlen(what) + 2);
    sprintf(client->text + len, "%s%s", len > 0 ? " " : "", what);
}

static struct client *client_of(struct gateway *gateway, uint64_t connection)
{
    cr_assert(connection > 0 && connection < CLIENTS);
    return &gateway->clients[connection];
}

static void note_number(struct gateway *gateway, uint64_t connection, char what, uint64_t number)
{
    char text[32];
    snprintf(text, sizeof(text), "%c%d", what, (int)number);
    note(client_of(gateway, connection), text);
}

static void take_event(struct gateway *gateway, struct unpack *body)
{
    struct msg_event msg;
    cr_assert_eq(msg_event_decode(&msg, body), 0);
    gateway->messages++;
    gateway->owed += event_message_cost(&msg);
    size_t count = msg_event_connection_count(&msg);
    if (count > gateway->entries_of_largest_list)
        gateway->entries_of_largest_list = count;
    snprintf(last_data, sizeof(last_data), "%.*s=%.*s@%d", (int)msg.topic.len,
             (const char *)msg.topic.data, msg.data.len < 1000 ? (int)msg.data.len : 0,
             (const char *)msg.data.data, (int)msg.emitted_ms);
    for (size_t i = 0; i < count; i++) {
        struct client *client = client_of(gateway, msg_event_connection(&msg, i));
        cr_assert_gt(msg.index, client->last_index, "a connection gets each once, in order");
        client->last_index = msg.index;
        client->events++;
        gateway->deliveries++;
        if (count < 100)
            note_number(gateway, msg_event_connection(&msg, i), 'e', msg.index);
    }
}

static void take_subscribed(struct gateway *gateway, struct unpack *body)
{
    struct msg_subscribed msg;
    cr_assert_eq(msg_subscribed_decode(&msg, body), 0);
    if (msg.error != 0)
        note_number(gateway, msg.connection, '!', msg.error);
    else
        note_number(gateway, msg.connection, '+', msg.index);
}

static void take_gap(struct gateway *gateway, struct unpack *body)
{
    struct msg_event_gap msg;
    char text[64];
    cr_assert_eq(msg_event_gap_decode(&msg, body), 0);
    snprintf(text, sizeof(text), "g%d-%d", (int)msg.from, (int)msg.to);
    note(client_of(gateway, msg.connection), text);
}

static char letter_of(enum msg type)
{
    if (type == MSG_EVENT_CAUGHT_UP)
        return 'l';
    return type == MSG_EVENT_BEHIND ? 'b' : 'o';
}

static void take(struct gateway *gateway, enum msg type, struct unpack *body)
{
    struct msg_event_reached reached;
    struct msg_event_place place;
    switch (type) {
    case MSG_EVENT:
        take_event(gateway, body);
        break;
    case MSG_SUBSCRIBED:
        take_subscribed(gateway, body);
        break;
    case MSG_EVENT_GAP:
        take_gap(gateway, body);
        break;
    case MSG_EVENT_REACHED:
        cr_assert_eq(msg_event_reached_decode(&reached, body), 0);
        cr_assert_gt(reached.index, gateway->reached);
        gateway->reached = reached.index;
        break;
    default:
        cr_assert_eq(msg_event_place_decode(&place, body), 0);
        note_number(gateway, place.connection, letter_of(type), place.index);
    }
}

static void take_batch(struct gateway *gateway, struct buf *batch)
{
    struct unpack unpack;
    unpack_init(&unpack,
                slice_of(batch->data + LINK_WIRE_HEAD_BYTES, batch->len - LINK_WIRE_HEAD_BYTES));
    unpack_u64(&unpack);
    unpack_u64(&unpack);
    while (unpack_more(&unpack)) {
        struct unpack body;
        unpack_init(&body, unpack_bytes(&unpack));
        uint32_t elements = unpack_array(&body);
        uint64_t type = unpack_u64(&body);
        cr_assert_eq(elements, 1 + (uint32_t)msg_elements((int)type));
        cr_assert(msg_may_travel((int)type, PROC_EVENTS, PROC_GATEWAY));
        take(gateway, (enum msg)type, &body);
    }
    cr_assert_eq(unpack_end(&unpack), 0);
}

static void take_all(unsigned number)
{
    struct gateway *gateway = &gateways[number];
    struct link *link = &links[number];
    for (unsigned i = 0; i < link->ready_count; i++) {
        take_batch(gateway, &link->ready[i]);
        buf_fini(&link->ready[i]);
    }
    link->ready_count = 0;
    link->ready_bytes = 0;
    if (link->batch.len > 0)
        take_batch(gateway, &link->batch);
    buf_clear(&link->batch);
    if (gateway->pays && gateway->owed > 0)
        credit_as(number, 0, gateway->owed);
}

const char *heard_by(unsigned gateway, uint64_t connection)
{
    static char text[TEXT_BYTES];
    take_all(gateway);
    struct client *client = client_of(&gateways[gateway], connection);
    snprintf(text, sizeof(text), "%s", client->text != NULL ? client->text : "");
    free(client->text);
    client->text = NULL;
    return text;
}

const char *heard(uint64_t connection)
{
    return heard_by(0, connection);
}

/* ---- what gateways say ---- */

/* By way of a link of its own, so that what is decoded is what would have travelled. */
static struct link say_link;

static void say_begin(void)
{
    say_link.is_up = true;
    say_link.own_nonce = say_link.peer_nonce = 1;
    buf_init(&say_link.batch, LIMIT_MESSAGE_BYTES);
}

static int say_end(unsigned gateway)
{
    struct unpack unpack, body;
    unpack_init(&unpack, slice_of(say_link.batch.data + LINK_WIRE_HEAD_BYTES,
                                  say_link.batch.len - LINK_WIRE_HEAD_BYTES));
    unpack_u64(&unpack);
    unpack_u64(&unpack);
    unpack_init(&body, unpack_bytes(&unpack));
    unpack_array(&body);
    enum msg type = (enum msg)unpack_u64(&body);
    cr_assert(msg_may_travel(type, PROC_GATEWAY, PROC_EVENTS));
    if (applier.txn != NULL)
        commit();
    events_on_message(&events, gateway, type, &body, applier.last_index);
    buf_fini(&say_link.batch);
    return unpack_end(&body);
}

int subscribe_as(unsigned gateway, const struct msg_subscribe *msg)
{
    say_begin();
    cr_assert_eq(msg_subscribe_send(&say_link, msg), 0);
    return say_end(gateway);
}

void subscribe(uint64_t connection, const char *topic)
{
    cr_assert_eq(subscribe_as(0, &(struct msg_subscribe){.connection = connection,
                                                         .scope = scope,
                                                         .topic = slice_text(topic),
                                                         .from_now = true,
                                                         .window = WINDOW}),
                 0);
}

void subscribe_after(uint64_t connection, const char *topic, uint64_t after)
{
    cr_assert_eq(subscribe_as(0, &(struct msg_subscribe){.connection = connection,
                                                         .scope = scope,
                                                         .topic = slice_text(topic),
                                                         .after = after,
                                                         .window = WINDOW}),
                 0);
}

void unsubscribe(uint64_t connection)
{
    say_begin();
    cr_assert_eq(msg_unsubscribe_send(&say_link, &(struct msg_unsubscribe){connection}), 0);
    cr_assert_eq(say_end(0), 0);
}

void credit_as(unsigned gateway, uint64_t connection, uint64_t bytes)
{
    say_begin();
    cr_assert_eq(msg_event_credit_send(&say_link, &(struct msg_event_credit){connection, bytes}),
                 0);
    cr_assert_eq(say_end(gateway), 0);
    if (connection == 0)
        gateways[gateway].owed -= bytes < gateways[gateway].owed ? bytes : gateways[gateway].owed;
}

void credit(uint64_t connection, uint64_t bytes)
{
    credit_as(0, connection, bytes);
}

bool turn(void)
{
    if (applier.txn != NULL)
        commit();
    if (events_have_housework(&events))
        cr_assert_eq(applier_touch(&applier), 0);
    MDB_txn *txn = read_begin();
    cr_assert_eq(events_run_live(&events, txn, applier.last_index), 0);
    cr_assert_eq(events_run_sweeps(&events, txn), 0);
    map_write_abort(map);
    for (unsigned i = 0; i < GATEWAYS; i++)
        take_all(i);
    return events_have_sweeps(&events) || events_have_news(&events, applier.last_index) ||
           events_have_housework(&events);
}

void turns(void)
{
    unsigned count = 0;
    while (turn())
        cr_assert_lt(count++, 100000);
}

void tell_reached(void)
{
    for (unsigned i = 0; i < GATEWAYS; i++) {
        feed_tell_reached(&events.feeds[i]);
        take_all(i);
    }
}
