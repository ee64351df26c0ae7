/* Writes 3 bytes behind the slot of 112 bytes that an object of 100 has, where the slot ends with a page. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(void) {
    uintptr_t page = sysconf(_SC_PAGESIZE);
    for (int i = 0; i < 100; i++) {
        volatile char *volatile at = malloc(100);
        if (((uintptr_t)at + 112) % page == 0) at[115] = 1;
    }
    return 0;
}
