// SPDX-License-Identifier: Apache-2.0
// link: xenctrl builder migration
// Saving and restoring against the hypervisor's own core: a guest that suspends as Linux does is written, made again elsewhere in the
// machine's memory, suspends again and is written again: the same. What fails in between leaves nothing.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <utility>

#include "abi/xen/event_channel.hpp"
#include "abi/xen/memory.hpp"
#include "abi/xen/sched.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/mm/dirty.hpp"
#include "hypervisor/mm/heap.hpp"
#include "hypervisor/rt/clock.hpp"
#include "tests/host/saved_image.hpp"
#include "tests/host/test_kernel.hpp"
#include "tests/sim/backend.hpp"
#include "tests/sim/guest.hpp"
#include "toolstack/builder/builder.hpp"
#include "toolstack/migration/live.hpp"
#include "toolstack/migration/restore.hpp"
#include "toolstack/migration/save.hpp"

namespace {

using namespace testing_tools;
using base::DomId;
using base::Outcome;

std::string text_of(const auto& outcome) { return outcome ? "" : outcome.failure().text; }

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

xen::StartInfo* start_info_of(sim::GuestCpu& cpu, const builder::Layout& layout) {
    const uint64_t start_info = layout.virt_base + layout.start_info * 4096;
    return reinterpret_cast<xen::StartInfo*>(sim::guest_virtual(cpu.vcpu(), start_info));
}

/// What Linux does when it boots: tells tools where its P2M is.
void publish_as_linux(sim::GuestCpu& cpu, const builder::Layout& layout) {
    hv::Vcpu& v = cpu.vcpu();
    xen::SharedInfo& shared = *v.domain.shared;
    shared.arch.max_pfn = start_info_of(cpu, layout)->nr_pages;
    shared.arch.p2m_cr3 = v.pv->kernel_root.raw << 12;
    shared.arch.p2m_vaddr = layout.p2m_virt;
}

/// And before the hypercall: it leaves pages in place of frames in start_info.
void suspend_as_linux(sim::GuestCpu& cpu, const builder::Layout& layout) {
    hv::Vcpu& v = cpu.vcpu();
    auto* info = start_info_of(cpu, layout);
    publish_as_linux(cpu, layout);
    info->store_mfn = hv::m2p(hv::Mfn{info->store_mfn});
    info->console.domU.mfn = hv::m2p(hv::Mfn{info->console.domU.mfn});
    hv::dirtied(info);
    v.regs.rdx = *reinterpret_cast<const uint64_t*>(sim::guest_virtual(v, layout.p2m_virt + layout.start_info * 8));
    cpu.shutdown(xen::SHUTDOWN_suspend);
}

class MigrationSim : public ::testing::Test {
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
        proto::saved::Reader reader(source);
        OTRY(reader.file());
        return migration::restore(by, store, reader, input);
    }
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

TEST_F(MigrationSim, SavedRestoredAndSavedAgainIsTheSame) {
    const auto p = plan();
    const DomId first = suspended(p);
    const auto image = saved(first);
    const auto one = read_back(image);
    ASSERT_TRUE(one) << one.failure().text;
    EXPECT_EQ(one->pages.size(), p.pages);
    size_t tables = 0;
    for (const auto& page : one->pages) tables += page.kind.table_level() != 0 ? 1 : 0;
    EXPECT_EQ(tables, p.layout.table_pages.size());
    ASSERT_TRUE(control.destroy(first));

    const auto built = restored(control, image);
    ASSERT_TRUE(built) << built.failure().text;
    EXPECT_EQ(control.info(built->id)->pages, p.pages);
    EXPECT_EQ(control.info(built->id)->state(), "--p---");
    const auto context = control.vcpu_context(built->id, base::VcpuId{0}).take();
    EXPECT_EQ(hv::m2p(hv::Mfn{context.ctrlreg[3] >> 12}), p.layout.tables.first);
    EXPECT_EQ(context.user_regs.rax, 0U) << "a new domain";
    ASSERT_TRUE(control.unpause(built->id));
    ASSERT_TRUE(control.info(built->id)->shutdown) << "it has gone on, and suspended itself again";
    const auto two = read_back(saved(built->id));
    ASSERT_TRUE(two) << two.failure().text;
    ASSERT_EQ(two->pages, one->pages);
    const std::set<uint64_t> lists(one->p2m.pfns.begin(), one->p2m.pfns.end());
    for (size_t i = 0; i < one->pages.size(); ++i) {
        const uint64_t pfn = one->pages[i].pfn;
        const auto was = std::span(one->page_bytes).subspan(i * 4096, 4096),
                   is = std::span(two->page_bytes).subspan(i * 4096, 4096);
        if (lists.contains(pfn) || pfn == p.layout.start_info) continue;  // these name frames and ports
        ASSERT_TRUE(std::ranges::equal(was, is)) << "page " << pfn;
    }
    EXPECT_EQ(two->vcpus[0].bytes.size(), one->vcpus[0].bytes.size());
    ASSERT_TRUE(control.destroy(built->id));
}

TEST_F(MigrationSim, ARestoredDomainFindsItsRingsAndPorts) {
    const auto p = plan();
    hv::clock::set_wallclock(1'700'000'000, 0, hv::clock::now());
    const DomId first = suspended(p);
    const auto image = saved(first);
    ASSERT_TRUE(control.destroy(first));
    const auto built = restored(control, image).take();
    const base::Gfn frame{[&] {
        for (uint64_t m = 0; m < hv::max_frame; ++m)
            if (hv::page_of(hv::Mfn{m}).owner.load() == built.id.raw && hv::m2p(hv::Mfn{m}) == p.layout.start_info) return m;
        return uint64_t{0};
    }()};
    {
        const auto mapping = control.map(built.id, {&frame, 1}, xencall::Access::read).take();
        xen::StartInfo info;
        std::memcpy(&info, mapping.data(), sizeof info);
        EXPECT_EQ(info.store_mfn, built.store_frame.raw);
        EXPECT_EQ(info.store_evtchn, built.store_port.raw);
        EXPECT_EQ(info.console.domU.mfn, built.console_frame.raw);
        EXPECT_EQ(info.console.domU.evtchn, built.console_port.raw);
        EXPECT_EQ(info.shared_info, control.info(built.id)->shared_info.address());
        EXPECT_EQ(info.nr_pages, p.pages);
    }
    EXPECT_EQ(hv::m2p(hv::Mfn{built.store_frame.raw}), p.layout.store);
    EXPECT_EQ(hv::m2p(hv::Mfn{built.console_frame.raw}), p.layout.console);
    auto grants = backend.open_grants().take();
    for (const uint32_t ref : {0U, 1U}) {
        const base::GrantRef entry{ref};
        EXPECT_TRUE(grants->map(built.id, {&entry, 1}, xencall::Access::read_write)) << ref;
    }
    const xen::SharedInfo& shared = *hv::lookup_domain(built.id)->shared;
    EXPECT_EQ(shared.arch.pfn_to_mfn_frame_list_list, 0U);
    for (const uint64_t word : shared.evtchn_mask) EXPECT_EQ(word, ~uint64_t{0});
    for (const uint64_t word : shared.evtchn_pending) EXPECT_EQ(word, 0U);
    EXPECT_NE(shared.wc_sec, 0U) << "the wall clock is told again";
    ASSERT_TRUE(control.destroy(built.id));
}

TEST_F(MigrationSim, EverythingComesBackExactly) {
    const auto p = plan();
    const DomId first = suspended(p);
    const auto image = saved(first);
    ASSERT_TRUE(control.destroy(first));
    const auto round = [&] {
        const auto built = restored(control, image);
        ASSERT_TRUE(built) << built.failure().text;
        ASSERT_TRUE(control.unpause(built->id));
        ASSERT_TRUE(control.destroy(built->id));
    };
    round();  // the first fills slabs
    const uint64_t before = machine.free_pages();
    const size_t objects = hv::heap::bytes_in_use();
    for (int i = 0; i < 5; ++i) round();
    EXPECT_EQ(machine.free_pages(), before);
    EXPECT_EQ(hv::heap::bytes_in_use(), objects);
}

TEST_F(MigrationSim, AFailureOfAnyCallLeavesNothing) {
    const auto p = plan();
    const DomId first = suspended(p);
    const auto image = saved(first);
    ASSERT_TRUE(control.destroy(first));
    ASSERT_TRUE(control.destroy(restored(control, image)->id));
    const uint64_t before = machine.free_pages();
    FailingBackend failing(backend);
    xenctrl::Control flaky(failing);
    uint64_t at = 1;
    for (;; ++at) {
        failing.calls = 0;
        failing.fail_at = at;
        const auto built = restored(flaky, image);
        if (built) break;  // the call that failed was not needed, or there are not so many
        EXPECT_EQ(built.failure().text.find('\n'), std::string::npos);
        ASSERT_EQ(machine.free_pages(), before) << "call " << at << ": " << built.failure().text;
        ASSERT_EQ(control.list()->size(), 1U) << "call " << at;
    }
    EXPECT_EQ(at, failing.calls + 1) << "every call was made to fail";
    EXPECT_GT(at, 30U);
}

TEST_F(MigrationSim, SavingChangesNothing) {
    const auto p = plan();
    const DomId first = suspended(p);
    const uint64_t before = machine.free_pages();
    FailingBackend failing(backend);
    xenctrl::Control flaky(failing);
    for (uint64_t at = 1;; ++at) {
        failing.calls = 0;
        failing.fail_at = at;
        BytesSink sink;
        if (migration::save(flaky, first, {false, "", ""}, sink)) break;
        ASSERT_EQ(machine.free_pages(), before);
    }
    EXPECT_EQ(saved(first).size(), saved(first).size());
    EXPECT_EQ(backend.mappings(), 0U);
    ASSERT_TRUE(control.destroy(first));
}

/// Where the image's bytes mean something to the restorer: every table, the start-info page, the registers.
TEST_F(MigrationSim, DamagedImagesAreRefusedOrHarmless) {
    const auto p = plan();
    const DomId first = suspended(p);
    const auto image = saved(first);
    ASSERT_TRUE(control.destroy(first));
    ASSERT_TRUE(control.destroy(restored(control, image)->id));
    const uint64_t before = machine.free_pages();
    const auto parts = read_back(image).take();
    std::mt19937 random(7);
    size_t refused = 0;
    std::vector<size_t> interesting;
    for (size_t at = 0; at + 8 < image.size(); at += 8) {
        uint64_t word = 0;
        std::memcpy(&word, &image[at], 8);
        if (word != 0 && (at < 4096 || at + 32768 > image.size() || random() % 16 == 0)) interesting.push_back(at);
    }
    for (int i = 0; i < 150; ++i) {
        auto bytes = image;
        bytes[interesting[random() % interesting.size()] + random() % 8] ^= static_cast<std::byte>(1U << (random() % 8));
        auto built = restored(control, bytes);
        if (built) {
            ASSERT_TRUE(control.unpause(built->id));
            ASSERT_TRUE(control.destroy(built->id));
        } else {
            ++refused;
            EXPECT_EQ(built.failure().text.find('\n'), std::string::npos);
        }
        ASSERT_EQ(machine.free_pages(), before);
        ASSERT_EQ(control.list()->size(), 1U);
    }
    EXPECT_GT(refused, 10U);
}

TEST_F(MigrationSim, RefusalsBeforeAnythingIsMade) {
    const auto p = plan();
    machine.program = nullptr;
    const auto running = builder::build(control, store, p).take();
    BytesSink sink;
    const auto not_suspended = migration::save(control, running.id, {false, "", ""}, sink);
    ASSERT_FALSE(not_suspended);
    EXPECT_NE(not_suspended.failure().text.find("is not suspended"), std::string::npos);
    EXPECT_TRUE(sink.bytes.empty());
    ASSERT_TRUE(control.destroy(running.id));
    const DomId first = suspended(p);
    const auto image = saved(first);
    ASSERT_TRUE(control.destroy(first));
    input.memory_kib = uint64_t{1} << 30U;
    const auto too_big = restored(control, image);
    ASSERT_FALSE(too_big);
    EXPECT_EQ(too_big.failure().code, base::Errc::nomem);
    input.memory_kib = 24 << 10;
    EXPECT_EQ(control.list()->size(), 1U);
}

TEST_F(MigrationSim, AGuestThatLiesAboutItsPagesIsNotSaved) {
    const auto p = plan();
    const auto refused = [&](const std::function<void(sim::GuestCpu&)>& lie, const std::string& reason) {
        machine.program = [&](sim::GuestCpu& cpu) {
            suspend_as_linux(cpu, p.layout);
            lie(cpu);
        };
        const auto built = builder::build(control, store, p).take();
        ASSERT_TRUE(control.unpause(built.id));
        BytesSink sink;
        const auto done = migration::save(control, built.id, {false, "", ""}, sink);
        EXPECT_FALSE(done);
        if (!done) { EXPECT_NE(done.failure().text.find(reason), std::string::npos) << done.failure().text; }
        ASSERT_TRUE(control.destroy(built.id));
    };
    const auto list = [&](sim::GuestCpu& cpu) {
        return reinterpret_cast<uint64_t*>(sim::guest_virtual(cpu.vcpu(), p.layout.p2m_virt));
    };
    const auto arch = [](sim::GuestCpu& cpu) -> xen::ArchSharedInfo& { return cpu.vcpu().domain.shared->arch; };
    refused([&](auto& cpu) { arch(cpu).max_pfn = 0; }, "is not there");
    refused([&](auto& cpu) { arch(cpu).max_pfn = uint64_t{1} << 60U; }, "entries for");
    refused([&](auto& cpu) { arch(cpu).p2m_vaddr += 8; }, "impossible address");
    refused([&](auto& cpu) { arch(cpu).p2m_vaddr = 0x7f0000000000; }, "is not mapped");
    refused([&](auto& cpu) { arch(cpu).p2m_cr3 = 0x1000; }, "frame 1");
    refused([&](auto& cpu) { arch(cpu).p2m_cr3 = 0; }, "is not there");
    refused([&](auto& cpu) { list(cpu)[3] = list(cpu)[4]; }, "one frame for the pages");
    refused([&](auto& cpu) { list(cpu)[p.layout.p2m.first] = ~uint64_t{0}; }, "does not contain itself");
    refused([&](auto& cpu) { list(cpu)[p.layout.tables.first + 1] = 1; }, "names memory that is not the domain's");
    refused([&](auto& cpu) { cpu.vcpu().regs.rdx = 1; }, "start-info page");
}

/// What a page costs here it costs before anything of it is there: the machine's memory is the limit, not what a file says.
TEST_F(MigrationSim, AFileCannotSpeakOfMorePagesThanTheMachineHas) {
    BytesSink sink;
    proto::saved::Writer writer(sink);
    ASSERT_TRUE(writer.file({false, "", ""}));
    ASSERT_TRUE(writer.stream(4, 17));
    ASSERT_TRUE(writer.pv_info());
    ASSERT_TRUE(writer.static_data_end());
    const uint64_t pages = uint64_t{1} << 25U;
    ASSERT_TRUE(writer.p2m_frames({pages - 1, std::vector<uint64_t>(pages / 512)}));
    input.memory_kib = 4 << 10;
    input.max_memory_kib = uint64_t{16} << 30U;  // 16 TiB, which a configuration may say
    const auto made = restored(control, sink.bytes);
    ASSERT_FALSE(made);
    EXPECT_EQ(made.failure().text.substr(0, 35), "the image speaks of 33554432 pages,") << made.failure().text;
}

/// A guest with a large maximum that gave most of its memory back.
TEST_F(MigrationSim, ABalloonedGuestIsSaved) {
    const auto p = plan();
    machine.program = [&p](sim::GuestCpu& cpu) {
        suspend_as_linux(cpu, p.layout);
        cpu.vcpu().domain.shared->arch.max_pfn = (uint64_t{1} << 18U) + 4 * p.pages + 1;
    };
    const auto built = builder::build(control, store, p).take();
    ASSERT_TRUE(control.set_max_memory(built.id, uint64_t{2} << 20U));
    ASSERT_TRUE(control.unpause(built.id));
    BytesSink sink;
    const auto done = migration::save(control, built.id, {false, "", ""}, sink);
    ASSERT_FALSE(done) << "its list is not that long";
    EXPECT_NE(done.failure().text.find("is not mapped"), std::string::npos) << done.failure().text;
    ASSERT_TRUE(control.destroy(built.id));
}

// -- while it runs --------------------------------------------------------------------------------------------------------

/// A sink in front of which the guest has a turn each time.
class WatchedSink final : public proto::saved::Sink {
public:
    Outcome<> write(std::span<const std::byte> b) override {
        if (before) before();
        return sink.write(b);
    }
    Outcome<> zeros(uint64_t count) override { return sink.zeros(count); }
    BytesSink sink;
    std::function<void()> before;
};

class NoSink final : public proto::saved::Sink {
public:
    Outcome<> write(std::span<const std::byte>) override { return base::ok; }
    Outcome<> zeros(uint64_t) override { return base::ok; }
};

/// A guest that has a turn whenever it is sent an event.
class LiveSim : public MigrationSim {
protected:
    builder::Plan p = plan();
    DomId id{0};
    std::unique_ptr<xencall::EventChannels> channels;
    base::Port port{0};
    std::function<void(sim::GuestCpu&)> next;
    std::mt19937 random{11};
    WatchedSink sink;

    void start() {
        machine.program = [this](sim::GuestCpu& cpu) {
            for (auto& word : cpu.vcpu().domain.shared->evtchn_pending) word = 0;
            if (cpu.vcpu().id.raw != 0 || !next) return;
            cpu.vcpu().info.load()->evtchn_pending_sel = 0;
            const auto now = std::exchange(next, nullptr);
            now(cpu);
        };
        const auto built = builder::build(control, store, p).take();
        id = built.id;
        channels = backend.open_event_channels().take();
        port = channels->bind_interdomain(id, built.store_port).take();
        next = [this](sim::GuestCpu& cpu) {
            cpu.vcpu().info.load()->evtchn_upcall_mask = 0;
            for (auto& word : cpu.vcpu().domain.shared->evtchn_mask) word = 0;
            publish_as_linux(cpu, p.layout);
        };
        ASSERT_TRUE(control.unpause(id));
        ASSERT_FALSE(next) << "it did not run";
    }
    void turn(std::function<void(sim::GuestCpu&)> what) {
        next = std::move(what);
        ASSERT_TRUE(channels->notify(port));
        ASSERT_FALSE(next) << "it did not run";
    }
    void suspend() {
        turn([this](sim::GuestCpu& cpu) { suspend_as_linux(cpu, p.layout); });
        ASSERT_TRUE(control.info(id)->shutdown);
    }
    uint64_t& entry(hv::Vcpu& v, uint64_t pfn) const {
        return *reinterpret_cast<uint64_t*>(sim::guest_virtual(v, p.layout.p2m_virt + pfn * 8));
    }
    uint64_t& entry(sim::GuestCpu& cpu, uint64_t pfn) const { return entry(cpu.vcpu(), pfn); }
    /// As the CPU writes, whose mirrors tell the log: tests/host/hv_log_model_test.cpp is about those.
    static void write(uint64_t mfn, size_t at, uint64_t value) {
        std::memcpy(hv::map_mfn(hv::Mfn{mfn}) + at, &value, sizeof value);
        hv::dirtied(hv::Mfn{mfn});
    }
    void write_entry(sim::GuestCpu& cpu, uint64_t pfn, uint64_t mfn) {
        entry(cpu, pfn) = mfn;
        hv::dirtied(&entry(cpu, pfn));
    }
    /// A page to the hypervisor.
    void give(sim::GuestCpu& cpu, uint64_t pfn) {
        uint64_t mfn = entry(cpu, pfn);
        write_entry(cpu, pfn, ~uint64_t{0});
        auto op = xen::zeroed<xen::MemoryReservation>();
        op.extent_start.addr = reinterpret_cast<uint64_t>(&mfn);
        op.nr_extents = 1;
        op.domid = xen::DOMID_SELF;
        EXPECT_EQ(cpu.hypercall(xen::HYPERVISOR_memory_op, {xen::XENMEM_decrease_reservation, reinterpret_cast<uint64_t>(&op)}),
                  1);
    }
    /// A page that nobody has mapped.
    uint64_t spare(uint64_t n) const { return std::max(p.layout.end, (p.layout.mapped_end - p.layout.virt_base) / 4096) + n; }
    std::unique_ptr<migration::LiveImage> begin() {
        auto live = migration::LiveSave::begin(control, id, {false, "name = 'x'", ""}, sink);
        EXPECT_TRUE(live) << live.failure().text;
        return live ? std::move(live).take() : nullptr;
    }
    static Outcome<> end(migration::LiveImage& live) {
        OTRY(live.rest());
        return live.finish();
    }
    bool logged() const { return hv::lookup_domain(id)->dirty_log.load() != nullptr; }
    /// What a reader has in the end of each page.
    static std::map<uint64_t, std::pair<uint8_t, std::string>> last_of(std::span<const std::byte> image) {
        std::map<uint64_t, std::pair<uint8_t, std::string>> out;
        const auto back = read_back(image);
        EXPECT_TRUE(back) << back.failure().text;
        size_t at = 0;
        for (const auto& page : back->pages) {
            std::string bytes;
            if (page.kind.has_data()) bytes.assign(reinterpret_cast<const char*>(&back->page_bytes[4096 * at++]), 4096);
            if (page.kind.exists()) out[page.pfn] = {page.kind.raw, std::move(bytes)};
            else out.erase(page.pfn);
        }
        return out;
    }
    /// All of it, and that it runs elsewhere as what it is.
    void expect_the_same(const builder::Plan& of) {
        const auto still = saved(id);
        const auto live = last_of(sink.sink.bytes), whole = last_of(still);
        ASSERT_EQ(live.size(), whole.size());
        for (const auto& [pfn, page] : whole) ASSERT_TRUE(live.at(pfn) == page) << "page " << pfn;
        const uint64_t pages = control.info(id)->pages;
        ASSERT_TRUE(control.destroy(id));
        EXPECT_EQ(backend.mappings(), 0U);
        const auto built = restored(control, sink.sink.bytes);
        ASSERT_TRUE(built) << built.failure().text;
        EXPECT_EQ(control.info(built->id)->pages, pages);
        next = [&](sim::GuestCpu& cpu) { suspend_as_linux(cpu, of.layout); };
        ASSERT_TRUE(control.unpause(built->id));
        const auto again = last_of(saved(built->id));
        ASSERT_EQ(again.size(), whole.size());
        const auto lists = read_back(still)->p2m.pfns;
        for (const auto& [pfn, page] : whole) {
            const bool names_frames = std::ranges::find(lists, pfn) != lists.end() || pfn == of.layout.start_info;
            if (!names_frames) { ASSERT_TRUE(again.at(pfn) == page) << "page " << pfn; }
        }
    }
};

TEST_F(LiveSim, WhatIsWrittenMeanwhileIsSentAgain) {
    start();
    // Also between two bytes of a page that is being sent.
    sink.before = [this] {
        hv::Vcpu& v = *hv::lookup_domain(id)->vcpus[0];
        for (int i = 0; i < 3; ++i) write(entry(v, spare(random() % 300)), random() % 512 * 8, random());
    };
    auto live = begin();
    ASSERT_TRUE(live);
    EXPECT_TRUE(logged());
    EXPECT_EQ(migration::LiveSave::begin(control, id, {}, sink).failure().code, base::Errc::busy) << "two would each lose pages";
    EXPECT_TRUE(logged());
    EXPECT_EQ(*live->left(), p.pages);
    for (int round = 0; round < 4; ++round) {
        ASSERT_TRUE(live->send());
        const auto left = live->left();
        ASSERT_TRUE(left) << left.failure().text;
        EXPECT_GT(*left, 0U);
        EXPECT_LT(*left, 302U) << "what was written, and no more";
    }
    sink.before = nullptr;
    EXPECT_EQ(live->rest().failure().code, base::Errc::inval) << "it runs";
    EXPECT_EQ(live->finish().failure().code, base::Errc::inval) << "its rest is not known";
    suspend();
    EXPECT_EQ(text_of(live->left()), "Domain " + std::to_string(id.raw) + " ended while its memory was sent");
    const auto done = end(*live);
    ASSERT_TRUE(done) << done.failure().text;
    live.reset();
    EXPECT_FALSE(logged());
    expect_the_same(p);
}

/// Pages become page tables and data again, and what tables name is not the guest's memory for a while.
TEST_F(LiveSim, TablesThatChangeAreSentAsTheyAreInTheEnd) {
    start();
    auto live = begin();
    ASSERT_TRUE(live);
    uint64_t l1 = 0;  // of the page behind the stack: nobody else uses it
    const auto pin = [this](sim::GuestCpu& cpu, uint32_t what, uint64_t pfn) {
        xen::MmuextOp op{};
        op.cmd = what;
        op.arg1.mfn = entry(cpu, pfn);
        EXPECT_EQ(cpu.hypercall(xen::HYPERVISOR_mmuext_op, {reinterpret_cast<uint64_t>(&op), 1, 0, xen::DOMID_SELF}), 0);
    };
    const auto update = [](sim::GuestCpu& cpu, uint64_t at, uint64_t entry) {
        xen::MmuUpdate op{at, entry};
        EXPECT_EQ(cpu.hypercall(xen::HYPERVISOR_mmu_update, {reinterpret_cast<uint64_t>(&op), 1, 0, xen::DOMID_SELF}), 0);
    };
    ASSERT_TRUE(live->left());
    turn([&](sim::GuestCpu& cpu) {
        l1 = entry(cpu, spare(1));
        write(l1, 0, entry(cpu, spare(2)) << 12 | 5);
        write(entry(cpu, spare(5)), 0, entry(cpu, spare(2)) << 12 | 5);
        pin(cpu, xen::MMUEXT_PIN_L1_TABLE, spare(1));
        pin(cpu, xen::MMUEXT_PIN_L1_TABLE, spare(5));
    });
    ASSERT_TRUE(live->send());
    turn([&](sim::GuestCpu& cpu) {
        update(cpu, l1 << 12 | 16, entry(cpu, spare(4)) << 12 | 7);
        update(cpu, l1 << 12 | 24, hv::mfn_of(cpu.vcpu().domain.shared).raw << 12 | 7);
        pin(cpu, xen::MMUEXT_UNPIN_TABLE, spare(5));
        write(entry(cpu, spare(5)), 0, 42);
    });
    ASSERT_TRUE(live->left());
    ASSERT_TRUE(live->send());
    EXPECT_EQ(*live->left(), 1U) << "a table that names the shared page waits";
    const size_t before = sink.sink.bytes.size();
    ASSERT_TRUE(live->send());
    EXPECT_EQ(sink.sink.bytes.size(), before);
    turn([&](sim::GuestCpu& cpu) { update(cpu, l1 << 12 | 24, 0); });
    suspend();
    const auto done = end(*live);
    ASSERT_TRUE(done) << done.failure().text;
    live.reset();
    expect_the_same(p);
}

/// Memory goes and comes, also under other numbers than before; the new domain has what there is in the end.
TEST_F(LiveSim, TheGuestMayGiveMemoryBack) {
    start();
    auto live = begin();
    ASSERT_TRUE(live);
    const auto take = [this](sim::GuestCpu& cpu, uint64_t pfn, uint64_t value) {
        uint64_t frame = pfn;
        auto op = xen::zeroed<xen::MemoryReservation>();
        op.extent_start.addr = reinterpret_cast<uint64_t>(&frame);
        op.nr_extents = 1;
        op.domid = xen::DOMID_SELF;
        EXPECT_EQ(cpu.hypercall(xen::HYPERVISOR_memory_op, {xen::XENMEM_populate_physmap, reinterpret_cast<uint64_t>(&op)}), 1);
        write(frame, 0, value);
        write_entry(cpu, pfn, frame);
    };
    turn([&](sim::GuestCpu& cpu) { give(cpu, spare(10)); });
    ASSERT_TRUE(live->left());
    turn([&](sim::GuestCpu& cpu) { give(cpu, spare(11)); });  // the list is known as it was
    ASSERT_TRUE(live->send());
    turn([&](sim::GuestCpu& cpu) {
        give(cpu, spare(12));
        give(cpu, spare(13));
        take(cpu, spare(10), 1010);
    });
    ASSERT_TRUE(live->left());
    ASSERT_TRUE(live->send());
    turn([&](sim::GuestCpu& cpu) {
        take(cpu, spare(13), 1313);
        // A list that contradicts itself for a moment.
        write_entry(cpu, spare(20), entry(cpu, spare(21)));
    });
    ASSERT_TRUE(live->left()) << "it is followed later";
    ASSERT_TRUE(live->send());
    turn([&](sim::GuestCpu& cpu) {
        std::swap(entry(cpu, spare(22)), entry(cpu, spare(23)));
        const uint64_t frame = entry(cpu, spare(21));
        for (uint64_t mfn = 0; mfn < hv::max_frame; ++mfn) {
            if (mfn != frame && hv::page_of(hv::Mfn{mfn}).owner.load() == id.raw && hv::m2p(hv::Mfn{mfn}) == spare(20))
                write_entry(cpu, spare(20), mfn);
        }
    });
    suspend();
    const auto done = end(*live);
    ASSERT_TRUE(done) << done.failure().text;
    live.reset();
    EXPECT_EQ(control.info(id)->pages, p.pages - 2);
    expect_the_same(p);
}

/// Tables name frames, and are sent with the numbers that these have in the list: it may change, and the tables not.
TEST_F(LiveSim, TablesAreSentAgainWhenFramesGetOtherNumbers) {
    start();
    auto live = begin();
    ASSERT_TRUE(live);
    uint64_t moves = 0;
    turn([&](sim::GuestCpu& cpu) {
        const uint64_t l1 = entry(cpu, spare(1));
        moves = entry(cpu, spare(5));
        write(l1, 0, entry(cpu, spare(2)) << 12 | 5);
        write(l1, 8, moves << 12 | 5);
        xen::MmuextOp op{};
        op.cmd = xen::MMUEXT_PIN_L1_TABLE;
        op.arg1.mfn = l1;
        EXPECT_EQ(cpu.hypercall(xen::HYPERVISOR_mmuext_op, {reinterpret_cast<uint64_t>(&op), 1, 0, xen::DOMID_SELF}), 0);
        give(cpu, spare(12));
    });
    ASSERT_TRUE(live->left());
    ASSERT_TRUE(live->send());
    turn([&](sim::GuestCpu& cpu) {
        const uint64_t one = entry(cpu, spare(2)), other = entry(cpu, spare(3));
        write_entry(cpu, spare(2), other);
        write_entry(cpu, spare(3), one);
        write_entry(cpu, spare(5), ~uint64_t{0});  // for a while it has none
    });
    ASSERT_TRUE(live->left());
    ASSERT_TRUE(live->send());
    turn([&](sim::GuestCpu& cpu) { write_entry(cpu, spare(12), moves); });
    ASSERT_TRUE(live->left());
    ASSERT_TRUE(live->send());
    suspend();
    const auto done = end(*live);
    ASSERT_TRUE(done) << done.failure().text;
    live.reset();
    expect_the_same(p);
}

/// The list itself moves to another page: Linux does that when it first has something to note where nothing was.
TEST_F(LiveSim, TheListOfPagesMayMove) {
    start();
    auto live = begin();
    ASSERT_TRUE(live);
    ASSERT_TRUE(live->left());
    ASSERT_TRUE(live->send());
    turn([&](sim::GuestCpu& cpu) {
        const uint64_t old = entry(cpu, p.layout.p2m.first), now = entry(cpu, spare(30));
        std::memcpy(cpu.frame(now), cpu.frame(old), 4096);
        hv::dirtied(hv::Mfn{now});
        xen::MmuUpdate op{0, now << 12 | 0x67};
        uint64_t table = cpu.vcpu().pv->kernel_root.raw;
        for (int shift = 39; shift > 12; shift -= 9)
            table = hv::map_mfn<uint64_t>(hv::Mfn{table})[p.layout.p2m_virt >> shift & 511] << 12 >> 24;
        op.ptr = table << 12 | (p.layout.p2m_virt >> 12 & 511) * 8;
        EXPECT_EQ(cpu.hypercall(xen::HYPERVISOR_mmu_update, {reinterpret_cast<uint64_t>(&op), 1, 0, xen::DOMID_SELF}), 0);
    });
    ASSERT_TRUE(live->left());
    ASSERT_TRUE(live->send());
    suspend();
    const auto done = end(*live);
    ASSERT_TRUE(done) << done.failure().text;
    live.reset();
    EXPECT_EQ(read_back(sink.sink.bytes)->p2m.pfns[0], spare(30));
    expect_the_same(p);
}

/// Whatever fails: the guest runs on, and nobody logs it.
TEST_F(LiveSim, AFailureOfAnyCallEndsTheLog) {
    start();
    FailingBackend failing(backend);
    xenctrl::Control flaky(failing);
    uint64_t at = 1;
    for (;; ++at) {
        failing.calls = 0;
        failing.fail_at = at;
        NoSink nowhere;
        bool whole = false;
        {
            auto live = migration::LiveSave::begin(flaky, id, {}, nowhere);
            if (live) whole = (*live)->left() && (*live)->send() && (*live)->left() && (*live)->send();
        }
        // That call is the one that ends it: the next one does.
        if (logged()) { ASSERT_TRUE(control.stop_dirty_log(id)); }
        ASSERT_FALSE(control.info(id)->shutdown);
        if (whole && at > failing.calls) break;
    }
    EXPECT_GT(at, 20U);
    EXPECT_EQ(backend.mappings(), 0U);
}

}  // namespace
