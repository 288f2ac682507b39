/* topics.c - see topics.h. */
#include "procs/events/topics.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/limits.h"

#define TOPICS_FIRST 64
#define TOPICS_LENGTHS_FIRST 4
#define TOPIC_SUBSCRIPTIONS_FIRST 2
#define TOPICS_PRIME 0xd6e8feb86659fd93ull

struct topic_length { /* of prefixes */
    unsigned len;
    unsigned topics; /* that have it */
};

struct topic_scope { /* one that anybody listens to */
    struct topic_scope *next;
    uint64_t hash;
    struct scope scope;
    unsigned exact_topics;
    struct topic_length *lengths; /* the shortest first */
    unsigned length_count, length_room;
};

struct topic { /* what at least one subscription is to */
    struct topic *next;
    uint64_t hash;
    struct topic_scope *scope;
    bool is_prefix;
    struct subscription **subscriptions;
    unsigned count, room;
    size_t len;
    uint8_t text[]; /* without the '*' */
};

/* ---- hashing: in steps of 8 bytes, so that the prefixes of a text share their beginnings ---- */

static uint64_t topics_mix(uint64_t state, uint64_t word)
{
    __uint128_t product = (__uint128_t)(state ^ word) * TOPICS_PRIME;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

struct topics_hasher {
    struct slice text;
    uint64_t state; /* of the first `at` bytes */
    size_t at;      /* a multiple of 8 */
};

static uint64_t topics_word(const struct topics_hasher *hasher, size_t len)
{
    uint64_t word = 0;

    memcpy(&word, (const uint8_t *)hasher->text.data + hasher->at, len);
    return word;
}

/* Of the text's first len bytes, which are no fewer than the last time. */
static uint64_t topics_hash_to(const struct topics *topics, struct topics_hasher *hasher,
                               size_t len, bool is_prefix)
{
    for (; hasher->at + 8 <= len; hasher->at += 8)
        hasher->state = topics_mix(hasher->state, topics_word(hasher, 8)) ^ topics->seed[1];
    size_t rest = len - hasher->at;
    uint64_t last = rest > 0 ? topics_word(hasher, rest) : 0;
    return topics_mix(topics_mix(hasher->state, last), topics->seed[1] + 2 * len + is_prefix);
}

static uint64_t topics_hash_scope(const struct topics *topics, const struct scope *scope)
{
    uint64_t words[2];

    _Static_assert(sizeof(words) == SCOPE_BYTES, "a scope is two words");
    memcpy(words, scope->id, sizeof(words));
    return topics_mix(topics_mix(topics->seed[0], words[0]) ^ topics->seed[1], words[1]);
}

static struct topics_hasher topics_hasher_of(const struct topic_scope *scope, struct slice text)
{
    return (struct topics_hasher){.text = text, .state = scope->hash};
}

/* ---- scopes ---- */

static struct topic_scope *topics_find_scope(const struct topics *topics, const struct scope *scope)
{
    if (topics->scope_count == 0)
        return NULL;
    uint64_t hash = topics_hash_scope(topics, scope);
    struct topic_scope *at = topics->scopes[hash & (topics->scope_room - 1)];
    while (at != NULL && (at->hash != hash || memcmp(&at->scope, scope, sizeof(*scope)) != 0))
        at = at->next;
    return at;
}

static void topics_grow_scopes(struct topics *topics)
{
    struct topic_scope **old = topics->scopes;
    unsigned old_room = topics->scope_room;

    topics->scope_room = old_room > 0 ? 2 * old_room : TOPICS_FIRST;
    topics->scopes = mem_alloc(topics->scope_room * sizeof(old[0]));
    for (unsigned i = 0; i < old_room; i++) {
        for (struct topic_scope *at = old[i], *next; at != NULL; at = next) {
            next = at->next;
            struct topic_scope **chain = &topics->scopes[at->hash & (topics->scope_room - 1)];
            at->next = *chain;
            *chain = at;
        }
    }
    free(old);
}

static struct topic_scope *topics_add_scope(struct topics *topics, const struct scope *scope)
{
    struct topic_scope *added = mem_alloc(sizeof(*added));

    if (topics->scope_count == topics->scope_room)
        topics_grow_scopes(topics);
    added->hash = topics_hash_scope(topics, scope);
    added->scope = *scope;
    struct topic_scope **chain = &topics->scopes[added->hash & (topics->scope_room - 1)];
    added->next = *chain;
    *chain = added;
    topics->scope_count++;
    return added;
}

static void topics_free_scope(struct topic_scope *scope)
{
    free(scope->lengths);
    free(scope);
}

static void topics_remove_scope(struct topics *topics, struct topic_scope *scope)
{
    struct topic_scope **at = &topics->scopes[scope->hash & (topics->scope_room - 1)];

    while (*at != scope)
        at = &(*at)->next;
    *at = scope->next;
    topics->scope_count--;
    topics_free_scope(scope);
}

/* ---- the lengths of a scope's prefixes ---- */

static unsigned topics_find_length(const struct topic_scope *scope, size_t len)
{
    unsigned at = 0;

    while (at < scope->length_count && scope->lengths[at].len < len)
        at++;
    return at;
}

static void topics_add_length(struct topic_scope *scope, size_t len)
{
    unsigned at = topics_find_length(scope, len);

    if (at == scope->length_count || scope->lengths[at].len != len) {
        if (scope->length_count == scope->length_room)
            scope->lengths = mem_grow(scope->lengths, &scope->length_room,
                                      sizeof(scope->lengths[0]), TOPICS_LENGTHS_FIRST);
        memmove(&scope->lengths[at + 1], &scope->lengths[at],
                (scope->length_count - at) * sizeof(scope->lengths[0]));
        scope->lengths[at] = (struct topic_length){.len = (unsigned)len};
        scope->length_count++;
    }
    scope->lengths[at].topics++;
}

static void topics_remove_length(struct topic_scope *scope, size_t len)
{
    unsigned at = topics_find_length(scope, len);

    CHECK(at < scope->length_count && scope->lengths[at].len == len);
    if (--scope->lengths[at].topics > 0)
        return;
    scope->length_count--;
    memmove(&scope->lengths[at], &scope->lengths[at + 1],
            (scope->length_count - at) * sizeof(scope->lengths[0]));
}

/* ---- topics ---- */

static struct topic *topics_find(const struct topics *topics, const struct topic_scope *scope,
                                 uint64_t hash, struct slice text, bool is_prefix)
{
    if (topics->topic_count == 0)
        return NULL;
    struct topic *at = topics->topics[hash & (topics->topic_room - 1)];
    while (at != NULL && (at->hash != hash || at->scope != scope || at->is_prefix != is_prefix ||
                          !slice_equal(slice_of(at->text, at->len), text)))
        at = at->next;
    return at;
}

static void topics_grow(struct topics *topics)
{
    struct topic **old = topics->topics;
    unsigned old_room = topics->topic_room;

    topics->topic_room = old_room > 0 ? 2 * old_room : TOPICS_FIRST;
    topics->topics = mem_alloc(topics->topic_room * sizeof(old[0]));
    for (unsigned i = 0; i < old_room; i++) {
        for (struct topic *at = old[i], *next; at != NULL; at = next) {
            next = at->next;
            struct topic **chain = &topics->topics[at->hash & (topics->topic_room - 1)];
            at->next = *chain;
            *chain = at;
        }
    }
    free(old);
}

static struct topic *topics_make(struct topics *topics, struct topic_scope *scope, uint64_t hash,
                                 struct slice text, bool is_prefix)
{
    struct topic *topic = mem_alloc(sizeof(*topic) + text.len);

    if (topics->topic_count == topics->topic_room)
        topics_grow(topics);
    topic->hash = hash;
    topic->scope = scope;
    topic->is_prefix = is_prefix;
    topic->len = text.len;
    if (text.len > 0)
        memcpy(topic->text, text.data, text.len);
    struct topic **chain = &topics->topics[hash & (topics->topic_room - 1)];
    topic->next = *chain;
    *chain = topic;
    topics->topic_count++;
    if (is_prefix)
        topics_add_length(scope, text.len);
    else
        scope->exact_topics++;
    return topic;
}

static void topics_free_topic(struct topic *topic)
{
    free(topic->subscriptions);
    free(topic);
}

static void topics_drop(struct topics *topics, struct topic *topic)
{
    struct topic **at = &topics->topics[topic->hash & (topics->topic_room - 1)];
    struct topic_scope *scope = topic->scope;

    while (*at != topic)
        at = &(*at)->next;
    *at = topic->next;
    topics->topic_count--;
    if (topic->is_prefix)
        topics_remove_length(scope, topic->len);
    else
        scope->exact_topics--;
    topics_free_topic(topic);
    if (scope->exact_topics == 0 && scope->length_count == 0)
        topics_remove_scope(topics, scope);
}

/* ---- what the others call ---- */

void topics_init(struct topics *topics)
{
    *topics = (struct topics){0};
    token_random(topics->seed, sizeof(topics->seed));
}

void topics_free(struct topics *topics)
{
    for (unsigned i = 0; i < topics->topic_room; i++) {
        for (struct topic *at = topics->topics[i], *next; at != NULL; at = next) {
            next = at->next;
            topics_free_topic(at);
        }
    }
    for (unsigned i = 0; i < topics->scope_room; i++) {
        for (struct topic_scope *at = topics->scopes[i], *next; at != NULL; at = next) {
            next = at->next;
            topics_free_scope(at);
        }
    }
    free(topics->topics);
    free(topics->scopes);
    *topics = (struct topics){0};
}

void topics_add(struct topics *topics, struct subscription *subscription, const struct scope *scope,
                struct slice pattern)
{
    CHECK(pattern.len > 0);
    bool is_prefix = ((const char *)pattern.data)[pattern.len - 1] == '*';
    struct slice text = slice_of(pattern.data, pattern.len - (is_prefix ? 1 : 0));
    struct topic_scope *where = topics_find_scope(topics, scope);
    if (where == NULL)
        where = topics_add_scope(topics, scope);
    struct topics_hasher hasher = topics_hasher_of(where, text);
    uint64_t hash = topics_hash_to(topics, &hasher, text.len, is_prefix);
    struct topic *topic = topics_find(topics, where, hash, text, is_prefix);
    if (topic == NULL)
        topic = topics_make(topics, where, hash, text, is_prefix);
    if (topic->count == topic->room)
        topic->subscriptions = mem_grow(topic->subscriptions, &topic->room,
                                        sizeof(topic->subscriptions[0]), TOPIC_SUBSCRIPTIONS_FIRST);
    subscription->topic = topic;
    subscription->topic_slot = topic->count;
    topic->subscriptions[topic->count++] = subscription;
}

void topics_remove(struct topics *topics, struct subscription *subscription)
{
    struct topic *topic = subscription->topic;
    struct subscription *last = topic->subscriptions[--topic->count];

    topic->subscriptions[subscription->topic_slot] = last;
    last->topic_slot = subscription->topic_slot;
    subscription->topic = NULL;
    if (topic->count == 0)
        topics_drop(topics, topic);
}

static void topics_collect(const struct topic *topic, struct subscription_list *found)
{
    for (unsigned i = 0; topic != NULL && i < topic->count; i++)
        subscription_list_push(found, topic->subscriptions[i]);
}

void topics_match(const struct topics *topics, const struct scope *scope, struct slice topic,
                  struct subscription_list *found)
{
    const struct topic_scope *where = topics_find_scope(topics, scope);

    if (where == NULL)
        return;
    struct topics_hasher hasher = topics_hasher_of(where, topic);
    for (unsigned i = 0; i < where->length_count && where->lengths[i].len <= topic.len; i++) {
        struct slice prefix = slice_of(topic.data, where->lengths[i].len);
        uint64_t hash = topics_hash_to(topics, &hasher, prefix.len, true);
        topics_collect(topics_find(topics, where, hash, prefix, true), found);
    }
    if (where->exact_topics == 0)
        return;
    uint64_t hash = topics_hash_to(topics, &hasher, topic.len, false);
    topics_collect(topics_find(topics, where, hash, topic, false), found);
}
