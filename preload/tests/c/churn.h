#include <stdlib.h>
#include <string.h>

/* Takes the heap through some cycles, in which it calls upon the system. */
static void churn(void) {
    static char *kept[1000];
    for (unsigned n = 0; n < 300000; n++) {
        unsigned at = n * 2654435761u >> 8, size = at % 3000;
        free(kept[at % 1000]);
        kept[at % 1000] = memset(malloc(size + 1), 1, size + 1);
    }
}
