// SPDX-License-Identifier: Apache-2.0
/// The runtime that instrumented code calls: the names are those of the compilers' thread sanitizer, the meaning is the
/// explorer's. Source: the interface that g++ and clang emit for -fsanitize=thread.
#include <cstring>

#include "tests/explore/engine.hpp"

using explore::engine;
using explore::Kind;

namespace {

bool running() { return engine && engine->running(); }
bool journalling() { return engine && engine->journalling(); }

constexpr int order_seq_cst = __ATOMIC_SEQ_CST;

template <class T>
uint64_t bits(T v) {
    return static_cast<uint64_t>(v);
}

template <class T>
T load(const volatile T* a, void* place) {
    if (!running()) return *a;
    engine->before(a, false);
    uint64_t own = 0;
    const T v = engine->forwarded(a, sizeof(T), own) ? static_cast<T>(own) : *a;
    engine->record(Kind::load, a, sizeof(T), bits(v), bits(v), place);
    return v;
}

template <class T>
void put(volatile T* a, T v) {
    auto* plain = const_cast<T*>(a);
    if (journalling()) engine->keep(plain, sizeof(T));
    if (*plain != v) engine->changed();
    *plain = v;
}

template <class T>
void store(volatile T* a, T v, int order, void* place) {
    if (!running()) return put(a, v);
    engine->before(a, true);
    if (order == order_seq_cst) engine->drain_own();
    else if (engine->delay(const_cast<T*>(a), sizeof(T), bits(v), place)) return;
    const T old = *a;
    put(a, v);
    engine->record(Kind::store, a, sizeof(T), bits(old), bits(v), place);
}

/// A locked operation.
template <class T, class F>
T modify(volatile T* a, Kind k, void* place, F f) {
    if (!running()) {
        const T old = *a;
        put(a, static_cast<T>(f(old)));
        return old;
    }
    engine->before(a, true);
    engine->drain_own();
    const T old = *a;
    const T v = static_cast<T>(f(old));
    put(a, v);
    engine->record(k, a, sizeof(T), bits(old), bits(v), place);
    return old;
}

template <class T>
int swap(volatile T* a, T* expected, T desired, void* place) {
    if (running()) {
        engine->before(a, true);
        engine->drain_own();
    }
    const T old = *a;
    const bool same = old == *expected;
    if (same) put(a, desired);
    else put(expected, old);
    if (running()) engine->record(same ? Kind::swap_done : Kind::swap_failed, a, sizeof(T), bits(old), bits(desired), place);
    return same;
}

void plain(void* at, size_t bytes, bool writes) {
    if (!journalling()) return;
    if (running()) engine->plain_access(at, bytes, writes);
    if (writes) engine->keep(at, bytes);
}

void fence(int order, void* place) {
    if (!running() || order != order_seq_cst) return;
    engine->drain_own();
    engine->record(Kind::fence, nullptr, 0, 0, 0, place);
}

}  // namespace

#define PLACE __builtin_return_address(0)

#define ATOMICS(N, T)                                                                                                   \
    T __tsan_atomic##N##_load(const volatile T* a, int) { return load(a, PLACE); }                                      \
    void __tsan_atomic##N##_store(volatile T* a, T v, int mo) { store(a, v, mo, PLACE); }                               \
    T __tsan_atomic##N##_exchange(volatile T* a, T v, int) {                                                            \
        return modify(a, Kind::exchange, PLACE, [=](T) { return v; });                                                  \
    }                                                                                                                   \
    T __tsan_atomic##N##_fetch_add(volatile T* a, T v, int) {                                                           \
        return modify(a, Kind::add, PLACE, [=](T o) { return static_cast<T>(o + v); });                                 \
    }                                                                                                                   \
    T __tsan_atomic##N##_fetch_sub(volatile T* a, T v, int) {                                                           \
        return modify(a, Kind::sub, PLACE, [=](T o) { return static_cast<T>(o - v); });                                 \
    }                                                                                                                   \
    T __tsan_atomic##N##_fetch_and(volatile T* a, T v, int) {                                                           \
        return modify(a, Kind::bit_and, PLACE, [=](T o) { return static_cast<T>(o & v); });                             \
    }                                                                                                                   \
    T __tsan_atomic##N##_fetch_or(volatile T* a, T v, int) {                                                            \
        return modify(a, Kind::bit_or, PLACE, [=](T o) { return static_cast<T>(o | v); });                              \
    }                                                                                                                   \
    T __tsan_atomic##N##_fetch_xor(volatile T* a, T v, int) {                                                           \
        return modify(a, Kind::bit_xor, PLACE, [=](T o) { return static_cast<T>(o ^ v); });                             \
    }                                                                                                                   \
    int __tsan_atomic##N##_compare_exchange_strong(volatile T* a, T* c, T v, int, int) { return swap(a, c, v, PLACE); } \
    int __tsan_atomic##N##_compare_exchange_weak(volatile T* a, T* c, T v, int, int) { return swap(a, c, v, PLACE); }

#define PLAIN(N)                                                   \
    void __tsan_read##N(void* a) { plain(a, N, false); }           \
    void __tsan_write##N(void* a) { plain(a, N, true); }           \
    void __tsan_unaligned_read##N(void* a) { plain(a, N, false); } \
    void __tsan_unaligned_write##N(void* a) { plain(a, N, true); } \
    void __tsan_volatile_read##N(void* a) { plain(a, N, false); }  \
    void __tsan_volatile_write##N(void* a) { plain(a, N, true); }

extern "C" {
ATOMICS(8, uint8_t)
ATOMICS(16, uint16_t)
ATOMICS(32, uint32_t)
ATOMICS(64, uint64_t)
PLAIN(1)
PLAIN(2)
PLAIN(4)
PLAIN(8)
PLAIN(16)

void __tsan_init() {}
void __tsan_read_range(void* a, unsigned long n) { plain(a, n, false); }
void __tsan_write_range(void* a, unsigned long n) { plain(a, n, true); }
void __tsan_vptr_update(void** a, void*) { plain(a, sizeof *a, true); }
void __tsan_vptr_read(void**) {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_atomic_thread_fence(int order) { fence(order, PLACE); }
void __tsan_atomic_signal_fence(int) {}

// The linker sends the calls of everything here (--wrap): the C library's own code would store behind the journal's back.
void* __real_memset(void*, int, size_t);
void* __real_memcpy(void*, const void*, size_t);
void* __real_memmove(void*, const void*, size_t);
void* __wrap_memset(void* to, int value, size_t n);
void* __wrap_memcpy(void* to, const void* from, size_t n);
void* __wrap_memmove(void* to, const void* from, size_t n);

void* __wrap_memset(void* to, int value, size_t n) {
    if (n) plain(to, n, true);
    return __real_memset(to, value, n);
}
void* __wrap_memcpy(void* to, const void* from, size_t n) {
    if (n) plain(const_cast<void*>(from), n, false);
    if (n) plain(to, n, true);
    return __real_memcpy(to, from, n);
}
void* __wrap_memmove(void* to, const void* from, size_t n) {
    if (n) plain(const_cast<void*>(from), n, false);
    if (n) plain(to, n, true);
    return __real_memmove(to, from, n);
}
}
