// SPDX-License-Identifier: Apache-2.0
/// The frame table: one PageInfo for every machine frame, with its reference and type counts.
///
/// Two counts, after Xen's rules (public ABI behaviour):
///  - `count`: existence. While it is above zero the frame keeps its owner and is not freed.
///  - `type`: use. While it is above zero the frame is what the type says (page table, writable, descriptor table...).
///    A frame may change its type only at zero users. The type count is only raised by someone who holds an
///    existence reference.
#pragma once

#include <atomic>
#include <cstdint>

#include "hypervisor/arch/x86/direct_map.hpp"
#include "lib/base/result.hpp"
#include "lib/base/types.hpp"

namespace hv {

using namespace base;

struct Domain;

/// What a frame is being used as. Numbers are ours; MMUEXT levels map to l1..l4.
enum class PageType : uint8_t { none = 0, l1 = 1, l2 = 2, l3 = 3, l4 = 4, segdesc = 5, writable = 6 };

namespace page {
// count word: [63] allocated to a domain, [62] hypervisor-owned (shared info, grant frames...), [61] free,
// [60] broken, [59:32] reserved, [31:0] references.
inline constexpr uint64_t allocated = uint64_t{1} << 63;
inline constexpr uint64_t hyp_page = uint64_t{1} << 62;
inline constexpr uint64_t is_free = uint64_t{1} << 61;
inline constexpr uint64_t count_mask = 0xffffffff;
/// No guest takes a page's count higher: what is above is for get_page_again(), which cannot fail.
inline constexpr uint64_t count_limit = 0xf0000000;

// type word: [63:61] type, [60] pinned, [59] validated, [58] partly validated, [57] the last user is leaving,
// [56:42] linear uses, [41:32] linear entries (guest/pv/types.hpp), [31:0] users.
inline constexpr unsigned type_shift = 61;
inline constexpr uint64_t type_mask = uint64_t{7} << type_shift;
inline constexpr uint64_t pinned = uint64_t{1} << 60;
inline constexpr uint64_t validated = uint64_t{1} << 59;
inline constexpr uint64_t partial = uint64_t{1} << 58;
inline constexpr uint64_t leaving = uint64_t{1} << 57;  ///< no users, and not yet stamped: see mm/tlb.hpp
inline constexpr unsigned linear_uses_shift = 42;
inline constexpr uint64_t linear_uses_mask = uint64_t{0x7fff} << linear_uses_shift;
inline constexpr unsigned linear_entries_shift = 32;
inline constexpr uint64_t linear_entries_mask = uint64_t{0x3ff} << linear_entries_shift;
inline constexpr uint64_t users_mask = 0xffffffff;
}  // namespace page

inline constexpr uint16_t no_owner = 0xffff;

/// One per machine frame, 32 bytes.
struct PageInfo {
    std::atomic<uint64_t> count{0};
    std::atomic<uint64_t> type{0};
    uint32_t next = 0;  ///< list links (frame numbers): a domain's page list or a free list; page_list lock
    uint32_t prev = 0;
    /// No type users: TLB clock when the last one left. A partial table: progress. A validated one: its mirror (guest/pv/mirror.hpp).
    std::atomic<uint32_t> stamp{0};
    std::atomic<uint16_t> owner{no_owner};  ///< DomId of the owner; stable while a reference is held
    uint8_t order = 0;                      ///< free lists: log2 of the block's pages
    uint8_t progress_flags = 0;             ///< page tables: see guest/pv/types.hpp; page_table lock
};
static_assert(sizeof(PageInfo) == 32);

extern PageInfo* frame_table;
extern uint64_t* machine_to_phys;  ///< the M2P map, writable view
extern uint64_t max_frame;         ///< frames 0..max_frame-1 have a PageInfo

/// True when `m` has a PageInfo: RAM, or a hole below the top of RAM (whose owner is nobody).
inline bool mfn_valid(Mfn m) { return m.raw < max_frame; }
inline PageInfo& page_of(Mfn m) { return frame_table[m.raw]; }
inline Mfn mfn_of(const PageInfo& p) { return Mfn(static_cast<uint64_t>(&p - frame_table)); }

inline constexpr uint64_t invalid_m2p_entry = ~uint64_t{0};

inline uint64_t m2p(Mfn m) { return mfn_valid(m) ? machine_to_phys[m.raw] : invalid_m2p_entry; }
inline void set_m2p(Mfn m, uint64_t pfn) {
    if (mfn_valid(m)) machine_to_phys[m.raw] = pfn;
}

// What each entry of a page table takes and gives back: in line, as far as nothing ends or begins with it.

/// put_page() found one reference, or none, before it: the page is nobody's now.
void put_last_page(PageInfo& p, uint64_t before);
/// Drops a reference; the last one frees the frame and uncharges its owner.
[[gnu::always_inline]] inline void put_page(PageInfo& p) {
    const uint64_t before = p.count.fetch_sub(1, std::memory_order_acq_rel);
    if ((before & page::count_mask) <= 1) [[unlikely]]
        put_last_page(p, before);
}
/// Takes an existence reference if `owner` owns the page and it is in use. False otherwise or on overflow.
[[gnu::always_inline]] inline bool get_page(PageInfo& p, DomId owner) {
    uint64_t c = p.count.load(std::memory_order_acquire);
    do {
        // Unused, or at the limit: one comparison says both.
        if (static_cast<uint32_t>(c & page::count_mask) - 1 >= page::count_limit - 1) return false;
    } while (!p.count.compare_exchange_weak(c, c + 1, std::memory_order_acq_rel, std::memory_order_acquire));
    // With the reference held the owner cannot change any more.
    if (p.owner.load(std::memory_order_acquire) == owner.raw) [[likely]]
        return true;
    put_page(p);
    return false;
}
/// get_page_again() found none to have another one of, or too many: a mistake of ours.
[[noreturn]] void bad_page_count();
/// Takes another reference; the caller already holds one.
[[gnu::always_inline]] inline void get_page_again(PageInfo& p) {
    const uint64_t before = p.count.fetch_add(1, std::memory_order_relaxed);
    // None, or all there can be.
    if (static_cast<uint32_t>(before + 1) <= 1) [[unlikely]]
        bad_page_count();
}

// Two references that begin or end together, each in one change of its count.
/// get_page() and get_page_again().
[[gnu::always_inline]] inline bool get_page_twice(PageInfo& p, DomId owner) {
    uint64_t c = p.count.load(std::memory_order_acquire);
    do {
        if (static_cast<uint32_t>(c & page::count_mask) - 1 >= page::count_limit - 2) return false;
    } while (!p.count.compare_exchange_weak(c, c + 2, std::memory_order_acq_rel, std::memory_order_acquire));
    if (p.owner.load(std::memory_order_acquire) == owner.raw) [[likely]]
        return true;
    put_page(p);
    put_page(p);
    return false;
}
[[gnu::always_inline]] inline void put_page_twice(PageInfo& p) {
    const uint64_t before = p.count.fetch_sub(2, std::memory_order_acq_rel);
    if ((before & page::count_mask) <= 2) [[unlikely]]
        put_last_page(p, before - 1);
}

// The writable type; what begins or ends with a use is guest/pv's, which has the rules of types.
bool get_first_writable(PageInfo& p);
void put_last_writable(PageInfo& p);
/// Raises the writable count of a page the caller has a reference on. Any CPU, no locks. False: it is a table.
[[gnu::always_inline]] inline bool get_writable_type(PageInfo& p) {
    // Nearly every page that is to be written has a user already, for whom the flush is over.
    constexpr uint64_t in_use = static_cast<uint64_t>(PageType::writable) << page::type_shift | page::validated;
    uint64_t x = p.type.load(std::memory_order_acquire);
    const uint64_t users = x - in_use;  // when nothing else is set
    if (users - 1 < page::users_mask - 1 && p.type.compare_exchange_strong(x, x + 1, std::memory_order_acq_rel)) [[likely]]
        return true;
    return get_first_writable(p);
}
/// Drops a writable use. Any CPU, no locks.
[[gnu::always_inline]] inline void put_writable_type(PageInfo& p) {
    uint64_t x = p.type.load(std::memory_order_relaxed);
    if ((x & page::users_mask) > 1 && p.type.compare_exchange_strong(x, x - 1, std::memory_order_acq_rel)) [[likely]]
        return;
    put_last_writable(p);
}

bool get_writable_slowly_twice(PageInfo& p);
void put_writable_slowly_twice(PageInfo& p);
/// get_writable_type(), two times. False: neither.
[[gnu::always_inline]] inline bool get_writable_twice(PageInfo& p) {
    constexpr uint64_t in_use = static_cast<uint64_t>(PageType::writable) << page::type_shift | page::validated;
    uint64_t x = p.type.load(std::memory_order_acquire);
    const uint64_t users = x - in_use;
    if (users - 1 < page::users_mask - 2 && p.type.compare_exchange_strong(x, x + 2, std::memory_order_acq_rel)) [[likely]]
        return true;
    return get_writable_slowly_twice(p);
}
[[gnu::always_inline]] inline void put_writable_twice(PageInfo& p) {
    uint64_t x = p.type.load(std::memory_order_relaxed);
    if ((x & page::users_mask) > 2 && p.type.compare_exchange_strong(x, x - 2, std::memory_order_acq_rel)) [[likely]]
        return;
    put_writable_slowly_twice(p);
}

/// What put_page() calls when the last reference is gone; implemented by domain/, which knows the owners.
void page_unreferenced(PageInfo& p);

/// A move-only existence reference.
class PageRef {
    PageInfo* p_ = nullptr;
    explicit PageRef(PageInfo& p) : p_(&p) {}

public:
    PageRef() = default;
    /// Errors: inval when `m` is no frame, perm when `owner` does not own it.
    static Result<PageRef> acquire(Mfn m, DomId owner) {
        if (!mfn_valid(m)) return Err{Errc::inval};
        if (!get_page(page_of(m), owner)) return Err{Errc::perm};
        return PageRef(page_of(m));
    }
    PageRef(PageRef&& o) noexcept : p_(o.p_) { o.p_ = nullptr; }
    PageRef& operator=(PageRef&& o) noexcept {
        if (this != &o) {
            reset();
            p_ = o.p_;
            o.p_ = nullptr;
        }
        return *this;
    }
    ~PageRef() { reset(); }
    void reset() {
        // The analyzer destroys a variable that TRY() left before its initialisation.
        if (p_) put_page(*p_);  // NOLINT(clang-analyzer-core.uninitialized.Branch)
        p_ = nullptr;
    }
    /// Takes over a reference that the caller holds.
    static PageRef adopt(PageInfo& p) { return PageRef(p); }
    /// Gives the reference to the caller, who must put_page() it.
    PageInfo* release() {
        PageInfo* p = p_;
        p_ = nullptr;
        return p;
    }
    /// As for reset(): WritableRef asks while it is destroyed.
    explicit operator bool() const { return p_ != nullptr; }  // NOLINT(clang-analyzer-core.UndefinedBinaryOperatorResult)
    PageInfo& page() const { return *p_; }
    Mfn mfn() const { return mfn_of(*p_); }
};

/// A move-only reference on a page as memory to write: while it lives the page is no table. There is none for uses as a table: those
/// belong to page-table entries, roots, pins and descriptor windows, and end in steps under the owner's lock (guest/pv/types.hpp).
class WritableRef {
    PageRef page_;
    explicit WritableRef(PageRef page) : page_(std::move(page)) {}

public:
    WritableRef() = default;
    /// Errors: inval when the page is a table.
    static Result<WritableRef> of(PageRef page) {
        if (!get_writable_type(page.page())) return Err{Errc::inval};
        return WritableRef(std::move(page));
    }
    WritableRef(WritableRef&&) noexcept = default;
    WritableRef& operator=(WritableRef&& o) noexcept {
        if (this != &o) {
            reset();
            page_ = std::move(o.page_);
        }
        return *this;
    }
    ~WritableRef() { reset(); }
    void reset() {
        if (page_) put_writable_type(page_.page());
        page_.reset();
    }
    explicit operator bool() const { return static_cast<bool>(page_); }
    Mfn mfn() const { return page_.mfn(); }
    uint8_t* data() const { return map_mfn(mfn()); }
};

}  // namespace hv
