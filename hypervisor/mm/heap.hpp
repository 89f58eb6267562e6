// SPDX-License-Identifier: Apache-2.0
/// The machine's memory: buddy allocator of frames, and the hypervisor's small objects (typed slabs).
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

#include "hypervisor/mm/frame.hpp"

namespace hv {

struct Domain;

inline constexpr unsigned max_order = 18;  ///< largest block: 1 GiB
inline constexpr uint8_t apart = 0xff;     ///< PageInfo::order of a free frame that is no buddy of its neighbours

namespace heap {

/// Gives [start, start+n) to the allocator. Boot only, or when a domain's frames come back.
void add_region(Mfn start, Pages n);
/// 2^order frames, aligned to their size, below `address_bits` of machine address (64: anywhere).
/// The contents are undefined: who hands the frames on to a guest clears them. Not owned by anyone. Errors: nomem.
Result<Mfn> alloc(unsigned order, unsigned address_bits = 64);
void free(Mfn m, unsigned order);
/// One frame that a domain has had, named by its `serial`, and that nobody refers to any more. While nobody else has had it, that
/// domain gets it back by take_back() as it was.
void free_from(Mfn m, uint64_t serial);
/// The frame that free_from() took last, if it was this domain's and lies low enough; 0: it was another's, or has been something else
/// since. What is left in it is what the domain left there: it is not cleared. Nor are translations flushed, which are the domain's as
/// well: the page comes back with its last type and stamp, like one that never left (guest/pv/types.hpp).
Mfn take_back(uint64_t serial, unsigned address_bits = 64);
/// Frees n frames that need not be one block.
void free_range(Mfn start, Pages n);
Pages free_pages();
Pages total_pages();
/// Free frames whose addresses are at least 2^min_bits and below 2^max_bits. Slow: walks the free lists.
Pages free_pages_between(unsigned min_bits, unsigned max_bits);

/// One zeroed hypervisor page. Errors: nomem.
Result<void*> alloc_page_zeroed();
void free_page(void* p);
/// Small zeroed objects from size-class slabs, up to a page; larger ones from whole pages. Errors: nomem.
Result<void*> alloc_bytes(size_t bytes);
void free_bytes(void* p, size_t bytes);
/// Bytes of slab objects in use, for leak checks.
size_t bytes_in_use();

}  // namespace heap

/// new/delete with an error result. T's constructor must not fail.
template <class T, class... A>
Result<T*> make(A&&... a) {
    void* p = TRY(heap::alloc_bytes(sizeof(T)));
    return ::new (p) T(std::forward<A>(a)...);
}
template <class T>
void destroy(T* t) {
    if (!t) return;
    t->~T();
    heap::free_bytes(t, sizeof(T));
}

/// A zero-initialised array of trivially copyable T; n > 0.
template <class T>
Result<T*> make_array(size_t n) {
    size_t bytes = 0;
    if (__builtin_mul_overflow(n, sizeof(T), &bytes)) return Err{Errc::nomem};
    return static_cast<T*>(TRY(heap::alloc_bytes(bytes)));
}
template <class T>
void destroy_array(T* t, size_t n) {
    if (t) heap::free_bytes(t, n * sizeof(T));
}

/// Owns one T made with make().
template <class T>
class Owned {
    T* p_ = nullptr;

public:
    Owned() = default;
    explicit Owned(T* p) : p_(p) {}
    Owned(Owned&& o) noexcept : p_(std::exchange(o.p_, nullptr)) {}
    Owned& operator=(Owned&& o) noexcept {
        if (this != &o) {
            destroy(p_);
            p_ = std::exchange(o.p_, nullptr);
        }
        return *this;
    }
    // The analyzer destroys a variable that TRY() left before its initialisation.
    ~Owned() { destroy(p_); }  // NOLINT(clang-analyzer-core.CallAndMessage)
    T* operator->() const { return p_; }
    T& operator*() const { return *p_; }
    T* get() const { return p_; }
    T* release() { return std::exchange(p_, nullptr); }
    explicit operator bool() const { return p_ != nullptr; }
};

}  // namespace hv
