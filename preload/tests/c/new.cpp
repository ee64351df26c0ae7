// C++'s new and delete, in all their forms, come through malloc's family. Exits with 0 if all held.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#define CHECK(what) \
    do { \
        if (!(what)) { \
            std::fprintf(stderr, "%d: does not hold: %s\n", __LINE__, #what); \
            return 1; \
        } \
    } while (0)

struct alignas(256) Wide {
    char bytes[300];
};

struct AtThreadEnd {
    std::vector<std::string> kept;
    ~AtThreadEnd() {
        kept.resize(1000, std::string(100, 'e'));
        kept.clear();
    }
};
static thread_local AtThreadEnd at_thread_end;
static std::map<int, std::string> *from_constructor = new std::map<int, std::string>{{1, std::string(50, 'c')}};

static void work(int seed) {
    at_thread_end.kept.push_back("some text that is too long to be kept inside");
    std::map<int, std::string> map;
    for (int n = 0; n < 100000; n++) {
        map[(seed * 31 + n * 7919) % 5000] = std::string(n % 200, char('a' + n % 26));
        if (n % 3 == 0) map.erase(n % 5000);
    }
}

int main() {
    CHECK(from_constructor->at(1).size() == 50);
    for (int n = 1; n < 2000; n++) {
        char *plain = new char[n];
        std::memset(plain, n, n);
        Wide *wide = new Wide;
        CHECK(reinterpret_cast<std::uintptr_t>(wide) % 256 == 0);
        Wide *many = new Wide[3];
        CHECK(reinterpret_cast<std::uintptr_t>(many) % 256 == 0);
        void *sized = ::operator new(n);
        CHECK(reinterpret_cast<std::uintptr_t>(sized) % __STDCPP_DEFAULT_NEW_ALIGNMENT__ == 0);
        ::operator delete(sized, std::size_t(n));
        CHECK(plain[n - 1] == char(n));
        delete[] plain;
        delete wide;
        delete[] many;
    }
    volatile std::size_t too_much = PTRDIFF_MAX;
    bool thrown = false;
    try {
        ::operator delete(::operator new(too_much));
    } catch (const std::bad_alloc &) {
        thrown = true;
    }
    CHECK(thrown);
    CHECK(!::operator new(too_much, std::nothrow));
    CHECK(!::operator new(too_much / 2, std::align_val_t(64), std::nothrow));
    std::vector<std::thread> threads;
    for (int n = 0; n < 4; n++) threads.emplace_back(work, n);
    for (auto &thread : threads) thread.join();
    std::shared_ptr<Wide> shared = std::make_shared<Wide>();
    delete from_constructor;
    return 0;
}
