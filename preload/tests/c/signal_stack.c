/* A signal's handler that allocates on a stack of its own, which is mostly small: how much of it that takes. Exits with 0 if
 * it is little. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK(what) \
    do { \
        if (!(what)) { \
            dprintf(2, "%d: does not hold: %s\n", __LINE__, #what); \
            _exit(1); \
        } \
    } while (0)

static unsigned char signal_stack[64 << 10];
static char *handler_begins;
static size_t handler_bytes, handler_count;
static void *(*volatile allocate)(size_t) = malloc;
static void allocating(int signal) {
    char here = 0;
    handler_begins = &here;
    for (size_t n = 0; n < handler_count; n++) {
        char *block = allocate(handler_bytes);
        if (!block) _exit(4);
        /* Some are kept, so that the heap grows. */
        if (n % 4) free(block);
    }
}
static void take_of_stack(size_t bytes, size_t count) {
    memset(signal_stack, 0xa5, sizeof signal_stack);
    stack_t stack = {.ss_sp = signal_stack, .ss_size = sizeof signal_stack};
    CHECK(!sigaltstack(&stack, NULL));
    struct sigaction action = {.sa_handler = allocating, .sa_flags = SA_ONSTACK};
    CHECK(!sigaction(SIGUSR2, &action, NULL));
    handler_bytes = bytes, handler_count = count;
    CHECK(!raise(SIGUSR2));
    size_t untouched = 0;
    while (signal_stack[untouched] == 0xa5) untouched++;
    size_t taken = (size_t)((unsigned char *)handler_begins - signal_stack) - untouched;
    dprintf(1, "%zu of %zu bytes: %zu bytes of stack\n", count, bytes, taken);
    /* The kernel takes 3 to 3.5 KiB of it for the registers, and many such stacks have 8. */
    CHECK(taken <= 4608);
}
static void *thread_takes_of_stack(void *unused) {
    take_of_stack(100, 1);
    take_of_stack(100, 300000);
    take_of_stack(100000, 2000);
    return unused;
}

int main(void) {
    /* The process's first allocation. */
    take_of_stack(16, 1);
    thread_takes_of_stack(NULL);
    pthread_t thread;
    CHECK(!pthread_create(&thread, NULL, thread_takes_of_stack, NULL));
    CHECK(!pthread_join(thread, NULL));
    return 0;
}
