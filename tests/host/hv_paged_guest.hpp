// SPDX-License-Identifier: Apache-2.0
/// A guest with page tables of its own, for tests of what it may do with them.
#pragma once

#include "abi/xen/arch_x86.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/guest/pv/pt_update.hpp"
#include "tests/host/hv_calls.hpp"

namespace hvtest {

inline constexpr uint64_t table_bits = pte::present | pte::rw | pte::user | pte::accessed | pte::dirty;
inline constexpr uint64_t data_bits = table_bits | pte::nx;

inline uint64_t& entry(Mfn table, unsigned i) { return map_mfn<uint64_t>(table)[i]; }
inline uint64_t entry_of(Mfn m, uint64_t bits) { return m.address() | bits; }

/// A guest whose vCPU 0 has an address space: `data` is mapped writable at address 0.
struct PagedGuest : Guest {
    Mfn l4, l3, l2, l1, data;
    explicit PagedGuest(uint16_t id, unsigned vcpus = 1)
        : Guest(id, vcpus), l4(page()), l3(page()), l2(page()), l1(page()), data(page()) {
        entry(l1, 0) = entry_of(data, data_bits);
        entry(l2, 0) = entry_of(l1, table_bits);
        entry(l3, 0) = entry_of(l2, table_bits);
        entry(l4, 0) = entry_of(l3, table_bits);
        EXPECT_TRUE(set_kernel_root(vcpu(), l4));
        host::become(1);
        this_cpu().current = &vcpu();
    }
    ~PagedGuest() {
        this_cpu().current = this_cpu().idle;
        host::become(0);
    }
    PageInfo& info(Mfn m) { return page_of(m); }
};

/// The context a guest gives its second vCPU.
struct Context : xen::VcpuGuestContext {
    explicit Context(const PagedGuest& g) : xen::VcpuGuestContext(xen::zeroed<xen::VcpuGuestContext>()) {
        flags = xen::VGCF_in_kernel;
        ctrlreg[3] = xen::xen_pfn_to_cr3(g.l4.raw);
    }
};

}  // namespace hvtest
