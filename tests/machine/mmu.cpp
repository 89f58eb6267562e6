// SPDX-License-Identifier: Apache-2.0
#include "tests/machine/mmu.hpp"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>

#include "abi/xen/basic.hpp"
#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/domain/domain.hpp"
#include "hypervisor/guest/pv/mirror.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/mm/dirty.hpp"
#include "lib/base/bits.hpp"
#include "tests/machine/tlb.hpp"

namespace hv::host {

namespace {
std::atomic<GuestMemory> kind_of_memory{GuestMemory::window};
}  // namespace

void guest_memory(GuestMemory kind) { kind_of_memory = kind; }
GuestMemory guest_memory() { return kind_of_memory.load(std::memory_order_relaxed); }

namespace mmu {

namespace {

Tlb tlbs[max_cpus];
std::atomic<bool> eager{false};
std::atomic<bool> deaf{false};
std::atomic<bool> by_cache{false};
std::atomic<unsigned> accesses{0};
std::string complaint;

/// The guest's own write, or the CPU's for it: tests hear of it, a log must find it by itself.
void tell(Mfn m) {
    if (on_dirtied) on_dirtied(m, __FILE__, __LINE__);
}

constexpr unsigned entries_per_table = 512;
constexpr unsigned root_level = 4;

bool hypervisor_slot(uint64_t slot) { return slot >= l4_slot_m2p && slot < l4_slot_end; }

uint64_t root_of(unsigned cpu) { return __atomic_load_n(&cpus[cpu].loaded_cr3, __ATOMIC_SEQ_CST); }

uint64_t load(const uint64_t* slot) { return __atomic_load_n(slot, __ATOMIC_ACQUIRE); }

uint64_t* slot_of(uint64_t table, uint64_t va, unsigned level) {
    return map_mfn<uint64_t>(Mfn(table)) + (va >> (12 + 9 * (level - 1)) & (entries_per_table - 1));
}

uint64_t frame_in(uint64_t e) { return Mfn::of_address(e & pte::frame_mask).raw; }

/// Guest code runs in ring 3: it gets nowhere through an entry that is the hypervisor's own.
bool usable(uint64_t e) { return (e & pte::present) && (e & pte::user) && frame_in(e) < max_frame; }

/// One walk; `visit(slot, entry, level)` sees each entry on the way, and says whether the walk goes on.
template <class F>
bool descend(unsigned cpu, uint64_t va, F visit) {
    const uint64_t root = root_of(cpu);
    if (root == idle_cr3() || !base::canonical(va) || hypervisor_slot(va >> 39 & 511)) return false;
    uint64_t table = root >> page_shift;
    for (unsigned level = root_level; level > 0; --level) {
        uint64_t* slot = slot_of(table, va, level);
        const uint64_t e = load(slot);
        if (!usable(e) || !visit(slot, e, level)) return false;
        table = frame_in(e);
    }
    return true;
}

uint16_t domain_on(unsigned cpu) { return cpus[cpu].current->domain.id.raw; }
uint16_t owner_of(uint64_t mfn) { return frame_table[mfn].owner.load(std::memory_order_relaxed); }

void remember(unsigned cpu, uint64_t mfn, uint64_t va, Cached kind, bool writable, bool dirty = false) {
    tlbs[cpu].add({mfn, va, kind, writable, domain_on(cpu), owner_of(mfn), dirty, mirror_at(mfn)});
}

void set_bits(uint64_t* slot, uint64_t e, uint64_t bits) {
    if ((e & bits) == bits) return;
    __atomic_fetch_or(slot, bits, __ATOMIC_ACQ_REL);
    tell(mfn_of(slot));
}

/// An access by what is cached, if there is something that allows it.
std::optional<Translation> cached_access(unsigned cpu, uint64_t va, bool write) {
    const uint64_t page = va & ~(page_size - 1);
    if (const TlbEntry* e = tlbs[cpu].find(page, Cached::page, write); e && (e->writable || !write))
        return Translation{Mfn(e->mfn), e->writable};
    const TlbEntry* table = tlbs[cpu].find(page, Cached::table_l1, false);
    if (!table || (write && !table->writable)) return {};
    uint64_t* slot = slot_of(table->mfn, va, 1);
    const uint64_t e = load(slot);
    if (!usable(e) || (write && !(e & pte::rw))) return {};
    set_bits(slot, e, pte::accessed | (write ? pte::dirty : 0));
    remember(cpu, frame_in(e), page, Cached::page, table->writable && (e & pte::rw), write || (e & pte::dirty));
    return Translation{Mfn(frame_in(e)), (e & pte::rw) != 0};
}

/// An access by a walk.
std::optional<Translation> walking_access(unsigned cpu, uint64_t va, bool write) {
    struct Step {
        uint64_t* slot;
        uint64_t entry;
    } steps[root_level];
    bool writable = true;
    const bool there = descend(cpu, va, [&](uint64_t* slot, uint64_t e, unsigned level) {
        steps[level - 1] = {slot, e};
        writable &= (e & pte::rw) != 0;
        return true;
    });
    if (!there || (write && !writable)) return {};
    const uint64_t page = va & ~(page_size - 1);
    bool so_far = true;
    for (unsigned level = root_level; level > 0; --level) {
        const auto [slot, e] = steps[level - 1];
        const uint64_t bits = pte::accessed | (write && level == 1 ? pte::dirty : 0);
        set_bits(slot, e, bits);
        so_far &= (e & pte::rw) != 0;
        remember(cpu, frame_in(e), page, static_cast<Cached>(level - 1), so_far, level == 1 && (write || (e & pte::dirty)));
    }
    return Translation{Mfn(frame_in(steps[0].entry)), writable};
}

/// The guest's root for which that CPU has loaded a mirror; 0: it runs on none.
uint64_t mirrored_root_on(unsigned cpu) {
    const Vcpu& v = *cpus[cpu].current;
    if (!v.pv) return 0;
    const uint64_t loaded = root_of(cpu) >> page_shift;
    if (loaded == v.pv->kernel_cr3.raw && loaded != v.pv->kernel_root.raw) return v.pv->kernel_root.raw;
    if (loaded == v.pv->user_cr3.raw && loaded != v.pv->user_root.raw) return v.pv->user_root.raw;
    return 0;
}

/// What the CPU would find in the guest's own tables.
struct OwnWay {
    unsigned steps = 0;
    uint64_t frame = 0;
    bool writable = true, accessed = true, dirty = false, ours = false;
    bool there() const { return steps == root_level && !ours; }
};
OwnWay own_way(uint64_t root, uint64_t va) {
    OwnWay w;
    uint64_t table = root;
    for (unsigned level = root_level; level > 0; --level) {
        const uint64_t* slot = slot_of(table, va, level);
        const bool l4 = (frame_table[table].type.load() >> page::type_shift) == static_cast<uint64_t>(PageType::l4);
        if (l4 && hypervisor_slot(static_cast<uint64_t>(slot - map_mfn<uint64_t>(Mfn(table))))) w.ours = true;
        const uint64_t e = load(slot);
        if (w.ours || !usable(e)) return w;
        ++w.steps;
        w.writable &= (e & pte::rw) != 0;
        w.accessed &= (e & pte::accessed) != 0;
        w.dirty = (e & pte::dirty) != 0;
        w.frame = table = frame_in(e);
    }
    return w;
}

void complain(const char* what, uint64_t va) {
    if (!complaint.empty()) return;
    char text[160];
    std::snprintf(text, sizeof text, "an access to %lx by mirrors: %s", static_cast<unsigned long>(va), what);
    complaint = text;
}

/// An access succeeded on mirrors: what does it say in the guest's tables?
void check_success(uint64_t root, uint64_t va, bool write, const Translation& t) {
    const OwnWay own = own_way(root, va);
    if (!own.there() || (write && !own.writable)) return complain("the guest's tables do not allow it", va);
    if (own.frame != t.mfn.raw) return complain("the guest's tables lead to another frame", va);
    if (!own.accessed) return complain("an entry of the guest's is not marked as accessed", va);
    if (write && !own.dirty) complain("the guest's entry is not marked as dirty", va);
}

constexpr uint32_t error_present = 1, error_write = 2, error_user = 4;

/// A fault where the hypervisor looks after mirrors: whether to try again.
bool faulted_on_mirrors(unsigned cpu, uint64_t va, bool write) {
    const uint64_t root = mirrored_root_on(cpu);
    if (!root || &this_cpu() != &cpus[cpu]) return false;
    const bool hypervisor_area = hypervisor_slot(va >> 39 & 511) || !base::canonical(va);
    if (hypervisor_area) return false;
    uint32_t error = error_user | (write ? error_write : 0);
    const OwnWay own = own_way(root, va);
    const bool again = mirror_fault(*cpus[cpu].current, va, error);
    if (again == (own.there() && (!write || own.writable))) {
        const bool there = own.steps == root_level || own.ours;
        if (!again && ((error & error_present) != 0) != there) complain("the error code is not that of the guest's tables", va);
        return again;
    }
    complain(
        again ? "it is tried again, though the guest's tables do not allow it" : "it faults, though the guest's tables allow it",
        va);
    return false;
}

/// A translation, if the access is allowed; `held` is the lock of that CPU's TLB, which is let go where the hypervisor is entered.
std::optional<Translation> access(unsigned cpu, uint64_t va, bool write, std::unique_lock<std::mutex>& held) {
    if (by_cache.load(std::memory_order_relaxed) && accesses.fetch_add(1, std::memory_order_relaxed) % 2)
        if (const auto t = cached_access(cpu, va, write)) return t;
    for (unsigned tries = 0; tries < 4; ++tries) {
        const auto t = walking_access(cpu, va, write);
        const uint64_t root = mirrored_root_on(cpu);
        if (t && root) check_success(root, va, write, *t);
        if (t || !root) return t;
        held.unlock();
        const bool again = faulted_on_mirrors(cpu, va, write);
        held.lock();
        if (!again) return {};
    }
    complain("it faults for ever", va);
    return {};
}

/// Visits every table below a root once for each way (level, writable) to use it.
class Collector {
    unsigned cpu_;
    std::unordered_set<uint64_t> seen_;

public:
    explicit Collector(unsigned cpu) : cpu_(cpu) {}

    void table(uint64_t mfn, unsigned level, bool writable) {
        if (!seen_.insert(mfn << 3 | level << 1 | uint64_t{writable}).second) return;
        const uint64_t* entries = map_mfn<uint64_t>(Mfn(mfn));
        for (unsigned i = 0; i < entries_per_table; ++i) {
            if (level == root_level && hypervisor_slot(i)) continue;
            const uint64_t e = load(entries + i);
            if (!usable(e)) continue;
            const bool w = writable && (e & pte::rw);
            remember(cpu_, frame_in(e), TlbEntry::any_address, static_cast<Cached>(level - 1), w);
            if (level > 1) table(frame_in(e), level - 1, w);
        }
    }

    /// Slot 260 of any root of a domain leads to the descriptor tables of all its vCPUs.
    void descriptor_windows(const Domain& d) {
        constexpr unsigned window_entries = 32;
        for (uint32_t i = 0; i < d.limits.max_vcpus; ++i) {
            const Vcpu* v = d.vcpus[i];
            if (!v || !v->pv) continue;
            for (unsigned n = 0; n < window_entries; ++n) {
                const uint64_t e = load(v->pv->descriptor_l1 + n);
                if (!(e & pte::present) || frame_in(e) >= max_frame) continue;
                remember(cpu_, frame_in(e), TlbEntry::any_address, Cached::descriptors, (e & pte::rw) != 0);
            }
        }
    }
};

void collect(unsigned cpu) {
    const uint64_t root = root_of(cpu);
    if (root == idle_cr3()) return;
    Collector c(cpu);
    c.table(root >> page_shift, root_level, true);
    c.descriptor_windows(cpus[cpu].current->domain);
}

void collect_eagerly(unsigned cpu) {
    if (eager.load(std::memory_order_relaxed)) collect(cpu);
}

/// Splits an access at page borders.
template <class F>
bool each_page(uint64_t va, size_t n, bool write, F f) {
    const unsigned cpu = this_cpu().id;
    if (va + n < va) return false;
    for (size_t done = 0; done < n;) {
        const uint64_t at = va + done;
        const size_t piece = std::min<size_t>(n - done, page_size - (at & (page_size - 1)));
        std::unique_lock held(tlbs[cpu].lock);
        const auto t = access(cpu, at, write, held);
        if (!t) return false;
        f(map_mfn(t->mfn) + (at & (page_size - 1)), done, piece);
        if (write) tell(t->mfn);
        done += piece;
    }
    return true;
}

}  // namespace

Tlb& tlb_of(unsigned cpu) { return tlbs[cpu]; }

std::optional<Translation> walk(unsigned cpu, uint64_t va) {
    if (const uint64_t root = mirrored_root_on(cpu)) {
        const OwnWay own = own_way(root, va);
        if (!own.there() || hypervisor_slot(va >> 39 & 511) || !base::canonical(va)) return {};
        return Translation{Mfn(own.frame), own.writable};
    }
    Translation t{Mfn(0), true};
    const bool there = descend(cpu, va, [&](uint64_t*, uint64_t e, unsigned) {
        t.mfn = Mfn(frame_in(e));
        t.writable &= (e & pte::rw) != 0;
        return true;
    });
    if (!there) return {};
    return t;
}

bool touch(unsigned cpu, uint64_t va, bool write) {
    std::unique_lock held(tlbs[cpu].lock);
    return access(cpu, va, write, held).has_value();
}

void cache_everything(unsigned cpu) {
    std::lock_guard held(tlbs[cpu].lock);
    collect(cpu);
}

void cache_eagerly(bool on) { eager = on; }
void ignore_flushes(bool on) { deaf = on; }
void use_what_is_cached(bool on) { by_cache = on; }
std::string mirrors_complaint() { return complaint; }

void reset() {
    for (Tlb& t : tlbs) {
        std::lock_guard held(t.lock);
        t.clear();
    }
}

namespace {

/// Copies to or from guest memory, which others may be writing: word by word where it is aligned, as the CPU would.
template <class F, class G>
void by_words(uint64_t guest_address, size_t n, F word, G byte) {
    size_t i = 0;
    for (; i < n && (guest_address + i) % 8 != 0; ++i) byte(i);
    for (; i + 8 <= n; i += 8) word(i);
    for (; i < n; ++i) byte(i);
}
uint64_t* word_at(uint8_t* page, size_t i) { return reinterpret_cast<uint64_t*>(page + i); }

}  // namespace

bool read(void* dst, uint64_t va, size_t n) {
    auto* to = static_cast<uint8_t*>(dst);
    return each_page(va, n, false, [to](uint8_t* from, size_t done, size_t piece) {
        by_words(
            reinterpret_cast<uint64_t>(from), piece,
            [&](size_t i) {
                const uint64_t w = __atomic_load_n(word_at(from, i), __ATOMIC_RELAXED);
                std::memcpy(to + done + i, &w, sizeof w);
            },
            [&](size_t i) { to[done + i] = __atomic_load_n(from + i, __ATOMIC_RELAXED); });
    });
}
bool write(uint64_t va, const void* src, size_t n) {
    const auto* from = static_cast<const uint8_t*>(src);
    return each_page(va, n, true, [from](uint8_t* to, size_t done, size_t piece) {
        by_words(
            reinterpret_cast<uint64_t>(to), piece,
            [&](size_t i) {
                uint64_t w = 0;
                std::memcpy(&w, from + done + i, sizeof w);
                __atomic_store_n(word_at(to, i), w, __ATOMIC_RELAXED);
            },
            [&](size_t i) { __atomic_store_n(to + i, from[done + i], __ATOMIC_RELAXED); });
    });
}
bool clear(uint64_t va, size_t n) {
    return each_page(va, n, true, [](uint8_t* to, size_t, size_t piece) {
        by_words(
            reinterpret_cast<uint64_t>(to), piece,
            [&](size_t i) { __atomic_store_n(word_at(to, i), uint64_t{0}, __ATOMIC_RELAXED); },
            [&](size_t i) { __atomic_store_n(to + i, uint8_t{0}, __ATOMIC_RELAXED); });
    });
}

void load_root(unsigned cpu, uint64_t cr3) {
    std::lock_guard held(tlbs[cpu].lock);
    // In the order of guest/entry/switch.cpp, on which flush_tlb() relies.
    const uint64_t idle = idle_cr3();
    if (cr3 != idle) __atomic_store_n(&cpus[cpu].loaded_cr3, cr3, __ATOMIC_SEQ_CST);
    const uint32_t time = tlb_flush_begins();
    tlbs[cpu].clear();
    tlb_flush_ended(cpus[cpu], time);
    if (cr3 == idle) __atomic_store_n(&cpus[cpu].loaded_cr3, cr3, __ATOMIC_SEQ_CST);
    collect_eagerly(cpu);
}

void load_other_root(unsigned cpu, uint64_t cr3) {
    std::lock_guard held(tlbs[cpu].lock);
    __atomic_store_n(&cpus[cpu].loaded_cr3, cr3, __ATOMIC_SEQ_CST);
    const uint32_t time = tlb_flush_begins_in_passing();
    tlbs[cpu].clear();
    tlb_flush_ended(cpus[cpu], time);
    collect_eagerly(cpu);
}

void flush(unsigned cpu) {
    std::lock_guard held(tlbs[cpu].lock);
    const uint32_t time = tlb_flush_begins();
    if (!deaf.load(std::memory_order_relaxed)) tlbs[cpu].clear();
    tlb_flush_ended(cpus[cpu], time);
    collect_eagerly(cpu);
}

void flush_page(unsigned cpu, uint64_t va) {
    std::lock_guard held(tlbs[cpu].lock);
    tlbs[cpu].drop_page(va & ~(page_size - 1));
}

void long_operation(unsigned cpu) {
    if (!eager.load(std::memory_order_relaxed)) return;
    std::lock_guard held(tlbs[cpu].lock);
    collect(cpu);
}

}  // namespace mmu
}  // namespace hv::host
