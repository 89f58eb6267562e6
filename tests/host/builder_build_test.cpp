// SPDX-License-Identifier: Apache-2.0
// link: builder parse
// A whole build against a small fake hypervisor: what the new domain finds in its memory, and that a failure of any
// single step leaves nothing behind.
#include <gtest/gtest.h>

#include "abi/xen/basic.hpp"
#include "tests/host/fake_xen.hpp"
#include "tests/host/test_kernel.hpp"
#include "toolstack/builder/builder.hpp"
#include "toolstack/builder/tables.hpp"

namespace {

using namespace testing_tools;
using base::Unit;
using builder::BuildInput;
using builder::Plan;

class FakeStore final : public builder::StoreIntroduce {
public:
    Outcome<> introduce(DomId, base::Mfn, base::Port) override {
        if (refuse) return base::fail(Errc::io, "store is away");
        ++introduced;
        return Unit{};
    }
    void release(DomId) noexcept override { --introduced; }
    bool refuse = false;
    int introduced = 0;
};

Plan make_plan(const KernelShape& shape = {}, size_t ramdisk = 20'000, uint64_t mib = 32) {
    BuildInput in;
    in.memory_kib = mib << 10;
    in.max_memory_kib = 64 << 10;
    in.vcpus = 2;
    in.command_line = "console=hvc0 quiet";
    in.uuid[0] = 0xab;
    auto i = std::make_shared<builder::Images>();
    i->kernel_path = "/k";
    i->kernel = std::make_shared<const std::vector<std::byte>>(make_kernel(shape));
    auto r = std::make_shared<std::vector<std::byte>>(ramdisk);
    for (size_t k = 0; k < ramdisk; ++k) (*r)[k] = pattern(k + 7);
    i->ramdisk = r;
    return builder::plan(in, i).take();
}

/// The new domain as its vCPU will see it.
class Guest {
public:
    Guest(const FakeXen& xen, const FakeDomain& domain) : xen_(xen), domain_(domain) {
        for (const auto& [mfn, pfn] : domain.mfn_to_pfn) pfn_to_mfn_[pfn] = mfn;
    }
    /// The entry that maps `virt`, by walking as the processor does; 0 when a level is missing.
    uint64_t walk(uint64_t virt) const {
        uint64_t table = domain_.context->ctrlreg[3] >> 12, entry = 0;
        for (int shift = 39; shift >= 12; shift -= 9) {
            entry = xen_.page(table)[(virt >> shift) & 511];
            if ((entry & 1) == 0) return 0;
            table = frame(entry);
        }
        return entry;
    }
    static uint64_t frame(uint64_t entry) { return (entry & 0x000f'ffff'ffff'f000) >> 12; }
    std::vector<std::byte> bytes(uint64_t pfn, uint64_t pages) const {
        std::vector<std::byte> all;
        for (uint64_t i = 0; i < pages; ++i) {
            const auto words = xen_.page(pfn_to_mfn_.at(pfn + i));
            const auto* b = reinterpret_cast<const std::byte*>(words.data());
            all.insert(all.end(), b, b + base::page_size);
        }
        return all;
    }
    uint64_t mfn(uint64_t pfn) const { return pfn_to_mfn_.at(pfn); }

private:
    const FakeXen& xen_;
    const FakeDomain& domain_;
    std::map<uint64_t, uint64_t> pfn_to_mfn_;
};

void check_mappings(const Plan& plan, const Guest& guest) {
    std::set<uint64_t> tables;
    for (const auto& t : plan.layout.table_pages) tables.insert(guest.mfn(t.pfn));
    for (const auto& range : plan.layout.mapped)
        for (uint64_t i = 0; i < range.frames.pages; i += 7) {
            const uint64_t entry = guest.walk(range.virt + i * 4096);
            ASSERT_EQ(Guest::frame(entry), guest.mfn(range.frames.first + i)) << std::hex << range.virt + i * 4096;
            ASSERT_NE(entry & builder::pte_user, 0U);  // a PV kernel runs in ring 3
            ASSERT_EQ((entry & builder::pte_write) == 0, tables.contains(Guest::frame(entry)));
        }
    for (uint64_t pfn = plan.layout.tables.first; pfn < plan.layout.tables.end(); ++pfn)
        ASSERT_EQ(guest.walk(plan.layout.virt_base + pfn * 4096) & builder::pte_write, 0U);
    EXPECT_EQ(guest.walk(plan.layout.mapped_end), 0U);
    EXPECT_EQ(guest.walk(plan.layout.virt_base - 4096), 0U);
}

void check_image(const Plan& plan, const Guest& guest, const KernelShape& shape) {
    const auto k = guest.bytes(plan.layout.kernel.first, plan.layout.kernel.pages);
    const uint64_t data = shape.text_size + shape.gap;
    for (uint64_t i = 0; i < k.size(); ++i) {
        std::byte expected{0};
        if (i < shape.text_size) expected = pattern(i);
        if (i >= data && i < data + shape.data_size) expected = pattern(i - data);
        ASSERT_EQ(k[i], expected) << "kernel byte " << i;
    }
    const auto r = guest.bytes(plan.layout.ramdisk.first, plan.layout.ramdisk.pages);
    for (uint64_t i = 0; i < r.size(); ++i) ASSERT_EQ(r[i], i < plan.images->ramdisk->size() ? pattern(i + 7) : std::byte{0});
    for (const uint64_t page : {plan.layout.store, plan.layout.console, plan.layout.stack})
        for (const std::byte b : guest.bytes(page, 1)) ASSERT_EQ(b, std::byte{0});
    const auto list = guest.bytes(plan.layout.p2m.first, base::Pages::covering(plan.pages * 8).n);
    for (uint64_t pfn = 0; pfn < plan.pages; ++pfn) {
        uint64_t entry = 0;
        std::memcpy(&entry, list.data() + pfn * 8, 8);
        ASSERT_EQ(entry, guest.mfn(pfn));
    }
}

xen::StartInfo start_info(const Plan& plan, const Guest& guest) {
    xen::StartInfo s;
    std::memcpy(&s, guest.bytes(plan.layout.start_info, 1).data(), sizeof s);
    return s;
}

void check_build(const KernelShape& shape, bool large) {
    FakeXen xen;
    xen.no_large_extents = !large;
    xenctrl::Control control(xen);
    FakeStore store;
    const Plan plan = make_plan(shape);
    auto built = builder::build(control, store, plan);
    ASSERT_TRUE(built) << built.failure().text;
    ASSERT_EQ(xen.domains.size(), 1U);
    const FakeDomain& d = xen.domains.begin()->second;
    const Guest guest(xen, d);
    const auto& l = plan.layout;
    check_mappings(plan, guest);
    check_image(plan, guest, shape);
    EXPECT_TRUE(d.paused);
    EXPECT_EQ(d.max_vcpus, 2U);
    EXPECT_EQ(d.made_vcpus, 2U);
    EXPECT_EQ(d.max_kib, (64U << 10) + 1024);
    EXPECT_EQ(d.claim, 0U);
    EXPECT_EQ(d.handle.bytes[0], 0xab);
    EXPECT_EQ(d.pinned, guest.mfn(l.tables.first));
    EXPECT_EQ(d.hypercall_page, guest.mfn(*l.hypercall_page));
    EXPECT_EQ(xen.mappings, 0U);
    EXPECT_EQ(xen.buffers, 0U);
    EXPECT_EQ(store.introduced, 1);
    const auto& c = *d.context;
    EXPECT_EQ(c.user_regs.rip, l.entry);
    EXPECT_EQ(c.user_regs.rsi, l.virt_base + l.start_info * 4096);
    EXPECT_EQ(c.user_regs.rsp, l.virt_base + (l.stack + 1) * 4096);
    EXPECT_EQ(c.user_regs.cs, 0xe033);
    EXPECT_EQ(c.user_regs.ss, 0xe02b);
    EXPECT_EQ(c.flags, xen::VGCF_in_kernel | xen::VGCF_online);
    const xen::StartInfo s = start_info(plan, guest);
    EXPECT_STREQ(s.magic, "xen-3.0-x86_64");
    EXPECT_EQ(s.nr_pages, 32U << 8);
    EXPECT_EQ(s.shared_info, d.shared_info << 12);
    EXPECT_EQ(s.store_mfn, guest.mfn(l.store));
    EXPECT_EQ(s.console.domU.mfn, guest.mfn(l.console));
    EXPECT_EQ(s.store_evtchn, built->store_port.raw);
    EXPECT_EQ(s.console.domU.evtchn, built->console_port.raw);
    EXPECT_NE(s.store_evtchn, s.console.domU.evtchn);
    EXPECT_EQ(s.pt_base, l.virt_base + l.tables.first * 4096);
    EXPECT_EQ(s.mfn_list, l.p2m_virt);
    EXPECT_EQ(s.mod_len, 20'000U);
    EXPECT_EQ(s.mod_start, shape.mod_start_pfn ? l.ramdisk.first : l.virt_base + l.ramdisk.first * 4096);
    EXPECT_EQ(s.flags, shape.mod_start_pfn ? xen::SIF_MOD_START_PFN : 0U);
    EXPECT_STREQ(reinterpret_cast<const char*>(s.cmd_line), "console=hvc0 quiet");
    xen::GrantEntryV1 grants[2];
    std::memcpy(grants, xen.page(d.grant_frame).data(), sizeof grants);
    EXPECT_EQ(grants[xen::GNTTAB_RESERVED_CONSOLE].frame, guest.mfn(l.console));
    EXPECT_EQ(grants[xen::GNTTAB_RESERVED_XENSTORE].frame, guest.mfn(l.store));
    EXPECT_EQ(grants[xen::GNTTAB_RESERVED_XENSTORE].flags, xen::GTF_permit_access);
    xen::SharedInfo shared;
    std::memcpy(&shared, xen.page(d.shared_info).data(), sizeof shared);
    EXPECT_EQ(shared.vcpu_info[0].evtchn_upcall_mask, 1);
    EXPECT_EQ(shared.vcpu_info[31].evtchn_upcall_mask, 1);
    EXPECT_EQ(shared.evtchn_pending[0], 0U);
}

TEST(BuilderBuild, NewKernel) { check_build({}, true); }
TEST(BuilderBuild, OldKernelWithEverythingMapped) { check_build({.init_p2m = {}, .mod_start_pfn = false}, true); }
TEST(BuilderBuild, WithoutLargeExtents) { check_build({}, false); }
TEST(BuilderBuild, SegmentsThatDoNotStartOnAPage) { check_build({.text_size = 0x2345, .data_size = 0x1003, .gap = 0x123}, true); }

TEST(BuilderBuild, AnyFailingStepLeavesNothing) {
    const Plan plan = make_plan();
    uint64_t steps = 0;
    {
        FakeXen xen;
        xenctrl::Control control(xen);
        FakeStore store;
        ASSERT_TRUE(builder::build(control, store, plan));
        steps = xen.calls;
    }
    ASSERT_GT(steps, 20U);
    for (uint64_t n = 1; n <= steps; ++n) {
        FakeXen xen;
        xenctrl::Control control(xen);
        FakeStore store;
        const uint64_t before = xen.free_pages();
        xen.fail_call = n;
        xen.destroy_pieces = 2;
        auto built = builder::build(control, store, plan);
        // Large extents are an optimisation, but an error there is no "none left": it must not be swallowed either.
        ASSERT_FALSE(built) << "step " << n << ": " << xen.log[n - 1];
        EXPECT_FALSE(built.failure().text.empty());
        EXPECT_EQ(built.failure().text.find('\n'), std::string::npos);
        EXPECT_TRUE(xen.domains.empty()) << "step " << n << ": " << xen.log[n - 1];
        EXPECT_EQ(xen.free_pages(), before) << "step " << n << ": " << xen.log[n - 1];
        EXPECT_EQ(xen.mappings, 0U);
        EXPECT_EQ(xen.buffers, 0U);
        EXPECT_EQ(store.introduced, 0);
    }
}

TEST(BuilderBuild, AStoreThatRefusesUndoesTheDomain) {
    FakeXen xen;
    xenctrl::Control control(xen);
    FakeStore store;
    store.refuse = true;
    auto built = builder::build(control, store, make_plan());
    ASSERT_FALSE(built);
    EXPECT_EQ(built.failure().text, "store is away");
    EXPECT_TRUE(xen.domains.empty());
}

TEST(BuilderBuild, TooLittleMachineMemoryIsFoundBeforeAnythingIsMade) {
    FakeXen xen;
    xenctrl::Control control(xen);
    FakeStore store;
    BuildInput in = make_plan().input;
    in.memory_kib = in.max_memory_kib = 400 << 10;
    auto built = builder::build(control, store, builder::plan(in, make_plan().images).take());
    ASSERT_FALSE(built);
    EXPECT_EQ(built.failure().text, "Not enough free memory in the hypervisor: 409600 KiB wanted, 196604 KiB free");
    EXPECT_EQ(xen.calls, 1U);
}

class Recorder final : public builder::BuildObserver {
public:
    Outcome<> created(DomId id) override {
        seen = id.raw;
        return refuse ? Outcome<>(base::fail(Errc::io, "journal is full")) : Outcome<>(Unit{});
    }
    uint16_t seen = 0;
    bool refuse = false;
};

TEST(BuilderBuild, TheObserverHearsOfTheDomainAndMayRefuseIt) {
    FakeXen xen;
    xenctrl::Control control(xen);
    FakeStore store;
    Recorder recorder;
    ASSERT_TRUE(builder::build(control, store, make_plan(), &recorder));
    EXPECT_EQ(recorder.seen, 1U);
    recorder.refuse = true;
    EXPECT_FALSE(builder::build(control, store, make_plan(), &recorder));
    EXPECT_EQ(xen.domains.size(), 1U);
}

}  // namespace
