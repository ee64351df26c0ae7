// Each form of C++'s new and delete, and what becomes of failures. Prints what it did, for comparison; exits with 0 if
// all held. Argument "mixed": blocks go from C++'s functions to C's and back.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <malloc.h>
#include <memory>
#include <new>
#include <set>
#include <string>
#include <vector>

#define CHECK(what) \
    do { \
        if (!(what)) { \
            std::fprintf(stderr, "%d: does not hold: %s\n", __LINE__, #what); \
            std::exit(1); \
        } \
    } while (0)

using std::align_val_t;
using std::nothrow;
using std::size_t;

static volatile size_t too_much = PTRDIFF_MAX;

template <typename Alloc, typename Free>
static void form(const char *name, size_t align, Alloc alloc, Free give_back) {
    size_t sum = 0;
    std::set<void *> held;
    for (size_t bytes = 0; bytes < 3000; bytes += bytes < 70 ? 1 : 61) {
        void *at = alloc(bytes);
        CHECK(at && reinterpret_cast<std::uintptr_t>(at) % align == 0);
        CHECK(held.insert(at).second);
        std::memset(at, int(bytes), bytes);
        sum += bytes;
    }
    size_t bytes = 0;
    for (void *at : held) give_back(at, bytes);
    give_back(nullptr, 0);
    std::printf("%s: %zu\n", name, sum);
}

static void forms() {
    const align_val_t wide{512}, narrow{4};
#define PLAIN(expression) [](size_t n) -> void * { (void)n; return expression; }
#define WITH(expression) [=](size_t n) -> void * { (void)n; return expression; }
#define BACK(expression) [=](void *p, size_t) { expression; }
    form("new", 16, PLAIN(::operator new(n)), BACK(::operator delete(p)));
    form("new[]", 16, PLAIN(::operator new[](n)), BACK(::operator delete[](p)));
    form("new nothrow", 16, PLAIN(::operator new(n, nothrow)), BACK(::operator delete(p, nothrow)));
    form("new[] nothrow", 16, PLAIN(::operator new[](n, nothrow)), BACK(::operator delete[](p, nothrow)));
    form("new aligned", 512, WITH(::operator new(n, wide)), BACK(::operator delete(p, wide)));
    form("new[] aligned", 512, WITH(::operator new[](n, wide)), BACK(::operator delete[](p, wide)));
    form("new narrow", 4, WITH(::operator new(n, narrow)), BACK(::operator delete(p, narrow)));
    form("new aligned nothrow", 512, WITH(::operator new(n, wide, nothrow)), BACK(::operator delete(p, wide, nothrow)));
    form("new[] aligned nothrow", 512, WITH(::operator new[](n, wide, nothrow)), BACK(::operator delete[](p, wide, nothrow)));
    // Sized forms are told the size.
    for (size_t n = 0; n < 5000; n += 7) {
        ::operator delete(::operator new(n), n);
        ::operator delete[](::operator new[](n), n);
        ::operator delete(::operator new(n, wide), n, wide);
        ::operator delete[](::operator new[](n, wide), n, wide);
        // And the nothrow forms' blocks go to the plain ones.
        ::operator delete(::operator new(n, nothrow));
        ::operator delete[](::operator new[](n, nothrow));
    }
}

template <typename Alloc>
static void throws(const char *name, Alloc alloc) {
    try {
        alloc();
        std::printf("%s: nothing thrown\n", name);
    } catch (const std::bad_alloc &error) {
        std::printf("%s: %s\n", name, typeid(error) == typeid(std::bad_alloc) ? "bad_alloc" : error.what());
    }
}

static void failures() {
    const align_val_t wide{64};
    throws("new", [] { ::operator delete(::operator new(too_much)); });
    throws("new[]", [] { ::operator delete[](::operator new[](too_much)); });
    throws("new aligned", [=] { ::operator delete(::operator new(too_much / 2, wide), wide); });
    throws("new[] aligned", [=] { ::operator delete[](::operator new[](too_much / 2, wide), wide); });
    throws("vector", [] { std::vector<char> all(too_much / 2); });
    CHECK(!::operator new(too_much, nothrow));
    CHECK(!::operator new[](too_much, nothrow));
    CHECK(!::operator new(too_much / 2, wide, nothrow));
    CHECK(!::operator new[](too_much / 2, wide, nothrow));
}

// A handler is called until there is memory, it throws, or there is none any more.
static int calls;
static void gives_up_after_three() {
    if (++calls == 3) std::set_new_handler(nullptr);
}
static void has_memory_the_second_time() {
    if (++calls == 2) too_much = 1000;
}
struct Refused : std::bad_alloc {};
static void refuses() {
    calls++;
    throw Refused();
}
static void handlers() {
    for (int way = 0; way < 4; way++) {
        calls = 0;
        std::set_new_handler(gives_up_after_three);
        void *at = nullptr;
        try {
            at = way == 0 ? ::operator new(too_much) : way == 1 ? ::operator new(too_much / 2, align_val_t{64})
               : way == 2 ? ::operator new[](too_much, nothrow) : ::operator new(too_much / 2, align_val_t{64}, nothrow);
        } catch (const std::bad_alloc &) {
            std::printf("handler of %d: thrown\n", way);
        }
        CHECK(!at);
        std::printf("handler of %d: %d calls\n", way, calls);
    }
    calls = 0;
    std::set_new_handler(refuses);
    bool refused = false;
    try {
        (void)::operator new(too_much);
    } catch (const Refused &) {
        refused = true;
    }
    CHECK(refused && calls == 1);
    CHECK(!::operator new(too_much, nothrow) && calls == 2);
    CHECK(!::operator new[](too_much / 2, align_val_t{64}, nothrow) && calls == 3);
    std::set_new_handler(nullptr);
}

struct alignas(1024) Wide {
    char bytes[1500];
};

static void containers() {
    std::vector<std::string> texts;
    for (int n = 0; n < 20000; n++) texts.push_back(std::string(n % 300, char('a' + n % 26)));
    std::vector<std::shared_ptr<Wide>> wide;
    for (int n = 0; n < 300; n++) {
        wide.push_back(std::make_shared<Wide>());
        CHECK(reinterpret_cast<std::uintptr_t>(wide.back().get()) % 1024 == 0);
    }
    std::unique_ptr<Wide[]> many(new Wide[5]);
    CHECK(reinterpret_cast<std::uintptr_t>(many.get()) % 1024 == 0);
    std::printf("%zu texts, %zu wide\n", texts.size(), wide.size());
}

static void mixed() {
    for (size_t n = 1; n < 5000; n++) {
        void *volatile made = ::operator new(n % 500 + 1);
        CHECK(malloc_usable_size(made) > n % 500);
        void *grown = std::realloc(made, n % 700 + 1);
        CHECK(grown);
        std::free(grown);
        void *volatile c = std::malloc(n);
        ::operator delete(c);
        void *volatile wide = ::operator new(n, align_val_t{128});
        std::free(wide);
    }
}

int main(int count, char **arguments) {
    forms();
    failures();
    containers();
    if (count > 1) {
        mixed();
    } else {
        handlers();
    }
    std::puts("all held");
    return 0;
}
