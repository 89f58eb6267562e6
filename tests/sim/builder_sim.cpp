// SPDX-License-Identifier: Apache-2.0
// link: xenctrl builder
// The builder against the hypervisor's own core: what it makes is accepted by the page-type rules, and when the domain
// ends everything comes back, exactly.
#include <gtest/gtest.h>

#include "abi/xen/sched.hpp"
#include "hypervisor/guest/pv/types.hpp"
#include "hypervisor/mm/heap.hpp"
#include "tests/host/test_kernel.hpp"
#include "tests/machine/host.hpp"
#include "tests/sim/backend.hpp"
#include "toolstack/builder/builder.hpp"

namespace {

using namespace testing_tools;
using base::DomId;
using base::Outcome;
using base::Unit;

class NoStore final : public builder::StoreIntroduce {
public:
    Outcome<> introduce(DomId, base::Mfn, base::Port) override {
        return refuse ? Outcome<>(base::fail(base::Errc::io, "store is away")) : Outcome<>(Unit{});
    }
    void release(DomId) noexcept override {}
    bool refuse = false;
};

class BuilderSim : public ::testing::Test {
protected:
    builder::Plan plan(uint64_t mib = 24, uint32_t vcpus = 2, const KernelShape& shape = {}) {
        builder::BuildInput in;
        in.memory_kib = mib << 10;
        in.vcpus = vcpus;
        in.command_line = "quiet";
        auto images = std::make_shared<builder::Images>();
        images->kernel_path = "/k";
        images->kernel = std::make_shared<const std::vector<std::byte>>(make_kernel(shape));
        images->ramdisk = std::make_shared<const std::vector<std::byte>>(50'000);
        return builder::plan(in, images).take();
    }
    DomId build(const builder::Plan& p) {
        auto built = builder::build(control, store, p);
        EXPECT_TRUE(built) << built.failure().text;
        return built ? built->id : DomId{0x7fff};
    }
    void TearDown() override {
        for (const auto& d : control.list().take())
            if (d.id != DomId{0}) { EXPECT_TRUE(control.destroy(d.id)); }
        machine.program = nullptr;
        EXPECT_EQ(backend.mappings(), 0U);
        EXPECT_EQ(control.list()->size(), 1U);
    }
    sim::Machine& machine = sim::Machine::instance();
    sim::SimBackend backend{machine};
    xenctrl::Control control{backend};
    NoStore store;
};

TEST_F(BuilderSim, ADomainOfThePlannedShape) {
    const auto p = plan();
    const DomId id = build(p);
    const auto info = control.info(id).take();
    EXPECT_EQ(info.pages, p.pages);
    EXPECT_EQ(info.state(), "--p---");
    EXPECT_EQ(info.vcpus, 2U);
    EXPECT_EQ(info.online_vcpus, 1U);  // the guest brings up the others itself
    EXPECT_EQ(backend.mappings(), 0U);
    const auto context = control.vcpu_context(id, base::VcpuId{0}).take();
    EXPECT_EQ(context.user_regs.rip, p.layout.entry);
    EXPECT_EQ(context.user_regs.rsi, p.layout.virt_base + p.layout.start_info * 4096);
    const hv::Mfn root{context.ctrlreg[3] >> 12};
    EXPECT_EQ(hv::type_of(hv::page_of(root).type.load()), hv::PageType::l4);
    EXPECT_NE(hv::page_of(root).type.load() & hv::page::pinned, 0U);
    EXPECT_EQ(hv::m2p(root), p.layout.tables.first);
}

TEST_F(BuilderSim, EveryPageTableHasItsType) {
    const auto p = plan();
    const DomId id = build(p);
    std::map<uint64_t, uint64_t> mfn_of;
    for (uint64_t m = 0; m < hv::max_frame; ++m)
        if (hv::page_of(hv::Mfn{m}).owner.load() == id.raw && hv::m2p(hv::Mfn{m}) < p.pages) mfn_of[hv::m2p(hv::Mfn{m})] = m;
    for (const builder::TablePage& t : p.layout.table_pages) {
        const auto type = hv::type_of(hv::page_of(hv::Mfn{mfn_of.at(t.pfn)}).type.load());
        EXPECT_EQ(static_cast<unsigned>(type), t.level) << "pfn " << t.pfn;
    }
}

TEST_F(BuilderSim, EverythingComesBackExactly) {
    const auto p = plan();
    ASSERT_TRUE(control.destroy(build(p)));  // the first round fills slabs
    const uint64_t before = machine.free_pages();
    const size_t objects = hv::heap::bytes_in_use();
    for (int i = 0; i < 30; ++i) {
        const DomId id = build(p);
        ASSERT_LT(machine.free_pages(), before);
        if (i % 3 == 0) { ASSERT_TRUE(control.unpause(id)); }
        ASSERT_TRUE(control.destroy(id));
        ASSERT_EQ(machine.free_pages(), before) << "round " << i;
        ASSERT_EQ(hv::heap::bytes_in_use(), objects) << "round " << i;
    }
    EXPECT_EQ(control.list()->size(), 1U);
}

TEST_F(BuilderSim, InterruptedAtEveryChance) {
    const auto p = plan();
    ASSERT_TRUE(control.destroy(build(p)));
    const uint64_t before = machine.free_pages();
    for (const unsigned often : {1U, 2U, 3U, 7U}) {
        hv::host::preempt_every(often);
        const DomId id = build(p);
        EXPECT_EQ(control.info(id)->pages, p.pages);
        ASSERT_TRUE(control.destroy(id));
        EXPECT_EQ(machine.free_pages(), before);
    }
    hv::host::preempt_every(0);
}

TEST_F(BuilderSim, AFailureAtTheEndLeavesNothing) {
    const auto p = plan();
    ASSERT_TRUE(control.destroy(build(p)));
    const uint64_t before = machine.free_pages();
    store.refuse = true;
    EXPECT_FALSE(builder::build(control, store, p));
    EXPECT_EQ(machine.free_pages(), before);
    EXPECT_EQ(control.list()->size(), 1U);
}

TEST_F(BuilderSim, MoreThanTheMachineHas) {
    const auto p = plan(1024);
    auto built = builder::build(control, store, p);
    ASSERT_FALSE(built);
    EXPECT_EQ(built.failure().code, base::Errc::nomem);
    EXPECT_EQ(control.list()->size(), 1U);
}

TEST_F(BuilderSim, AGuestThatStopsIsSeen) {
    auto events = backend.open_event_channels().take();
    const auto died = events->bind_virq(xen::VIRQ_DOM_EXC).take();
    machine.program = [](sim::GuestCpu& cpu) { cpu.shutdown(xen::SHUTDOWN_reboot); };
    const DomId id = build(plan());
    EXPECT_FALSE(events->pending()->has_value());
    ASSERT_TRUE(control.unpause(id));
    const auto info = control.info(id).take();
    EXPECT_TRUE(info.shutdown);
    EXPECT_EQ(info.reason, xenctrl::ShutdownReason::reboot);
    EXPECT_EQ(events->pending().take(), died);
    ASSERT_TRUE(control.destroy(id));
}

TEST_F(BuilderSim, ConsoleAndStorePagesAreGranted) {
    const auto p = plan();
    auto built = builder::build(control, store, p).take();
    auto grants = backend.open_grants().take();
    const base::GrantRef console{0}, other{5};
    {
        auto page = grants->map(built.id, {&console, 1}, xencall::Access::read_write).take();
        page.data()[0] = std::byte{0x77};
        EXPECT_EQ(*hv::map_mfn(hv::Mfn{built.console_frame.raw}), 0x77);
        EXPECT_FALSE(grants->map(built.id, {&other, 1}, xencall::Access::read_write));
    }
    auto events = backend.open_event_channels().take();
    EXPECT_TRUE(events->bind_interdomain(built.id, built.console_port));
    EXPECT_FALSE(events->bind_interdomain(built.id, built.console_port));
    ASSERT_TRUE(control.destroy(built.id));
}

TEST_F(BuilderSim, ADestroyedDomainWaitsForTheLastMapping) {
    const auto p = plan();
    ASSERT_TRUE(control.destroy(build(p)));
    const uint64_t before = machine.free_pages();
    auto built = builder::build(control, store, p).take();
    {
        const base::Gfn frame{built.store_frame.raw};
        auto mapping = control.map(built.id, {&frame, 1}, xencall::Access::read_write).take();
        ASSERT_TRUE(control.destroy(built.id));
        EXPECT_LT(machine.free_pages(), before);
    }
    EXPECT_EQ(machine.free_pages(), before);
}

TEST_F(BuilderSim, TwoDomainsCannotTouchEachOther) {
    const auto p = plan(16 + 8);
    auto one = builder::build(control, store, p).take();
    auto two = builder::build(control, store, p).take();
    const base::Gfn frame{one.store_frame.raw};
    EXPECT_FALSE(control.map(two.id, {&frame, 1}, xencall::Access::read));
    EXPECT_FALSE(control.pin_l4(two.id, base::Mfn{one.store_frame.raw}));
    ASSERT_TRUE(control.destroy(one.id));
    ASSERT_TRUE(control.destroy(two.id));
}

}  // namespace
