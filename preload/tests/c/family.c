/* What each function of malloc's family does at its edges. Run on glibc's own and on goheap's: what
   holds of both is right. Prints what does not hold, and exits with the count. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <dlfcn.h>

/* Keeps the compiler from knowing what these are, and from leaving any call out. */
static void *(*volatile c_malloc)(size_t) = malloc;
static void *(*volatile c_calloc)(size_t, size_t) = calloc;
static void *(*volatile c_realloc)(void *, size_t) = realloc;
static void *(*volatile c_reallocarray)(void *, size_t, size_t) = reallocarray;
static void *(*volatile c_aligned_alloc)(size_t, size_t) = aligned_alloc;
static void *(*volatile c_memalign)(size_t, size_t) = memalign;
static int (*volatile c_posix_memalign)(void **, size_t, size_t) = posix_memalign;
static void *(*volatile c_valloc)(size_t) = valloc;
static void *(*volatile c_pvalloc)(size_t) = pvalloc;
static void (*volatile c_free)(void *) = free;
static size_t (*volatile c_usable)(void *) = malloc_usable_size;

static int failures;

#define HOLDS(what) \
    do { \
        if (!(what)) { \
            printf("%s:%d: does not hold: %s\n", __func__, __LINE__, #what); \
            failures++; \
        } \
    } while (0)

#define IS_NULL_WITH(error, call) \
    do { \
        errno = 0; \
        void *at_ = (call); \
        HOLDS(at_ == NULL && "" #call); \
        HOLDS(errno == (error) && "" #call); \
    } while (0)

/* errno is left alone by what succeeds. */
#define SUCCEEDS(at, call) \
    do { \
        errno = 4242; \
        at = (call); \
        HOLDS(at != NULL && "" #call); \
        HOLDS(errno == 4242 && "" #call); \
    } while (0)

static int is_multiple(const void *at, size_t align) { return (uintptr_t)at % align == 0; }

static const size_t sizes[] = {0,    1,    7,    8,     9,     15,    16,    17,     23,     24,      25,
                               31,   32,   33,   47,    48,    49,    100,   1000,   1024,   1025,    4095,
                               4096, 4097, 8192, 10000, 32767, 32768, 32769, 100000, 1 << 20, (3 << 20) + 5};
#define COUNT(a) (sizeof(a) / sizeof *(a))

static void blocks_are_aligned_and_writable(void) {
    for (size_t i = 0; i < COUNT(sizes); i++) {
        unsigned char *a, *b;
        SUCCEEDS(a, c_malloc(sizes[i]));
        SUCCEEDS(b, c_malloc(sizes[i]));
        HOLDS(a != b);
        HOLDS(is_multiple(a, alignof(max_align_t)) && is_multiple(b, 16));
        HOLDS(c_usable(a) >= sizes[i]);
        memset(a, 0x11, c_usable(a));
        memset(b, 0x22, c_usable(b));
        for (size_t n = 0; n < sizes[i]; n++)
            if (a[n] != 0x11 || b[n] != 0x22) {
                HOLDS(!"blocks overlap");
                break;
            }
        c_free(a);
        c_free(b);
    }
    /* Many small ones of every size: each keeps what it was given. */
    enum { MANY = 600 };
    unsigned char *kept[MANY];
    for (size_t n = 0; n < MANY; n++) {
        kept[n] = c_malloc(n);
        HOLDS(is_multiple(kept[n], 16));
        memset(kept[n], (int)n, n);
    }
    for (size_t n = 0; n < MANY; n++) {
        for (size_t i = 0; i < n; i++)
            if (kept[n][i] != (unsigned char)n) {
                HOLDS(!"a block was overwritten");
                break;
            }
        c_free(kept[n]);
    }
}

static void size_zero_is_an_object(void) {
    void *a, *b;
    SUCCEEDS(a, c_malloc(0));
    SUCCEEDS(b, c_malloc(0));
    HOLDS(a != b);
    c_free(a), c_free(b);
    SUCCEEDS(a, c_calloc(0, 8));
    SUCCEEDS(b, c_calloc(8, 0));
    HOLDS(a != b);
    c_free(a), c_free(b);
    SUCCEEDS(a, c_memalign(64, 0));
    SUCCEEDS(b, c_aligned_alloc(64, 0));
    HOLDS(a != b && is_multiple(a, 64) && is_multiple(b, 64));
    c_free(a), c_free(b);
    SUCCEEDS(a, c_valloc(0));
    c_free(a);
    void *p = NULL;
    HOLDS(c_posix_memalign(&p, 64, 0) == 0);
    c_free(p);
    SUCCEEDS(a, c_realloc(NULL, 0));
    c_free(a);
    SUCCEEDS(a, c_reallocarray(NULL, 0, 5));
    c_free(a);
}

static void too_large_is_refused(void) {
    static const size_t too_large[] = {(size_t)PTRDIFF_MAX + 1, (size_t)PTRDIFF_MAX + 4096, SIZE_MAX - 4096,
                                       SIZE_MAX - 15, SIZE_MAX - 1, SIZE_MAX};
    for (size_t i = 0; i < COUNT(too_large); i++) {
        size_t n = too_large[i];
        IS_NULL_WITH(ENOMEM, c_malloc(n));
        IS_NULL_WITH(ENOMEM, c_calloc(1, n));
        IS_NULL_WITH(ENOMEM, c_calloc(n, 1));
        IS_NULL_WITH(ENOMEM, c_realloc(NULL, n));
        IS_NULL_WITH(ENOMEM, c_reallocarray(NULL, n, 1));
        IS_NULL_WITH(ENOMEM, c_memalign(64, n));
        IS_NULL_WITH(ENOMEM, c_memalign(1 << 16, n));
        IS_NULL_WITH(ENOMEM, c_aligned_alloc(64, n));
        IS_NULL_WITH(ENOMEM, c_valloc(n));
        IS_NULL_WITH(ENOMEM, c_pvalloc(n));
        void *untouched = &failures;
        HOLDS(c_posix_memalign(&untouched, 64, n) == ENOMEM);
        HOLDS(untouched == &failures);
        char *a = c_malloc(100);
        memset(a, 7, 100);
        IS_NULL_WITH(ENOMEM, c_realloc(a, n));
        IS_NULL_WITH(ENOMEM, c_reallocarray(a, n, 1));
        HOLDS(a[0] == 7 && a[99] == 7);
        c_free(a);
    }
    /* The largest size that is no error in itself; no machine has it. */
    IS_NULL_WITH(ENOMEM, c_malloc(PTRDIFF_MAX));
    IS_NULL_WITH(ENOMEM, c_calloc(1, PTRDIFF_MAX));
    IS_NULL_WITH(ENOMEM, c_malloc((size_t)1 << 60));
    IS_NULL_WITH(ENOMEM, c_memalign((size_t)1 << 20, (size_t)PTRDIFF_MAX - 100));
}

static void a_product_that_overflows_is_refused(void) {
    size_t half = (size_t)1 << (sizeof(size_t) * CHAR_BIT / 2);
    IS_NULL_WITH(ENOMEM, c_calloc(half, half));
    IS_NULL_WITH(ENOMEM, c_calloc(half + 1, half));
    IS_NULL_WITH(ENOMEM, c_calloc(SIZE_MAX, 2));
    IS_NULL_WITH(ENOMEM, c_calloc(2, SIZE_MAX / 2 + 1));
    IS_NULL_WITH(ENOMEM, c_reallocarray(NULL, half, half));
    char *a = c_malloc(10);
    a[9] = 5;
    IS_NULL_WITH(ENOMEM, c_reallocarray(a, SIZE_MAX, 2));
    IS_NULL_WITH(ENOMEM, c_reallocarray(a, half + 1, half));
    HOLDS(a[9] == 5);
    c_free(a);
}

static int all_zero(const unsigned char *at, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (at[i]) return 0;
    return 1;
}

static void calloc_is_zero_in_used_memory(void) {
    for (int round = 0; round < 20; round++)
        for (size_t i = 0; i < COUNT(sizes); i++) {
            unsigned char *dirty = c_malloc(sizes[i]);
            memset(dirty, 0xff, c_usable(dirty));
            c_free(dirty);
            unsigned char *a;
            SUCCEEDS(a, c_calloc(1, sizes[i]));
            HOLDS(all_zero(a, sizes[i]));
            memset(a, 0xff, c_usable(a));
            c_free(a);
        }
    unsigned char *a = c_calloc(300, 7);
    HOLDS(all_zero(a, 2100) && c_usable(a) >= 2100);
    c_free(a);
}

static void realloc_keeps_contents(void) {
    for (size_t i = 0; i < COUNT(sizes); i++)
        for (size_t j = 0; j < COUNT(sizes); j++) {
            size_t from = sizes[i], to = sizes[j], both = from < to ? from : to;
            if (to == 0) continue;
            unsigned char *a = c_malloc(from);
            for (size_t n = 0; n < from; n++) a[n] = (unsigned char)(n * 7 + 3);
            unsigned char *b;
            SUCCEEDS(b, c_realloc(a, to));
            HOLDS(is_multiple(b, 16) && c_usable(b) >= to);
            for (size_t n = 0; n < both; n++)
                if (b[n] != (unsigned char)(n * 7 + 3)) {
                    HOLDS(!"realloc lost contents");
                    break;
                }
            memset(b, 0, to);
            c_free(b);
        }
    char *a = c_reallocarray(NULL, 10, 10);
    memset(a, 1, 100);
    a = c_reallocarray(a, 100, 100);
    HOLDS(a[0] == 1 && a[99] == 1);
    c_free(a);
    /* A block grown by a little, often. */
    char *grown = NULL;
    for (size_t n = 1; n < 3000000; n += 1000) {
        grown = c_realloc(grown, n);
        grown[n - 1] = 'x';
        if (n > 1 && grown[n - 1001] != 'x') {
            HOLDS(!"a block that grows lost contents");
            break;
        }
    }
    c_free(grown);
}

static void realloc_to_zero_frees(void) {
    char *a = c_malloc(100);
    errno = 4242;
    HOLDS(c_realloc(a, 0) == NULL);
    HOLDS(errno == 4242);
    a = c_malloc(1 << 20);
    HOLDS(c_realloc(a, 0) == NULL);
    a = c_malloc(100);
    HOLDS(c_reallocarray(a, 0, 5) == NULL);
    a = c_malloc(100);
    HOLDS(c_reallocarray(a, 5, 0) == NULL);
}

static void aligned_blocks(void) {
    for (size_t align = 1; align <= (size_t)1 << 22; align *= 2)
        for (size_t i = 0; i < COUNT(sizes); i++) {
            size_t n = sizes[i];
            char *a, *b;
            SUCCEEDS(a, c_memalign(align, n));
            SUCCEEDS(b, c_aligned_alloc(align, n));
            HOLDS(is_multiple(a, align) && is_multiple(b, align) && a != b);
            HOLDS(is_multiple(a, 16) && is_multiple(b, 16));
            HOLDS(c_usable(a) >= n && c_usable(b) >= n);
            memset(a, 1, n);
            memset(b, 2, n);
            HOLDS(n == 0 || (a[0] == 1 && a[n - 1] == 1));
            void *c = NULL;
            errno = 4242;
            int error = c_posix_memalign(&c, align, n);
            HOLDS(error == (align < sizeof(void *) ? EINVAL : 0));
            HOLDS(errno == 4242);
            HOLDS(is_multiple(c, align));
            if (c) memset(c, 3, n);
            /* Moving one keeps what is in it, though not where it lies. */
            a = c_realloc(a, n + 100);
            HOLDS(a && (n == 0 || (a[0] == 1 && a[n - 1] == 1)));
            c_free(a), c_free(b), c_free(c);
        }
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        char *a, *b;
        SUCCEEDS(a, c_valloc(sizes[i]));
        SUCCEEDS(b, c_pvalloc(sizes[i]));
        HOLDS(is_multiple(a, page) && is_multiple(b, page));
        HOLDS(c_usable(b) >= (sizes[i] + page - 1) / page * page);
        memset(a, 1, sizes[i]);
        memset(b, 2, (sizes[i] + page - 1) / page * page);
        c_free(a), c_free(b);
    }
}

static void bad_alignments(void) {
    static const size_t bad[] = {0, 3, 5, 12, 24, 48, 100, 4095, 4097, SIZE_MAX / 2, SIZE_MAX};
    for (size_t i = 0; i < COUNT(bad); i++) {
        void *untouched = &failures;
        errno = 4242;
        HOLDS(c_posix_memalign(&untouched, bad[i], 100) == EINVAL);
        HOLDS(untouched == &failures && errno == 4242);
    }
    static const size_t small[] = {1, 2, 4};
    for (size_t i = 0; i < COUNT(small); i++) {
        void *untouched = &failures;
        HOLDS(c_posix_memalign(&untouched, small[i], 100) == EINVAL);
        HOLDS(untouched == &failures);
    }
    /* memalign takes the next power of two, and says EINVAL where there is none. */
    for (size_t align = 3; align < 5000; align = align * 2 + 1) {
        void *a;
        SUCCEEDS(a, c_memalign(align, 50));
        HOLDS(is_multiple(a, align + 1));
        c_free(a);
    }
    IS_NULL_WITH(EINVAL, c_memalign(SIZE_MAX, 10));
    IS_NULL_WITH(EINVAL, c_memalign(SIZE_MAX / 2 + 2, 10));
    IS_NULL_WITH(ENOMEM, c_memalign(SIZE_MAX / 2 + 1, 10));
    IS_NULL_WITH(ENOMEM, c_memalign((size_t)1 << 62, 10));
    void *a;
    SUCCEEDS(a, c_memalign(0, 10));
    HOLDS(is_multiple(a, 16));
    c_free(a);
    /* So did aligned_alloc before glibc 2.38, which goheap does not follow. */
    if (getenv("ALIGNED_ALLOC_IS_STRICT"))
        for (size_t i = 0; i < COUNT(bad); i++) IS_NULL_WITH(EINVAL, c_aligned_alloc(bad[i], 100));
}

static void frees(void) {
    errno = 4242;
    c_free(NULL);
    HOLDS(errno == 4242);
    HOLDS(c_usable(NULL) == 0);
    enum { MANY = 5000 };
    static void *kept[MANY];
    for (int n = 0; n < MANY; n++) kept[n] = c_malloc((size_t)n * 3);
    errno = 4242;
    for (int n = 0; n < MANY; n++) c_free(kept[n]);
    HOLDS(errno == 4242);
    /* Those of C23, and one that went: where libc has none, only the library's are tried. */
    void (*free_sized)(void *, size_t) = (void (*)(void *, size_t))dlsym(RTLD_DEFAULT, "free_sized");
    void (*free_aligned)(void *, size_t, size_t) =
        (void (*)(void *, size_t, size_t))dlsym(RTLD_DEFAULT, "free_aligned_sized");
    void (*old)(void *) = (void (*)(void *))dlsym(RTLD_DEFAULT, "cfree");
    if (getenv("ALIGNED_ALLOC_IS_STRICT")) HOLDS(free_sized && free_aligned && old);
    for (int n = 0; n < 3000; n++) {
        if (free_sized) free_sized(c_malloc(100), 100), free_sized(NULL, 0);
        if (free_aligned) free_aligned(c_aligned_alloc(64, 128), 64, 128), free_aligned(NULL, 64, 0);
        if (old) old(c_malloc(10)), old(NULL);
    }
}

static void the_heap_can_be_asked(void) {
    HOLDS(mallopt(M_MMAP_THRESHOLD, 1 << 20) == 1);
    HOLDS(mallopt(M_TRIM_THRESHOLD, 1 << 20) == 1);
    HOLDS(mallopt(M_ARENA_MAX, 2) == 1);
    malloc_trim(0); /* So that no cycle between the readings frees what is dead by now. */
    struct mallinfo2 before = mallinfo2();
    enum { MANY = 100 };
    void *kept[MANY];
    for (int n = 0; n < MANY; n++) memset(kept[n] = c_malloc(100000), 1, 100000);
    struct mallinfo2 after = mallinfo2();
    HOLDS(after.uordblks + after.hblkhd >= before.uordblks + before.hblkhd + MANY * 100000);
    HOLDS(after.arena + after.hblkhd >= after.uordblks);
    struct mallinfo narrow = mallinfo();
    HOLDS((size_t)narrow.arena == after.arena || narrow.arena < 0 || after.arena > INT_MAX);
    for (int n = 0; n < MANY; n++) c_free(kept[n]);
    int trimmed = malloc_trim(0);
    HOLDS(trimmed == 0 || trimmed == 1);
    struct mallinfo2 at_last = mallinfo2();
    HOLDS(at_last.uordblks + at_last.hblkhd < after.uordblks + after.hblkhd);
}

/* glibc exports these names, too, and has one heap behind both. */
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_memalign(size_t, size_t);
void __libc_free(void *);
static void other_names_are_the_same_heap(void) {
    for (int n = 0; n < 3000; n++) {
        c_free(__libc_malloc(100));
        c_free(__libc_calloc(3, 100));
        c_free(__libc_memalign(64, 100));
        __libc_free(c_malloc(100));
    }
}

int main(void) {
    blocks_are_aligned_and_writable();
    size_zero_is_an_object();
    too_large_is_refused();
    a_product_that_overflows_is_refused();
    calloc_is_zero_in_used_memory();
    realloc_keeps_contents();
    realloc_to_zero_frees();
    aligned_blocks();
    bad_alignments();
    frees();
    other_names_are_the_same_heap();
    the_heap_can_be_asked();
    return failures > 255 ? 255 : failures;
}
