/* check.h - assertions that stay on in release builds.
 *
 * CHECK(condition) states what cannot happen; when it does, the process writes one log line and
 * aborts, and its supervisor starts it anew. Never use it for what comes from outside.
 */
#ifndef INSI_BASE_CHECK_H
#define INSI_BASE_CHECK_H

_Noreturn void check_failed(const char *file, int line, const char *function, const char *what);

#define CHECK(condition)                                                                           \
    ((condition) ? (void)0 : check_failed(__FILE__, __LINE__, __func__, #condition))

/* Allocation that cannot fail: out of memory is a failed check (the supervisor restarts us). */
void *mem_alloc(unsigned long size);             /* zeroed */
void *mem_resize(void *old, unsigned long size); /* like realloc; new bytes not zeroed */
/* More room for an array that is full: twice *room, or first when there is none yet. Items keep
 * their values, new ones have none. */
void *mem_grow(void *items, unsigned *room, unsigned long item_bytes, unsigned first);
char *mem_copy_string(const char *text); /* like strdup */
void *mem_copy(const void *data, unsigned long size);

#endif
