/* map_error.h - what LMDB's result codes are to us, in one place. */
#ifndef INSI_SHM_MAP_ERROR_H
#define INSI_SHM_MAP_ERROR_H

/* 0, E_NOT_FOUND, E_VERSION, E_CORRUPT (bytes that LMDB cannot have written), E_IO (all others).
 * Logs nothing. */
int map_error_of(int lmdb_error);

/* The log line of an error, map_corrupt or map_failed, with what LMDB says of it. call: "put";
 * folder: of the map, NULL where the process says it. */
void map_error_log(const char *folder, const char *call, int lmdb_error);

/* map_error_of for calls that find what they look for, or the map lacks what it must have: that is
 * E_CORRUPT, too. Errors are logged. */
int map_error_unless_done(const char *call, int lmdb_error);

#endif
