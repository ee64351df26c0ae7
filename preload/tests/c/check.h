/* Ends the program where something does not hold. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define CHECK(what) \
    do { \
        if (!(what)) fprintf(stderr, "%d: does not hold: %s (errno %d)\n", __LINE__, #what, errno), _exit(1); \
    } while (0)
