/* version.h - the release, printed by --version and reported in hellos' logs. */
#ifndef INSI_BASE_VERSION_H
#define INSI_BASE_VERSION_H

#define INSI_VERSION "0.1.0"

#endif
