/* handlers.h - who answers the rows of route.c; one file h_<group>.c per group. */
#ifndef INSI_GATEWAY_HANDLERS_H
#define INSI_GATEWAY_HANDLERS_H

#include "procs/gateway/request.h"

/* h_values.c */
int values_get(struct request *request, struct map *map, MDB_txn *txn);
int values_iterate(struct request *request, struct map *map, MDB_txn *txn);
void values_set(struct request *request);
void values_setnx(struct request *request);
void values_cas(struct request *request);
void values_bump(struct request *request);
void values_bumped(struct request *request, const struct inflight_outcome *outcome);
void values_delete(struct request *request);

/* h_batch.c */
void values_batchset(struct request *request);
void values_batchdelete(struct request *request);

/* h_cache.c */
int cache_look(struct request *request, struct map *map, MDB_txn *txn);
int cache_iterate(struct request *request, struct map *map, MDB_txn *txn);
void cache_set(struct request *request);
void cache_setnx(struct request *request);
void cache_cas(struct request *request);
void cache_delete(struct request *request);

/* h_atomics.c */
int atomics_get(struct request *request, struct map *map, MDB_txn *txn);
void atomics_new(struct request *request);
void atomics_add(struct request *request);
void atomics_added(struct request *request, const struct inflight_outcome *outcome);
void atomics_delete(struct request *request);

/* h_queues.c */
int queues_length(struct request *request, struct map *map, MDB_txn *txn);
int queues_peek(struct request *request, struct map *map, MDB_txn *txn);
void queues_new(struct request *request);
void queues_delete(struct request *request);
void queues_push(struct request *request);
void queues_pushed(struct request *request, const struct inflight_outcome *outcome);
void queues_pop(struct request *request);
void queues_popped(struct request *request, const struct inflight_outcome *outcome);

/* h_events.c */
void events_publish(struct request *request);
void events_subscribe(struct request *request);
void events_subscribed(struct request *request, struct session *session);
void events_stream(struct request *request);
void events_streamed(struct request *request, struct session *session);

/* h_admin.c */
void admin_create(struct request *request);
void admin_created(struct request *request, const struct inflight_outcome *outcome);
void admin_delete(struct request *request);
int admin_list(struct request *request, struct map *map, MDB_txn *txn);

/* h_cluster.c */
void cluster_show(struct request *request);
void cluster_shown(struct request *request, const struct ask_answer *answer);
void cluster_join(struct request *request);
void cluster_remove(struct request *request);
void cluster_transfer(struct request *request);
void cluster_changed(struct request *request, const struct ask_answer *answer);

/* h_system.c */
void system_ping(struct request *request);
void system_healthz(struct request *request);
int system_readyz(struct request *request, struct map *map, MDB_txn *txn);

#endif
