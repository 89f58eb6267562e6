// SPDX-License-Identifier: Apache-2.0
/// What one CPU of the fake machine has cached. mmu.cpp fills it, tlb_check.cpp judges it.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <unordered_set>
#include <vector>

namespace hv::host::mmu {

/// A leaf translation, an entry of a paging structure (by the level of the table it names), or a page of a descriptor window.
enum class Cached : uint8_t { page = 0, table_l1 = 1, table_l2 = 2, table_l3 = 3, descriptors = 7 };

struct TlbEntry {
    static constexpr uint64_t any_address = ~uint64_t{0};
    uint64_t mfn;
    uint64_t va;  ///< page-aligned; any_address: cached for whatever address leads there, so INVLPG does not reach it
    Cached kind;
    bool writable;          ///< by every entry on the way
    uint16_t domain;        ///< whose root it was found under
    uint16_t owner;         ///< of the frame, when it was cached
    bool dirty;             ///< of a page: the CPU knows that the dirty bit is set, and writes without a walk
    uint64_t mirrored = 0;  ///< of a mirror (guest/pv/mirror.hpp): which table's, and walked as what, it was
    bool operator==(const TlbEntry&) const = default;
};

class Tlb {
    struct Hash {
        size_t operator()(const TlbEntry& e) const {
            return std::hash<uint64_t>()(e.mfn * 0x9e3779b97f4a7c15 ^ e.va ^ uint64_t{e.writable} << 60 ^
                                         static_cast<uint64_t>(e.kind) << 56 ^ uint64_t{e.owner} << 40);
        }
    };
    std::unordered_set<TlbEntry, Hash> entries_;

public:
    /// Held while a CPU walks, so that a flush that another CPU asked for waits for the walk's end, as on hardware.
    std::mutex lock;

    void add(const TlbEntry& e) { entries_.insert(e); }
    void clear() { entries_.clear(); }
    /// INVLPG: the page's translation, and all structure entries (of those that have an address at all).
    void drop_page(uint64_t va) {
        std::erase_if(entries_, [va](const TlbEntry& e) {
            return e.va != TlbEntry::any_address && (e.va == va || e.kind != Cached::page);
        });
    }
    const auto& entries() const { return entries_; }
    /// What is cached of this kind for the page at `va`; null: nothing.
    const TlbEntry* find(uint64_t va, Cached kind, bool dirty) const {
        for (const TlbEntry& e : entries_)
            if (e.va == va && e.kind == kind && e.dirty >= dirty) return &e;
        return nullptr;
    }
};

Tlb& tlb_of(unsigned cpu);
/// Which table's mirror a page of the hypervisor's is, and walked as what; 0: it is none.
uint64_t mirror_at(uint64_t mfn);

}  // namespace hv::host::mmu
