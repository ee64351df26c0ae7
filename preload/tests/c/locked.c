/* All memory is locked: what the program has is in memory at once, and nothing beside it. 77: it may not be locked here. */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/resource.h>
#include "check.h"
#include "churn.h"

enum { BYTES = 8 << 20, LEAST_PAGE = 4096 };

static void *mapped(void) {
    void *at = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED);
    return at;
}

static int is_there(void *at) {
    static unsigned char pages[BYTES / LEAST_PAGE];
    CHECK(!mincore(at, BYTES, pages));
    for (int i = 0; i < BYTES / sysconf(_SC_PAGESIZE); i++)
        if (!(pages[i] & 1)) return 0;
    return 1;
}

static long resident_kib(void) {
    char line[256];
    long kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file)) sscanf(line, "VmRSS: %ld", &kib);
    if (file) fclose(file);
    return kib;
}

/* Without rights, and no more to be locked than that. */
static void limited(void) {
    struct rlimit limit = {256 << 20, 256 << 20};
    if (setrlimit(RLIMIT_MEMLOCK, &limit) || setgid(65534) || setuid(65534)) return;
    CHECK(!mlockall(MCL_CURRENT));
    churn();
    CHECK(!munlockall());
    CHECK(mlockall(~0) == -1 && errno == EINVAL);
}

int main(void) {
    churn();
    void *before = mapped();
    CHECK(!is_there(before));
    if (mlockall(MCL_CURRENT | MCL_FUTURE)) {
        fprintf(stderr, "memory may not be locked: errno %d\n", errno);
        return 77;
    }
    CHECK(is_there(before) && is_there(mapped()));
    churn();
    CHECK(resident_kib() < 256 << 10);
    CHECK(!munlockall() && !is_there(mapped()));
    CHECK(!mlockall(MCL_CURRENT | MCL_ONFAULT) && !munlockall());
    CHECK(!mlockall(MCL_FUTURE) && is_there(mapped()) && !munlockall());
    limited();
    return 0;
}
