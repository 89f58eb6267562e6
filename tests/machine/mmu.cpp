// SPDX-License-Identifier: Apache-2.0
#include "tests/machine/mmu.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "abi/xen/basic.hpp"
#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/domain/domain.hpp"
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

void remember(unsigned cpu, uint64_t mfn, uint64_t va, Cached kind, bool writable) {
    tlbs[cpu].add({mfn, va, kind, writable, domain_on(cpu), owner_of(mfn)});
}

/// The part of touch() under the lock: a translation, if the access is allowed.
std::optional<Translation> access(unsigned cpu, uint64_t va, bool write) {
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
        if ((e & bits) != bits) {
            __atomic_fetch_or(slot, bits, __ATOMIC_ACQ_REL);
            dirtied(slot);
        }
        so_far &= (e & pte::rw) != 0;
        remember(cpu, frame_in(e), page, static_cast<Cached>(level - 1), so_far);
    }
    return Translation{Mfn(frame_in(steps[0].entry)), writable};
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
        std::lock_guard held(tlbs[cpu].lock);
        const auto t = access(cpu, at, write);
        if (!t) return false;
        f(map_mfn(t->mfn) + (at & (page_size - 1)), done, piece);
        if (write) dirtied(t->mfn);
        done += piece;
    }
    return true;
}

}  // namespace

Tlb& tlb_of(unsigned cpu) { return tlbs[cpu]; }

std::optional<Translation> walk(unsigned cpu, uint64_t va) {
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
    std::lock_guard held(tlbs[cpu].lock);
    return access(cpu, va, write).has_value();
}

void cache_everything(unsigned cpu) {
    std::lock_guard held(tlbs[cpu].lock);
    collect(cpu);
}

void cache_eagerly(bool on) { eager = on; }
void ignore_flushes(bool on) { deaf = on; }

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
