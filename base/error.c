/* error.c - texts and names of the result codes, from the one list. */
#include "base/error.h"

const char *error_text(int code)
{
    switch (code) {
#define X(name, number, text)                                                                      \
    case number:                                                                                   \
        return text;
        ERROR_LIST(X)
#undef X
    default:
        return "unknown error";
    }
}

const char *error_name(int code)
{
    switch (code) {
#define X(name, number, text)                                                                      \
    case number:                                                                                   \
        return #name;
        ERROR_LIST(X)
#undef X
    default:
        return "UNKNOWN";
    }
}
