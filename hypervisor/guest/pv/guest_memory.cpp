// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/guest/pv/guest_memory.hpp"

#include <algorithm>
#include <cstring>

#include "abi/xen/basic.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/guest/pv/kind.hpp"
#include "hypervisor/guest/pv/types.hpp"
#include "hypervisor/mm/dirty.hpp"
#include "hypervisor/sync/spinlock.hpp"
#include "lib/base/bits.hpp"
#include "lib/base/radix.hpp"

namespace hv {

Mapping find_mapping(Mfn root, uint64_t va) {
    if (root.raw == 0 || !base::canonical(va)) return {};
    Mapping m;
    m.writable = true;
    const auto ours = [&](base::radix::Place at, uint64_t e) {
        const PageType t = type_of(page_of(Mfn::of_address(at.slot)).type.load(std::memory_order_acquire));
        m.in_l1 = t == PageType::l1;
        m.writable = m.writable && (e & pte::rw);
        return t == PageType::l4 && is_hypervisor_slot(base::radix::index_of(va, at.level));
    };
    const auto end = base::radix::descend(MappedTables{}, root.address(), 4, 1, va,
                                          [&](base::radix::Place at, uint64_t e) { return !ours(at, e) && (e & pte::present); });
    if (end.level != 1 || ours(end, MappedTables::read(end.slot))) return {};
    m.slot = MappedTables::entry(end.slot);
    return m;
}

void keep_clear_of_linear_l4s(Domain& d) {
    if (d.pv->linear_l4.load(std::memory_order_relaxed)) return;
    arch::walk_for_copies();
    d.pv->linear_l4.store(true, std::memory_order_seq_cst);
    // A CPU answers between its copies, and each copy that begins afterwards sees the flag.
    arch::flush_tlb(d.dirty_cpus.load_behind_writes());
}

namespace {

bool is_memory(Mfn m) { return mfn_valid(m) && page_of(m).owner.load(std::memory_order_relaxed) != xen::DOMID_IO; }

/// Where `gva` lies, for reading or for writing; null: the guest's own access would fault.
uint8_t* reach(const Vcpu& v, uint64_t gva, bool to_write) {
    const Mapping m = find_mapping(Mfn(v.pv->root()), gva);
    const uint64_t e = m.entry();
    if (!(e & pte::present) || (to_write && !m.writable)) return nullptr;
    const Mfn frame = Mfn::of_address(e & pte::frame_mask);
    if (!is_memory(frame)) return nullptr;
    if (m.in_l1) {
        __atomic_fetch_or(m.slot, pte::accessed | (to_write ? pte::dirty : 0), __ATOMIC_RELAXED);
        dirtied(m.slot);
    }
    return map_mfn<uint8_t>(frame) + (gva & (page_size - 1));
}

/// Words stay whole, as they do in the CPU's own access.
void move(void* to, const void* from, size_t n) {
    const auto aligned = [](const void* p, size_t to_bytes) { return (reinterpret_cast<uint64_t>(p) & (to_bytes - 1)) == 0; };
    if (n == 8 && aligned(to, 8) && aligned(from, 8)) {
        __atomic_store_n(static_cast<uint64_t*>(to), __atomic_load_n(static_cast<const uint64_t*>(from), __ATOMIC_RELAXED),
                         __ATOMIC_RELEASE);
    } else if (n == 4 && aligned(to, 4) && aligned(from, 4)) {
        __atomic_store_n(static_cast<uint32_t*>(to), __atomic_load_n(static_cast<const uint32_t*>(from), __ATOMIC_RELAXED),
                         __ATOMIC_RELEASE);
    } else {
        memcpy(to, from, n);
    }
}

/// Does `piece` for the part in each page, with the page held where it is.
template <class F>
arch::Walked by_pages(const Vcpu& v, uint64_t gva, size_t n, bool to_write, F piece) {
    if (!v.domain.pv->linear_l4.load(std::memory_order_seq_cst)) return arch::Walked::not_needed;
    for (size_t done = 0; done < n;) {
        const size_t part = std::min<size_t>(n - done, page_size - ((gva + done) & (page_size - 1)));
        Guard g(v.domain.pv->lock);
        uint8_t* at = reach(v, gva + done, to_write);
        if (!at) return arch::Walked::fault;
        piece(at, done, part);
        if (to_write) dirtied(at);
        done += part;
    }
    return arch::Walked::done;
}

}  // namespace

arch::Walked pv_read_walked(const Vcpu& v, void* dst, uint64_t gva, size_t n) {
    return by_pages(v, gva, n, false,
                    [&](uint8_t* at, size_t done, size_t part) { move(static_cast<uint8_t*>(dst) + done, at, part); });
}

arch::Walked pv_write_walked(const Vcpu& v, uint64_t gva, const void* src, size_t n) {
    return by_pages(v, gva, n, true, [&](uint8_t* at, size_t done, size_t part) {
        if (src) move(at, static_cast<const uint8_t*>(src) + done, part);
        else memset(at, 0, part);
    });
}

}  // namespace hv
