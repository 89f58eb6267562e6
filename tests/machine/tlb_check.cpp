// SPDX-License-Identifier: Apache-2.0
/// The property of everything cached: see mmu::check().
#include <cstdio>

#include "abi/xen/basic.hpp"
#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/domain/domain.hpp"
#include "hypervisor/grant/grant.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/guest/pv/types.hpp"
#include "hypervisor/mm/heap.hpp"
#include "tests/machine/mmu.hpp"
#include "tests/machine/tlb.hpp"

namespace hv::host::mmu {
namespace {

/// A frame's PageInfo, read once.
struct Frame {
    uint64_t type_word;
    uint64_t references;
    uint16_t owner;

    explicit Frame(const PageInfo& p)
        : type_word(p.type.load()), references(p.count.load() & page::count_mask), owner(p.owner.load()) {}
    bool in_use() const { return (type_word & page::users_mask) != 0; }
    PageType type() const { return type_of(type_word); }
    bool is_any_table() const { return is_table(type()) || type() == PageType::segdesc; }
};

/// The buddy allocator marks the first frame of each free block.
bool is_free(uint64_t mfn) {
    if (frame_table[mfn].count.load() == page::is_free && frame_table[mfn].order == apart) return true;
    for (unsigned order = 0; order <= max_order; ++order) {
        const PageInfo& first = frame_table[mfn & ~((uint64_t{1} << order) - 1)];
        if (first.count.load() == page::is_free && first.order == order) return true;
    }
    return false;
}

/// Does `user` hold a grant of `owner` on this frame now, for writing if it writes?
bool granted(Domain& owner, uint16_t user, const TlbEntry& e) {
    if (!owner.grants) return false;
    GrantTable& t = *owner.grants;
    Guard g(t.lock);
    for (uint32_t f = 0; f < t.frames; ++f)
        for (unsigned i = 0; i < GrantTable::active_per_frame; ++i) {
            const ActiveGrant& a = t.active[f][i];
            if ((a.writers || (a.readers && !e.writable)) && a.frame == e.mfn && a.domid == user) return true;
        }
    return false;
}

const char* owner_changed(const TlbEntry& e, const Frame& now) {
    if (now.owner == e.owner) return nullptr;
    if (now.owner == no_owner) return is_free(e.mfn) ? nullptr : "a frame that the hypervisor has taken for itself";
    // A shared page of a domain that has ended: who mapped it keeps it alive.
    if (now.owner == xen::DOMID_XEN && now.references > 0) return nullptr;
    return "a page that has changed its owner";
}

const char* wrong_use(const TlbEntry& e, const Frame& now) {
    if (!now.in_use()) return nullptr;
    switch (e.kind) {
        case Cached::page: return e.writable && now.is_any_table() ? "a table, writable" : nullptr;
        case Cached::descriptors: return now.type() != PageType::segdesc ? "a descriptor table that is none any more" : nullptr;
        default: {
            const auto level = static_cast<unsigned>(e.kind);
            const auto is = static_cast<unsigned>(now.type());
            if (is == level) return nullptr;
            // A read-only linear page table shows tables one level up or more to whoever walks through it.
            if (!e.writable && is_table(now.type()) && is > level) return nullptr;
            return "a page table that is none, or one of another level";
        }
    }
}

const char* foreign(const TlbEntry& e) {
    if (e.owner == e.domain || e.owner == no_owner || e.owner == xen::DOMID_IO) return nullptr;
    if (e.kind != Cached::page) return "another domain's page, as a table";
    if (dom0 && e.domain == dom0->id.raw) return nullptr;
    const DomainRef owner = lookup_domain(DomId(e.owner));
    return owner && granted(*owner, e.domain, e) ? nullptr : "another domain's page, without a grant";
}

/// Its table may be let go of, and it be nobody's: that is as it was, and empty.
bool another_mirror(const TlbEntry& e) {
    const uint64_t now = mirror_at(e.mfn);
    return e.mirrored && now && now != e.mirrored;
}

const char* wrong(const TlbEntry& e) {
    if (another_mirror(e)) return "a mirror of another table by now";
    const Frame now(frame_table[e.mfn]);
    if (const char* why = owner_changed(e, now)) return why;
    if (now.owner == no_owner) return nullptr;  // free: the allocator flushes before it gives it away
    if (const char* why = wrong_use(e, now)) return why;
    return foreign(e);
}

std::string describe(unsigned cpu, const TlbEntry& e, const char* why) {
    char text[256];
    std::snprintf(text, sizeof text, "CPU %u has cached for d%u, as %s%s: %s (frame %lx, type word %lx, owner d%u, was d%u's)",
                  cpu, e.domain,
                  e.kind == Cached::page          ? "a page"
                  : e.kind == Cached::descriptors ? "descriptors"
                                                  : "a table of level ",
                  e.kind == Cached::table_l1   ? "1"
                  : e.kind == Cached::table_l2 ? "2"
                  : e.kind == Cached::table_l3 ? "3"
                                               : "",
                  why, static_cast<unsigned long>(e.mfn), static_cast<unsigned long>(frame_table[e.mfn].type.load()),
                  frame_table[e.mfn].owner.load(), e.owner);
    return text;
}

/// A loaded root is a validated L4 of the domain that runs.
std::string check_root(unsigned cpu) {
    const uint64_t cr3 = __atomic_load_n(&cpus[cpu].loaded_cr3, __ATOMIC_SEQ_CST);
    if (cr3 == idle_cr3()) return {};
    // A mirror of a root stands for it.
    const PvVcpu& pv = *cpus[cpu].current->pv;
    const uint64_t loaded = cr3 >> page_shift;
    const uint64_t meant = loaded == pv.kernel_cr3.raw ? pv.kernel_root.raw
                           : loaded == pv.user_cr3.raw ? pv.user_root.raw
                                                       : loaded;
    const Frame now(frame_table[meant]);
    if (now.in_use() && now.type() == PageType::l4 && (now.type_word & page::validated) &&
        now.owner == cpus[cpu].current->domain.id.raw)
        return {};
    char text[128];
    std::snprintf(text, sizeof text, "CPU %u has loaded a root that is none: frame %lx, type word %lx, owner d%u", cpu,
                  static_cast<unsigned long>(cr3 >> page_shift), static_cast<unsigned long>(now.type_word), now.owner);
    return text;
}

}  // namespace

uint64_t mirror_at(uint64_t mfn) {
    const PageInfo& p = frame_table[mfn];
    constexpr uint8_t level = 7;
    if (p.owner.load() != no_owner || !(p.progress_flags & level)) return 0;
    return static_cast<uint64_t>(p.progress_flags & level) << 32 | p.stamp.load();
}

std::string check() {
    for (unsigned cpu = 0; cpu < cpu_count; ++cpu) {
        if (std::string s = check_root(cpu); !s.empty()) return s;
        long_operation(cpu);
        std::lock_guard held(tlb_of(cpu).lock);
        for (const TlbEntry& e : tlb_of(cpu).entries())
            if (const char* why = wrong(e)) return describe(cpu, e, why);
    }
    return {};
}

}  // namespace hv::host::mmu
