/* A kernel of larger pages, by what a program sees of it: as many bytes as PAGE_BYTES says. What such a kernel would refuse,
   because it begins amid a page, ends the process with status 3. Put before libc; what libc does itself goes past this. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

extern char **environ;
extern long __sysconf(int);

static size_t page(void) {
    static size_t bytes;
    for (char **at = environ; !bytes && at && *at; at++)
        if (!strncmp(*at, "PAGE_BYTES=", 11)) bytes = strtoul(*at + 11, NULL, 10);
    return bytes ? bytes : 65536;
}

static size_t whole(size_t bytes) { return (bytes + page() - 1) & ~(page() - 1); }

static void must_begin_a_page(const char *call, uintptr_t at) {
    if (at % page()) {
        /* Nothing that may allocate: an allocation may be under way. */
        char text[128];
        int length = snprintf(text, sizeof text, "%s: %#zx is amid a page of %zu bytes\n", call, (size_t)at, page());
        syscall(SYS_write, 2, text, length);
        _exit(3);
    }
}

static char *system_mmap(void *at, size_t bytes, int access, int flags, int file, off_t from) {
    return (char *)syscall(SYS_mmap, at, bytes, access, flags, file, from);
}

void *mmap(void *hint, size_t bytes, int access, int flags, int file, off_t from) {
    must_begin_a_page("mmap: offset", from);
    size_t all = whole(bytes);
    if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
        must_begin_a_page("mmap", (uintptr_t)hint);
        return system_mmap(hint, all, access, flags, file, from);
    }
    char *at = system_mmap((void *)((uintptr_t)hint & ~(page() - 1)), all, access, flags, file, from);
    if (at == MAP_FAILED || (uintptr_t)at % page() == 0) return at;
    syscall(SYS_munmap, at, all);
    char *room = system_mmap(NULL, all + page(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED) return room;
    at = (char *)whole((uintptr_t)room);
    if (at > room) syscall(SYS_munmap, room, at - room);
    if (at < room + page()) syscall(SYS_munmap, at + all, room + page() - at);
    return system_mmap(at, all, access, flags | MAP_FIXED, file, from);
}

void *mmap64(void *hint, size_t bytes, int access, int flags, int file, off_t from) {
    return mmap(hint, bytes, access, flags, file, from);
}

int munmap(void *at, size_t bytes) {
    must_begin_a_page("munmap", (uintptr_t)at);
    return syscall(SYS_munmap, at, whole(bytes));
}

int mprotect(void *at, size_t bytes, int access) {
    must_begin_a_page("mprotect", (uintptr_t)at);
    return syscall(SYS_mprotect, at, whole(bytes), access);
}

/* Takes the part of a page that is not asked for, too. */
int madvise(void *at, size_t bytes, int advice) {
    must_begin_a_page("madvise", (uintptr_t)at);
    return syscall(SYS_madvise, at, whole(bytes), advice);
}

int mincore(void *at, size_t bytes, unsigned char *answers) {
    must_begin_a_page("mincore", (uintptr_t)at);
    size_t small = __sysconf(_SC_PAGESIZE);
    for (size_t i = 0; i < whole(bytes) / page(); i++) {
        answers[i] = 0;
        for (size_t part = 0; part < page(); part += small) {
            unsigned char answer;
            if (syscall(SYS_mincore, (char *)at + i * page() + part, small, &answer)) return -1;
            answers[i] |= answer & 1;
        }
    }
    return 0;
}

long sysconf(int name) { return name == _SC_PAGESIZE ? (long)page() : __sysconf(name); }

int getpagesize(void) { return page(); }
