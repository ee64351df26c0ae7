/* A library for process.c to open. */
#include <stdlib.h>
#include <string.h>

static char *from_constructor;
static __thread char mine[5000];

__attribute__((constructor)) static void begin(void) { from_constructor = strdup("made"); }
__attribute__((destructor)) static void end(void) { free(from_constructor); }

char *make(void) {
    mine[4999]++;
    return strdup(from_constructor);
}
