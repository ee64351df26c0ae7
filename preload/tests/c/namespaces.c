/* A process of one thread makes namespaces and enters them, and goes on; with another thread of its own it may not. 77: nor may
   it here. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>
#include "check.h"
#include "churn.h"

static int threads(void) {
    int count = -2;
    DIR *tasks = opendir("/proc/self/task");
    CHECK(tasks);
    while (readdir(tasks)) count++;
    closedir(tasks);
    return count;
}

static pthread_barrier_t both;
static void *waits(void *unused) {
    (void)unused;
    pthread_barrier_wait(&both);
    return NULL;
}

static void makes_and_enters(void) {
    churn();
    int before = threads();
    CHECK(before > 1 || !getenv("LD_PRELOAD"));
    if (unshare(CLONE_NEWUSER)) {
        fprintf(stderr, "there are no user namespaces here: errno %d\n", errno);
        _exit(errno == EINVAL ? 1 : 77);
    }
    churn();
    CHECK(threads() >= before);
    CHECK(unshare(-1) == -1 && errno == EINVAL);
    errno = 0;
    CHECK(!unshare(CLONE_NEWNS));
    int own = open("/proc/self/ns/mnt", O_RDONLY);
    CHECK(own >= 0 && !setns(own, CLONE_NEWNS) && !close(own));
    CHECK(errno == 0);
    CHECK(setns(-1, 0) == -1 && errno == EBADF);
    churn();
}

int main(void) {
    pthread_t thread;
    int status;
    churn();
    pid_t child = fork();
    if (!child) makes_and_enters(), exit(0);
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    if (status) return WEXITSTATUS(status);
    pthread_barrier_init(&both, NULL, 2);
    int before = threads();
    CHECK(!pthread_create(&thread, NULL, waits, NULL));
    CHECK(unshare(CLONE_NEWUSER) == -1 && errno == EINVAL);
    pthread_barrier_wait(&both);
    CHECK(!pthread_join(thread, NULL));
    /* It may be joined a moment before it is gone. */
    while (threads() > before) usleep(1000);
    makes_and_enters();
    return 0;
}
