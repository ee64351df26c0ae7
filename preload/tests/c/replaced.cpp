// A program that replaces new and delete by its own, which put a word before each block: all forms
// that it has left to the library use them. Exits with 0 if all held.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <vector>

#define CHECK(what) \
    do { \
        if (!(what)) { \
            std::fprintf(stderr, "%d: does not hold: %s\n", __LINE__, #what); \
            return 1; \
        } \
    } while (0)

static const std::uintptr_t MARK = 0x600d600d600d600d;
static long live;

void *operator new(std::size_t bytes) {
    std::uintptr_t *at = bytes < PTRDIFF_MAX / 2 ? static_cast<std::uintptr_t *>(std::malloc(bytes + 16)) : nullptr;
    if (!at) throw std::bad_alloc();
    *at = MARK;
    live++;
    return at + 2;
}
void operator delete(void *block) noexcept {
    if (!block) return;
    std::uintptr_t *at = static_cast<std::uintptr_t *>(block) - 2;
    if (*at != MARK) {
        std::fprintf(stderr, "deleted what was not made here\n");
        std::abort();
    }
    *at = 0;
    live--;
    std::free(at);
}

int main() {
    long before = live;
    volatile std::size_t some = 100, too_much = PTRDIFF_MAX;
    void *made[] = {
        ::operator new(some),
        ::operator new[](some),
        ::operator new(some, std::nothrow),
        ::operator new[](some, std::nothrow),
        ::operator new(some),
        ::operator new[](some),
        ::operator new(some),
    };
    CHECK(live == before + 7);
    ::operator delete(made[0], some);
    ::operator delete[](made[1], some);
    ::operator delete(made[2]);
    ::operator delete[](made[3]);
    ::operator delete(made[4], std::nothrow);
    ::operator delete[](made[5], std::nothrow);
    ::operator delete(made[6]);
    CHECK(live == before);
    CHECK(!::operator new(too_much, std::nothrow));
    CHECK(!::operator new[](too_much, std::nothrow));
    // What must be aligned it has left to the library wholly.
    ::operator delete(::operator new(some, std::align_val_t{64}), std::align_val_t{64});
    CHECK(live == before);
    // Its buffer comes by nothrow new.
    std::vector<int> numbers(10000);
    for (int &number : numbers) number = std::rand();
    std::stable_sort(numbers.begin(), numbers.end());
    CHECK(std::is_sorted(numbers.begin(), numbers.end()));
    return 0;
}
