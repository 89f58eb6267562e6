// SPDX-License-Identifier: Apache-2.0
// What simulations of saved and moved domains share: guests that suspend as Linux does, and tools that fail when they are told to. Each
// runs with a hypervisor that copies pages, and with one that does not, as Xen.
#pragma once

#include <gtest/gtest.h>

#include "abi/xen/sched.hpp"
#include "abi/xenolith/copy_pages.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/mm/dirty.hpp"
#include "tests/host/saved_image.hpp"
#include "tests/host/test_kernel.hpp"
#include "tests/sim/backend.hpp"
#include "tests/sim/guest.hpp"
#include "toolstack/builder/builder.hpp"
#include "toolstack/migration/restore.hpp"
#include "toolstack/migration/save.hpp"

namespace migration_sim {

using namespace testing_tools;
using base::DomId;
using base::Outcome;

inline std::string text_of(const auto& outcome) { return outcome ? "" : outcome.failure().text; }

class NoStore final : public builder::StoreIntroduce {
public:
    Outcome<> introduce(DomId, base::Mfn, base::Port) override { return base::ok; }
    void release(DomId) noexcept override {}
};

/// Hypercall or mapping number `fail_at` fails, as on a machine out of memory.
class FailingBackend final : public xencall::Backend {
public:
    explicit FailingBackend(xencall::Backend& real) : real_(real) {}
    int64_t hypercall(uint64_t number, const std::array<uint64_t, 5>& arguments) override {
        ++calls;
        const auto* op = reinterpret_cast<const xen::Domctl*>(arguments[0]);
        const bool tidies = number == xen::HYPERVISOR_domctl && op->cmd == xen::XEN_DOMCTL_destroydomain;
        if (calls == fail_at && !tidies) return -static_cast<int64_t>(base::Errc::nomem);
        return real_.hypercall(number, arguments);
    }
    Outcome<void*> allocate(size_t pages) override { return real_.allocate(pages); }
    void release(void* at, size_t pages) noexcept override { real_.release(at, pages); }
    Outcome<xencall::ForeignMapping> map_foreign(DomId domain, std::span<const base::Gfn> frames,
                                                 xencall::Access access) override {
        if (++calls == fail_at) return base::fail(base::Errc::nomem, "no room for a mapping");
        return real_.map_foreign(domain, frames, access);
    }
    Outcome<xencall::ForeignMapping> map_resource(DomId domain, uint32_t type, uint32_t id, uint64_t first,
                                                  size_t frames) override {
        return real_.map_resource(domain, type, id, first, frames);
    }
    void unmap(void* at, size_t pages) noexcept override { real_.unmap(at, pages); }
    Outcome<std::unique_ptr<xencall::EventChannels>> open_event_channels() override { return real_.open_event_channels(); }
    Outcome<std::unique_ptr<xencall::Grants>> open_grants() override { return real_.open_grants(); }

    uint64_t calls = 0, fail_at = 0;

private:
    xencall::Backend& real_;
};

inline xen::StartInfo* start_info_of(sim::GuestCpu& cpu, const builder::Layout& layout) {
    const uint64_t start_info = layout.virt_base + layout.start_info * 4096;
    return reinterpret_cast<xen::StartInfo*>(sim::guest_virtual(cpu.vcpu(), start_info));
}

/// What Linux does when it boots: tells tools where its P2M is.
inline void publish_as_linux(sim::GuestCpu& cpu, const builder::Layout& layout) {
    hv::Vcpu& v = cpu.vcpu();
    xen::SharedInfo& shared = *v.domain.shared;
    shared.arch.max_pfn = start_info_of(cpu, layout)->nr_pages;
    shared.arch.p2m_cr3 = v.pv->kernel_root.raw << 12;
    shared.arch.p2m_vaddr = layout.p2m_virt;
}

/// And before the hypercall: it leaves pages in place of frames in start_info.
inline void suspend_as_linux(sim::GuestCpu& cpu, const builder::Layout& layout) {
    hv::Vcpu& v = cpu.vcpu();
    auto* info = start_info_of(cpu, layout);
    publish_as_linux(cpu, layout);
    info->store_mfn = hv::m2p(hv::Mfn{info->store_mfn});
    info->console.domU.mfn = hv::m2p(hv::Mfn{info->console.domU.mfn});
    hv::dirtied(info);
    v.regs.rdx = *reinterpret_cast<const uint64_t*>(sim::guest_virtual(v, layout.p2m_virt + layout.start_info * 8));
    cpu.shutdown(xen::SHUTDOWN_suspend);
}

enum class Hypervisor : uint8_t { copies_pages, as_xen };

/// An image from a line on which nobody ever waits: whatever can be done early is done before each read.
class PatientSource final : public proto::saved::Source {
public:
    explicit PatientSource(std::span<const std::byte> bytes) : bytes_(bytes) {}
    Outcome<size_t> read(std::span<std::byte> out) override {
        if (work_) work_();
        return bytes_.read(out);
    }
    void while_nobody_waits(std::function<void()> work) override { work_ = std::move(work); }

private:
    BytesSource bytes_;
    std::function<void()> work_;
};

class MigrationSim : public ::testing::TestWithParam<Hypervisor> {
protected:
    builder::Plan plan(const KernelShape& shape = {}) {
        input.memory_kib = 24 << 10;
        input.vcpus = 2;
        input.command_line = "quiet";
        auto images = std::make_shared<builder::Images>();
        images->kernel_path = "/k";
        images->kernel = std::make_shared<const std::vector<std::byte>>(make_kernel(shape));
        auto ramdisk = std::make_shared<std::vector<std::byte>>(50'000);
        for (size_t i = 0; i < ramdisk->size(); ++i) (*ramdisk)[i] = pattern(i);
        images->ramdisk = ramdisk;
        return builder::plan(input, images).take();
    }
    DomId suspended(const builder::Plan& p) {
        machine.program = [&p](sim::GuestCpu& cpu) { suspend_as_linux(cpu, p.layout); };
        const auto built = builder::build(control, store, p);
        EXPECT_TRUE(built) << built.failure().text;
        EXPECT_TRUE(control.unpause(built->id));
        EXPECT_TRUE(control.info(built->id)->shutdown);
        return built->id;
    }
    std::vector<std::byte> saved(DomId domain) {
        BytesSink sink;
        const auto done = migration::save(control, domain, {false, "name = 'x'", ""}, sink);
        EXPECT_TRUE(done) << done.failure().text;
        return sink.bytes;
    }
    Outcome<builder::BuiltDomain> restored(xenctrl::Control& by, std::span<const std::byte> bytes) {
        BytesSource source(bytes);
        return restored(by, source);
    }
    Outcome<builder::BuiltDomain> restored(xenctrl::Control& by, proto::saved::Source& source) {
        proto::saved::Reader reader(source);
        OTRY(reader.file());
        return migration::restore(by, store, reader, input);
    }
    void SetUp() override { backend.copies_pages = GetParam() == Hypervisor::copies_pages; }
    void TearDown() override {
        for (const auto& d : control.list().take())
            if (d.id != DomId{0}) { EXPECT_TRUE(control.destroy(d.id)); }
        machine.program = nullptr;
        EXPECT_EQ(backend.mappings(), 0U);
    }
    sim::Machine& machine = sim::Machine::instance();
    sim::SimBackend backend{machine};
    xenctrl::Control control{backend};
    NoStore store;
    builder::BuildInput input;
};

inline constexpr auto each_hypervisor = [] { return ::testing::Values(Hypervisor::copies_pages, Hypervisor::as_xen); };

}  // namespace migration_sim
