/* A library that opens another. */
#include <dlfcn.h>

void *open_inner(const char *library, int mode) {
    /* Not as its last act, which the compiler may make a jump: libc asks who calls. */
    void *volatile handle = dlopen(library, mode);
    return handle;
}
