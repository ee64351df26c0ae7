/* What a process goes through: one part a run, named by the first argument. Exits with 0 if all held. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/* dprintf takes memory, which there may be none of, and then says nothing. */
static void fail(const char *function, int line, const char *what, int error) {
    char said[512];
    int bytes = snprintf(said, sizeof said, "%s:%d: does not hold: %s (errno %d)\n", function, line, what, error);
    (void)!write(2, said, bytes < (int)sizeof said ? bytes : (int)sizeof said - 1);
    _exit(1);
}
#define CHECK(what) \
    do { \
        if (!(what)) fail(__func__, __LINE__, #what, errno); \
    } while (0)

/* Allocates, writes, grows, checks and frees; several cycles' worth. */
static void churn(unsigned seed, int rounds) {
    enum { KEPT = 500 };
    unsigned char *kept[KEPT] = {0};
    size_t size[KEPT] = {0};
    for (int n = 0; n < rounds; n++) {
        seed = seed * 1664525 + 1013904223;
        size_t i = seed >> 8 & 511;
        if (i >= KEPT) continue;
        if (kept[i]) {
            CHECK(kept[i][0] == (unsigned char)i && kept[i][size[i] - 1] == (unsigned char)i);
            if (seed & 1 << 20) {
                size_t larger = size[i] * 3 / 2 + 1;
                kept[i] = realloc(kept[i], larger);
                CHECK(kept[i] && kept[i][size[i] - 1] == (unsigned char)i);
                if (larger < 100000) {
                    memset(kept[i], (int)i, size[i] = larger);
                    continue;
                }
            }
            free(kept[i]);
        }
        size[i] = 1 + (seed >> 12) % (seed & 15 ? 500 : 40000);
        kept[i] = seed & 1 << 21 ? calloc(1, size[i]) : malloc(size[i]);
        CHECK(kept[i]);
        memset(kept[i], (int)i, size[i]);
    }
    for (int i = 0; i < KEPT; i++) free(kept[i]);
}

static void *churning(void *seed) {
    churn((unsigned)(uintptr_t)seed, 100000);
    return NULL;
}

static void wait_for(pid_t process) {
    int status;
    CHECK(waitpid(process, &status, 0) == process);
    if (status) dprintf(2, "the child ended with status %#x\n", status);
    CHECK(status == 0);
}

static void in_threads(int count, void *(*body)(void *)) {
    pthread_t threads[64];
    for (int i = 0; i < count; i++) CHECK(!pthread_create(&threads[i], NULL, body, (void *)(uintptr_t)(i + 1)));
    for (int i = 0; i < count; i++) CHECK(!pthread_join(threads[i], NULL));
}

/* Before main, and after it. */
static char *from_constructor;
__attribute__((constructor(101))) static void first(void) {
    from_constructor = malloc(1000);
    memset(from_constructor, 'c', 1000);
    churn(7, 50000);
}
static void at_the_end(void) {
    CHECK(from_constructor[999] == 'c');
    free(from_constructor);
    churn(8, 50000);
}
__attribute__((destructor)) static void last(void) { churn(9, 1000); }
static void constructors(void) {
    CHECK(from_constructor[0] == 'c');
    atexit(at_the_end);
    in_threads(2, churning);
}

/* Threads that run on when main's has ended, the last of which ends the process. */
static void *outliving(void *unused) {
    (void)unused;
    usleep(50000);
    churn(3, 100000);
    in_threads(4, churning);
    exit(0);
}
static void main_ends_first(void) {
    pthread_t thread;
    void *mine = malloc(5000);
    CHECK(!pthread_create(&thread, NULL, outliving, mine));
    churn(4, 100000);
    pthread_exit(NULL);
}

/* The process ends with its last thread, though the heap has threads of its own; so does a child that a
   thread forked, whose last thread that one is. */
static void *forking(void *unused) {
    (void)unused;
    churn(5, 100000);
    pid_t child = fork();
    CHECK(child >= 0);
    alarm(60);
    churn(6, 100000);
    if (child) wait_for(child);
    return NULL;
}
static void the_last_thread_ends(void) {
    pthread_t thread;
    alarm(60);
    for (int i = 0; i < 2; i++) CHECK(!pthread_create(&thread, NULL, churning, NULL));
    CHECK(!pthread_create(&thread, NULL, forking, NULL));
    churn(4, 1000);
    pthread_exit(NULL);
}

/* The same where another library has a heap, and threads, of its own. */
static void the_last_thread_ends_beside_another_heap(void) {
    const char *other = getenv("OTHER_HEAP");
    if (other) {
        void *library = dlopen(other, RTLD_NOW | RTLD_LOCAL);
        if (!library) dprintf(2, "%s\n", dlerror());
        CHECK(library);
        void *(*from_it)(size_t) = (void *(*)(size_t))dlsym(library, "malloc");
        CHECK(from_it && from_it != malloc);
        for (int i = 0; i < 100000; i++) CHECK(from_it(1000));
    }
    the_last_thread_ends();
}

/* Main leaves while threads are at it. */
static void main_ends_amid_threads(void) {
    pthread_t thread;
    for (int i = 0; i < 4; i++) CHECK(!pthread_create(&thread, NULL, churning, (void *)(uintptr_t)(i + 1)));
    churn(4, 20000);
}

/* Frees and allocations in the destructors of a thread's keys, to the last round. */
static pthread_key_t keys[40];
static void again(void *value) {
    uintptr_t *round = value, n = *round;
    free(round);
    churn(5, 1000);
    if (n < PTHREAD_DESTRUCTOR_ITERATIONS) {
        uintptr_t *next = malloc(sizeof *next);
        *next = n + 1;
        pthread_setspecific(keys[n], next);
    }
}
static void *with_keys(void *unused) {
    (void)unused;
    for (int i = 0; i < 40; i++) {
        uintptr_t *value = malloc(sizeof *value);
        *value = 1;
        CHECK(!pthread_setspecific(keys[i], value));
    }
    return NULL;
}
static void thread_exit(void) {
    for (int i = 0; i < 40; i++) CHECK(!pthread_key_create(&keys[i], again));
    for (int round = 0; round < 8; round++) in_threads(8, with_keys);
}

/* A fork while other threads allocate: the child's heap works, and so do its own threads. */
static volatile int stop;
static void *churn_on(void *seed) {
    while (!stop) churn((unsigned)(uintptr_t)seed, 5000);
    return NULL;
}
static void *old_blocks[1000];
static void forks(void) {
    pthread_t threads[4];
    for (int i = 0; i < 1000; i++) memset(old_blocks[i] = malloc(100), i, 100);
    for (int i = 0; i < 4; i++) CHECK(!pthread_create(&threads[i], NULL, churn_on, (void *)(uintptr_t)(i + 1)));
    for (int n = 0; n < 50; n++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(60);
            for (int i = 0; i < 1000; i++) {
                CHECK(*(unsigned char *)old_blocks[i] == (unsigned char)i);
                free(old_blocks[i]);
            }
            churn(6, 20000);
            if (n % 4 == 0) in_threads(2, churning);
            if (n % 10 == 0) {
                pid_t grandchild = fork();
                if (grandchild == 0) {
                    alarm(60);
                    churn(1, 20000);
                    _exit(0);
                }
                wait_for(grandchild);
            }
            if (n % 3 == 0) exit(0);
            _exit(0);
        }
        wait_for(child);
    }
    stop = 1;
    for (int i = 0; i < 4; i++) CHECK(!pthread_join(threads[i], NULL));
}

/* The other ways to a process. */
static const char *self;
static void spawns(void) {
    char *churns[] = {(char *)self, "churns", NULL};
    in_threads(2, churning);
    for (int n = 0; n < 20; n++) {
        pid_t child = vfork();
        CHECK(child >= 0);
        if (child == 0) {
            execv(self, churns);
            _exit(1);
        }
        wait_for(child);
        CHECK(!posix_spawn(&child, self, NULL, NULL, churns, environ));
        wait_for(child);
        CHECK(system("exit 0") == 0);
        FILE *pipe = popen("echo said", "r");
        char line[10];
        CHECK(pipe && fgets(line, 10, pipe) && !strcmp(line, "said\n") && pclose(pipe) == 0);
        churn(2, 10000);
    }
}
static void vfork_child_allocates(void) {
    /* Before any thread of the heap's has started: the child is not to start it. */
    pid_t child = vfork();
    CHECK(child >= 0);
    if (child == 0) {
        churn(2, 200000);
        _exit(0);
    }
    wait_for(child);
    churn(3, 200000);
    DIR *tasks = opendir("/proc/self/task");
    int count = 0;
    while (readdir(tasks)) count++;
    closedir(tasks);
    CHECK(count > 3 || !getenv("LD_PRELOAD"));
}
static void churns(void) { churn(1, 100000); }

/* A library with a constructor that allocates and thread-local memory, opened and closed. */
static void *opens(void *library) {
    for (int n = 0; n < 50; n++) {
        /* What binds deeply has libc's malloc and free for itself, unless the library sees to it. */
        void *handle = dlopen(library, RTLD_NOW | (n % 2 ? RTLD_DEEPBIND : 0));
        if (!handle) dprintf(2, "%s\n", dlerror());
        CHECK(handle);
        char *(*make)(void) = (char *(*)(void))dlsym(handle, "make");
        CHECK(make);
        for (int i = 0; i < 100; i++) {
            char *made = make();
            CHECK(!strcmp(made, "made"));
            free(made);
        }
        churn(7, 5000);
        CHECK(!dlclose(handle));
    }
    return NULL;
}
static void libraries(const char *library) {
    opens((void *)library);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) CHECK(!pthread_create(&threads[i], NULL, opens, (void *)library));
    for (int i = 0; i < 4; i++) CHECK(!pthread_join(threads[i], NULL));
}

/* A library that lies where only the one that opens it says. */
static void opens_by(const char *opener, const char *library) {
    CHECK(!dlopen(library, RTLD_NOW));
    void *handle = dlopen(opener, RTLD_NOW);
    CHECK(handle);
    void *(*inner)(const char *, int) = (void *(*)(const char *, int))dlsym(handle, "open_inner");
    CHECK(inner);
    for (int deep = 0; deep < 2; deep++) {
        void *opened = inner(library, RTLD_LAZY | (deep ? RTLD_DEEPBIND : 0));
        if (!opened) dprintf(2, "%s\n", dlerror());
        CHECK(opened && dlsym(opened, "make") && !dlclose(opened));
    }
}

/* Takes what address space is left, down to the last page. */
static int takes_the_rest;
static size_t least = 50 << 20;
static void take_the_rest(void) {
    for (size_t bytes = 64 << 20; bytes >= 4096; bytes /= 2)
        while (mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED) continue;
}

/* Little memory: null and ENOMEM when it is used up, and all goes on when some is free again. */
static void use_up(size_t bytes) {
    struct block {
        struct block *next;
    } *all = NULL;
    size_t sum = 0;
    errno = 0;
    for (struct block *one; (one = malloc(bytes)); sum += bytes) {
        memset(one, 1, bytes);
        one->next = all;
        all = one;
        CHECK(sum < (size_t)1 << 30);
    }
    CHECK(errno == ENOMEM);
    CHECK(sum > least);
    if (takes_the_rest) take_the_rest();
    while (all) {
        struct block *next = all->next;
        free(all);
        all = next;
    }
}
static void limited(void) {
    in_threads(2, churning);
    for (int n = 0; n < 2; n++) {
        use_up(1000);
        use_up(100000);
        use_up(10 << 20);
        churn(3, 50000);
    }
}
static void limits_itself(void) {
    churn(1, 100000);
    struct rlimit limit = {512 << 20, 512 << 20}, read;
    CHECK(!setrlimit(RLIMIT_AS, &limit));
    CHECK(!getrlimit(RLIMIT_AS, &read) && read.rlim_cur == limit.rlim_cur);
    CHECK(!prlimit(0, RLIMIT_AS, NULL, &read) && read.rlim_max == limit.rlim_max);
    CHECK(!prlimit(getpid(), RLIMIT_AS, &limit, &read));
    in_threads(2, churning);
    void *mapped = mmap(NULL, 200 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(mapped != MAP_FAILED);
    CHECK(!munmap(mapped, 200 << 20));
    limited();
}

/* The same where others take what the heap leaves: what one size had must do for the next. */
static void leaves_nothing(void) {
    churn(1, 100000);
    struct rlimit limit = {512 << 20, 512 << 20};
    CHECK(!setrlimit(RLIMIT_AS, &limit));
    in_threads(2, churning);
    takes_the_rest = 1;
    least = 300 << 20;
    use_up(1000);
    use_up(100000);
    churn(3, 50000);
    use_up(10 << 20);
    use_up(1000);
    churn(4, 50000);
}

/* The same of its data, once the heap has tables for all of its address space. */
static void limits_its_data(void) {
    churn(1, 1000);
    struct rlimit limit = {512 << 20, 512 << 20};
    CHECK(!setrlimit(RLIMIT_DATA, &limit));
    void *most = malloc(300 << 20);
    CHECK(most);
    free(most);
    CHECK(!prlimit(0, RLIMIT_DATA, &limit, NULL));
    limited();
}

/* Nothing is written to, or expected of, a descriptor. */
static void no_descriptors(void) {
    churn(1, 100000);
    CHECK(!close_range(0, ~0u, 0));
    churn(2, 300000);
    in_threads(4, churning);
    /* There is nowhere to say it. */
    int first = open("/dev/null", O_RDWR);
    _exit(first == 0 ? 0 : 4);
}

/* Signals come to the program's threads, never to the heap's. */
static volatile pthread_t main_thread;
static volatile sig_atomic_t came;
static void handler(int signal) {
    (void)signal;
    if (!pthread_equal(pthread_self(), main_thread)) _exit(3);
    came++;
}
static void signals(void) {
    main_thread = pthread_self();
    struct sigaction action = {.sa_handler = handler};
    sigaction(SIGUSR1, &action, NULL);
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGUSR1);
    for (int n = 0; n < 200; n++) {
        /* While main blocks it, a thread that did not would have to take it. */
        pthread_sigmask(SIG_BLOCK, &one, NULL);
        kill(getpid(), SIGUSR1);
        churn(n, 5000);
        CHECK(came == n);
        pthread_sigmask(SIG_UNBLOCK, &one, NULL);
        CHECK(came == n + 1);
    }
    /* Nor do they keep all from changing who they are. */
    CHECK(!setgid(getgid()) && !setuid(getuid()));
}

/* Much thread-local memory, which comes out of each thread's stack. */
static __thread volatile char large[3 << 20];
static int threads_named(const char *prefix) {
    int count = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *task; (task = readdir(tasks));) {
        char path[300], name[32] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", task->d_name);
        FILE *file = fopen(path, "r");
        if (file) {
            if (fgets(name, sizeof name, file)) count += !strncmp(name, prefix, strlen(prefix));
            fclose(file);
        }
    }
    closedir(tasks);
    return count;
}
static void *use_large(void *seed) {
    large[(uintptr_t)seed] = 1;
    return churning(seed);
}
static void much_thread_local_memory(void) {
    in_threads(4, use_large);
    CHECK(threads_named("goheap-") > 0 || !getenv("LD_PRELOAD"));
}

/* C++'s new, where nobody could throw. */
static void new_without_a_library(void) {
    void *(*new)(size_t) = (void *(*)(size_t))dlsym(RTLD_DEFAULT, "_Znwm");
    void *(*nothrow)(size_t, void *) = (void *(*)(size_t, void *))dlsym(RTLD_DEFAULT, "_ZnwmRKSt9nothrow_t");
    CHECK(new && nothrow && new(100) && nothrow(100, "") && !nothrow(PTRDIFF_MAX, ""));
    dprintf(1, "so far\n");
    new(PTRDIFF_MAX);
}

int main(int count, char **arguments) {
    self = arguments[0];
    const char *part = count > 1 ? arguments[1] : "";
#define PART(name) if (!strcmp(part, #name)) return name(), 0
    PART(constructors);
    PART(main_ends_first);
    PART(the_last_thread_ends);
    PART(the_last_thread_ends_beside_another_heap);
    PART(main_ends_amid_threads);
    PART(thread_exit);
    PART(forks);
    PART(spawns);
    PART(vfork_child_allocates);
    PART(churns);
    PART(limited);
    PART(limits_itself);
    PART(leaves_nothing);
    PART(limits_its_data);
    PART(no_descriptors);
    PART(signals);
    PART(much_thread_local_memory);
    PART(new_without_a_library);
    if (!strcmp(part, "libraries")) return libraries(arguments[2]), 0;
    if (!strcmp(part, "opens_by")) return opens_by(arguments[2], arguments[3]), 0;
    dprintf(2, "no such part: %s\n", part);
    return 2;
}
