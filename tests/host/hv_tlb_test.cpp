// SPDX-License-Identifier: Apache-2.0
// link: hvmodel
// Guests whose memory is their own frames, on CPUs that remember: what may be cached never leads where it must not. Each
// property is also seen to fail when the flush it needs is left out.
#include "tests/machine/mmu.hpp"

#include <gtest/gtest.h>

#include "abi/xen/grant_table.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/grant/grant.hpp"
#include "hypervisor/guest/pv/pt_update.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/guest/pv/types.hpp"
#include "hypervisor/hypercall/table.hpp"
#include "tests/machine/host.hpp"
#include "tests/model/guest.hpp"

namespace {

using namespace hvmodel;
namespace mmu = host::mmu;

constexpr unsigned test_cpus = 4;
constexpr uint64_t data_bits = pte::present | pte::rw | pte::user;

struct TlbTest : testing::Test {
    TlbTest() {
        static const bool once = [] {
            host::power_on(test_cpus, 8192);
            return true;
        }();
        (void)once;
        host::become(0);
        host::guest_memory(host::GuestMemory::page_tables);
        mmu::reset();
    }
    ~TlbTest() override {
        mmu::ignore_flushes(false);
        mmu::cache_eagerly(false);
        for (unsigned c = 0; c < test_cpus; ++c) {
            host::become(c);
            run_idle_here();
        }
        host::become(0);
    }
};

/// Two guests and the control domain; guest 1 runs on CPU 1, guest 2 on CPU 2, the control domain on CPU 3.
struct Three : TlbTest {
    RealGuest control{0, 1, 32};
    RealGuest one{1, 2, 32}, two{2, 1, 32};
    Three() {
        on(one.vcpu(), 1);
        on(two.vcpu(), 2);
        on(control.vcpu(), 3);
        host::become(1);
    }
    static void on(Vcpu& v, unsigned cpu) {
        host::become(cpu);
        run_here(v);
    }
    static int64_t call(Handler h, uint64_t a0, uint64_t a1 = 0, uint64_t a2 = 0, uint64_t a3 = 0) {
        Vcpu& v = current();
        const uint64_t in[6] = {a0, a1, a2, a3, 0, 0};
        for (;;) {
            std::memcpy(v.hypercall.args, in, sizeof in);
            const auto r = h(v, v.hypercall.args);
            if (r) return static_cast<int64_t>(r.value());
            if (r.error() != Errc::restart) return -static_cast<int64_t>(r.error());
        }
    }
    static int64_t map(uint64_t va, uint64_t value) {
        return call(hypercall_handler(xen::HYPERVISOR_update_va_mapping), va, value);
    }
    /// Puts an object at the start of the n-th data page of the guest that runs here.
    template <class T>
    static uint64_t put(unsigned n, const T& what) {
        EXPECT_TRUE(arch::copy_to_guest(RealGuest::data_address(n), &what, sizeof what));
        return RealGuest::data_address(n);
    }
};

TEST_F(Three, AGuestsMemoryIsItsFrames) {
    const uint64_t at = RealGuest::data_address(3) + page_size - 4;
    const uint64_t value = 0x1122334455667788;
    ASSERT_TRUE(arch::copy_to_guest(at, &value, sizeof value));
    EXPECT_EQ(*(map_mfn<uint32_t>(one.data[3]) + 1023), 0x55667788u);
    EXPECT_EQ(*map_mfn<uint32_t>(one.data[4]), 0x11223344u);
    uint64_t back = 0;
    EXPECT_TRUE(arch::load_from_guest(back, at));
    EXPECT_EQ(back, value);
    EXPECT_FALSE(arch::store_to_guest(linear_address(0), value)) << "a page table";
    EXPECT_TRUE(arch::load_from_guest(back, linear_address(0)));
    EXPECT_FALSE(arch::load_from_guest(back, scratch_base));
    EXPECT_FALSE(arch::load_from_guest(back, 0xffff'8300'0000'1000)) << "the direct map";
    EXPECT_FALSE(arch::load_from_guest(back, gdt_va(VcpuId(0))));
    EXPECT_FALSE(arch::load_from_guest(back, ~uint64_t{0} - 3)) << "past the end";
    EXPECT_EQ(mmu::check(), "");
    // Each in its own address space.
    host::become(2);
    EXPECT_TRUE(arch::load_from_guest(back, at));
    EXPECT_EQ(back, 0u);
    host::become(0);
    EXPECT_FALSE(arch::load_from_guest(back, at)) << "nobody runs here";
}

TEST_F(Three, AnAccessSetsItsBitsAndIsRemembered) {
    uint64_t* const slot = map_mfn<uint64_t>(one.scratch_l1);
    ASSERT_EQ(map(scratch_base, one.data[0].address() | data_bits), 0);
    EXPECT_EQ(*slot & (pte::accessed | pte::dirty), 0u);
    EXPECT_TRUE(mmu::touch(1, scratch_base + 8, false));
    EXPECT_EQ(*slot & (pte::accessed | pte::dirty), pte::accessed);
    EXPECT_TRUE(mmu::touch(1, scratch_base, true));
    EXPECT_EQ(*slot & (pte::accessed | pte::dirty), pte::accessed | pte::dirty);
    EXPECT_EQ(mmu::check(), "");
}

/// A page was written through a mapping that is gone, but only from the table: it must not become a page table before
/// the CPU has forgotten.
struct TypeChange : Three {
    std::string make_table(bool touch_first) {
        const Mfn m = one.data[5];
        EXPECT_EQ(map(scratch_base, m.address() | data_bits), 0);
        EXPECT_EQ(mmu::check(), "");
        if (touch_first) { EXPECT_TRUE(mmu::touch(1, scratch_base, true)); }
        EXPECT_EQ(map(scratch_base, 0), 0);
        EXPECT_EQ(map(RealGuest::data_address(5), m.address() | pte::present | pte::user), 0);
        EXPECT_EQ(mmu::check(), "") << "it is an ordinary page still";
        EXPECT_TRUE(pin_table(one, m, PageType::l1));
        return mmu::check();
    }
};

TEST_F(TypeChange, FlushesFirst) { EXPECT_EQ(make_table(true), ""); }
TEST_F(TypeChange, FlushesFirstWhateverWasCached) {
    mmu::cache_eagerly(true);
    EXPECT_EQ(make_table(false), "");
}
TEST_F(TypeChange, WithoutTheFlushIsFound) {
    mmu::ignore_flushes(true);
    EXPECT_NE(make_table(true), "");
}
TEST_F(TypeChange, WithoutTheFlushIsFoundWhateverWasCached) {
    mmu::cache_eagerly(true);
    mmu::ignore_flushes(true);
    EXPECT_NE(make_table(false), "");
}

/// The other way: a page table that no entry names any more becomes an ordinary page.
struct TableDropped : Three {
    std::string drop() {
        const Mfn l1 = one.data[6];
        EXPECT_EQ(map(RealGuest::data_address(6), l1.address() | pte::present | pte::user), 0);
        const auto link = [&](uint64_t value) {
            const xen::MmuUpdate u{(one.l2.address() + 2 * 8) | xen::MMU_NORMAL_PT_UPDATE, value};
            return call(hypercall_handler(xen::HYPERVISOR_mmu_update), put(0, u), 1, 0, xen::DOMID_SELF);
        };
        EXPECT_EQ(link(l1.address() | data_bits), 0);
        mmu::cache_everything(1);
        EXPECT_EQ(link(0), 0);
        EXPECT_EQ(mmu::check(), "");
        EXPECT_EQ(map(RealGuest::data_address(6), l1.address() | data_bits), 0) << "writable now";
        return mmu::check();
    }
};
TEST_F(TableDropped, FlushesFirst) { EXPECT_EQ(drop(), ""); }
TEST_F(TableDropped, WithoutTheFlushIsFound) {
    mmu::ignore_flushes(true);
    EXPECT_NE(drop(), "");
}

/// A page that its guest gives back while a CPU still has it cached goes to another domain.
struct OwnerChange : Three {
    std::string give_away() {
        const Mfn m = one.data[7];
        EXPECT_TRUE(mmu::touch(1, RealGuest::data_address(7), true));
        EXPECT_EQ(map(RealGuest::data_address(7), 0), 0);
        EXPECT_TRUE(domain_release_page(page_of(m)));
        EXPECT_EQ(page_of(m).owner.load(), no_owner);
        EXPECT_EQ(mmu::check(), "") << "while it is free it may be cached";
        // Until it is the other's.
        for (unsigned n = 0; n < 8192 && page_of(m).owner.load() != two->id.raw; ++n) {
            two->max_pages = ~0u;
            EXPECT_TRUE(domain_alloc_pages(two, 0, 64));
        }
        EXPECT_EQ(page_of(m).owner.load(), two->id.raw);
        return mmu::check();
    }
};
TEST_F(OwnerChange, FlushesFirst) { EXPECT_EQ(give_away(), ""); }
TEST_F(OwnerChange, WithoutTheFlushIsFound) {
    mmu::ignore_flushes(true);
    EXPECT_NE(give_away(), "");
}

/// A grant is given back only when nobody can write to it any more.
struct GrantEnds : Three {
    std::string unmap() {
        Mfn frame = must(get_grant_frame(one, 0));
        auto& e = map_mfn<xen::GrantEntryV1>(frame)[8];
        e.domid = two->id.raw;
        e.frame = static_cast<uint32_t>(one.data[1].raw);
        __atomic_store_n(&e.flags, uint16_t{xen::GTF_permit_access}, __ATOMIC_RELEASE);

        host::become(2);
        auto m = xen::zeroed<xen::GnttabMapGrantRef>();
        m.host_addr = scratch_base;
        m.flags = xen::GNTMAP_host_map;
        m.ref = 8;
        m.dom = one->id.raw;
        EXPECT_EQ(call(hypercall_handler(xen::HYPERVISOR_grant_table_op), xen::GNTTABOP_map_grant_ref, put(0, m), 1), 0);
        EXPECT_TRUE(arch::copy_from_guest(&m, RealGuest::data_address(0), sizeof m));
        EXPECT_EQ(m.status, xen::GNTST_okay);
        mmu::cache_everything(2);
        EXPECT_EQ(mmu::check(), "") << "as long as it is granted";

        auto u = xen::zeroed<xen::GnttabUnmapGrantRef>();
        u.host_addr = scratch_base;
        u.handle = m.handle;
        EXPECT_EQ(call(hypercall_handler(xen::HYPERVISOR_grant_table_op), xen::GNTTABOP_unmap_grant_ref, put(0, u), 1), 0);
        EXPECT_TRUE(arch::copy_from_guest(&u, RealGuest::data_address(0), sizeof u));
        EXPECT_EQ(u.status, xen::GNTST_okay);
        return mmu::check();
    }
};
TEST_F(GrantEnds, FlushesFirst) { EXPECT_EQ(unmap(), ""); }
TEST_F(GrantEnds, WithoutTheFlushIsFound) {
    mmu::ignore_flushes(true);
    EXPECT_NE(unmap(), "");
}

/// A page of descriptors becomes writable: no CPU may read descriptors from it any more.
struct GdtReplaced : Three {
    std::string replace() {
        const Mfn m = one.data[9];
        EXPECT_EQ(map(RealGuest::data_address(9), m.address() | pte::present | pte::user), 0);
        EXPECT_EQ(call(hypercall_handler(xen::HYPERVISOR_set_gdt), put(0, m.raw), 512), 0);
        mmu::cache_everything(1);
        EXPECT_EQ(mmu::check(), "");
        EXPECT_EQ(call(hypercall_handler(xen::HYPERVISOR_set_gdt), 0, 0), 0);
        EXPECT_EQ(map(RealGuest::data_address(9), m.address() | data_bits), 0);
        return mmu::check();
    }
};
TEST_F(GdtReplaced, FlushesFirst) { EXPECT_EQ(replace(), ""); }
TEST_F(GdtReplaced, WithoutTheFlushIsFound) {
    mmu::ignore_flushes(true);
    EXPECT_NE(replace(), "");
}

// The control domain maps a guest's page and takes it out without a flush, as it may. The guest makes a table of it.
TEST_F(Three, TheControlDomainsCpusFlushToo) {
    host::become(3);
    const Mfn m = one.data[2];
    const auto foreign = [&](uint64_t value) {
        const xen::MmuUpdate u{control.scratch_l1.address() | xen::MMU_NORMAL_PT_UPDATE, value};
        return call(hypercall_handler(xen::HYPERVISOR_mmu_update), put(0, u), 1, 0, one->id.raw);
    };
    ASSERT_EQ(foreign(m.address() | data_bits), 0);
    mmu::cache_everything(3);
    EXPECT_EQ(mmu::check(), "");
    ASSERT_EQ(foreign(0), 0);
    host::become(1);
    ASSERT_EQ(map(RealGuest::data_address(2), m.address() | pte::present | pte::user), 0);
    ASSERT_TRUE(pin_table(one, m, PageType::l2));
    EXPECT_EQ(mmu::check(), "");
}

// A switch forgets, and a CPU without a guest has nothing to forget.
TEST_F(Three, AnIdleCpuHasNothingCached) {
    mmu::cache_everything(1);
    const uint64_t flushes = host::record(1).tlb_flushes.load();
    host::become(1);
    run_idle_here();
    EXPECT_FALSE(one->dirty_cpus.test(1));
    host::become(0);
    arch::flush_tlb(online_cpus());
    EXPECT_EQ(host::record(1).tlb_flushes.load(), flushes);
    mmu::ignore_flushes(true);
    one.end();
    EXPECT_EQ(mmu::check(), "");
}

}  // namespace
