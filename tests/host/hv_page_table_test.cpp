// SPDX-License-Identifier: Apache-2.0
// link: hvcore
// Page tables of PV guests: what a hostile one may not do with them, and what each change costs.
#include "hypervisor/guest/pv/pt_update.hpp"

#include "abi/xen/basic.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/grant/guest_map.hpp"
#include "hypervisor/hypercall/handlers.hpp"
#include "tests/host/hv_calls.hpp"

namespace {

using namespace hvtest;

constexpr uint64_t table_bits = pte::present | pte::rw | pte::user | pte::accessed | pte::dirty;
constexpr uint64_t data_bits = table_bits | pte::nx;

uint64_t& entry(Mfn table, unsigned i) { return map_mfn<uint64_t>(table)[i]; }
uint64_t entry_of(Mfn m, uint64_t bits) { return m.address() | bits; }

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

struct PageTables : testing::Test {
    PageTables() { control_domain(); }
    Resources before;
};

TEST_F(PageTables, AnAddressFindsItsSlot) {
    PagedGuest g(1);
    EXPECT_EQ(find_l1_slot(g.l4, 0), &entry(g.l1, 0));
    EXPECT_EQ(find_l1_slot(g.l4, 0x7000), &entry(g.l1, 7));
    EXPECT_EQ(find_l1_slot(g.l4, uint64_t{1} << 30), nullptr);
}

// The root also holds the hypervisor's slots: one of them leads to the guest's descriptor window, others to the image and
// the direct map. A guest that could name them would own the machine.
TEST_F(PageTables, TheHypervisorsPartHasNoSlots) {
    PagedGuest g(1);
    ASSERT_TRUE(entry(g.l4, l4_slot_perdomain) & pte::present);
    for (unsigned slot = l4_slot_m2p; slot < l4_slot_end; ++slot)
        EXPECT_EQ(find_l1_slot(g.l4, 0xffff'0000'0000'0000 | uint64_t{slot} << 39), nullptr) << slot;
    EXPECT_EQ(find_l1_slot(g.l4, gdt_va(VcpuId(0))), nullptr);
    // The same slot by an address that is none.
    EXPECT_EQ(find_l1_slot(g.l4, gdt_va(VcpuId(0)) & 0x0000'ffff'ffff'ffff), nullptr);

    const uint64_t window = entry_of(g.data, data_bits);
    EXPECT_FALSE(hypercall(hypercall_update_va_mapping, g.vcpu(), gdt_va(VcpuId(0)), window, 0));
    EXPECT_EQ(g.vcpu().pv->descriptor_l1[0], 0u);
    EXPECT_FALSE(pv_map_grant(g.vcpu(), gdt_va(VcpuId(0)), g.data, Access::read_write, false, false, 0));
    EXPECT_EQ(g.vcpu().pv->descriptor_l1[0], 0u);
}

}  // namespace
