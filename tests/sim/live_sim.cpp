// SPDX-License-Identifier: Apache-2.0
// link: xenctrl builder migration
// A guest's memory is sent while it runs, gives memory back, changes its tables and moves its list: what came is what it has in the end.
#include <map>
#include <random>
#include <utility>

#include "abi/xen/memory.hpp"
#include "tests/sim/migration_fixture.hpp"
#include "toolstack/migration/live.hpp"

namespace {

using namespace migration_sim;

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
        testing_tools::BytesSource source(sink.sink.bytes);
        PatientSource patient(sink.sink.bytes);
        const auto lists = read_back(still)->p2m.pfns;
        for (proto::saved::Source* from :
             {static_cast<proto::saved::Source*>(&source), static_cast<proto::saved::Source*>(&patient)})
            expect_restored(*from, of, pages, whole, lists);
    }
    using Pages = std::map<uint64_t, std::pair<uint8_t, std::string>>;
    void expect_restored(proto::saved::Source& from, const builder::Plan& of, uint64_t pages, const Pages& whole,
                         const std::vector<uint64_t>& lists) {
        const auto built = restored(control, from);
        ASSERT_TRUE(built) << built.failure().text;
        EXPECT_EQ(control.info(built->id)->pages, pages);
        next = [&](sim::GuestCpu& cpu) { suspend_as_linux(cpu, of.layout); };
        ASSERT_TRUE(control.unpause(built->id));
        const auto again = last_of(saved(built->id));
        ASSERT_EQ(again.size(), whole.size());
        for (const auto& [pfn, page] : whole) {
            const bool names_frames = std::ranges::find(lists, pfn) != lists.end() || pfn == of.layout.start_info;
            if (!names_frames) { ASSERT_TRUE(again.at(pfn) == page) << "page " << pfn; }
        }
        ASSERT_TRUE(control.destroy(built->id));
    }
};

TEST_P(LiveSim, WhatIsWrittenMeanwhileIsSentAgain) {
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
TEST_P(LiveSim, TablesThatChangeAreSentAsTheyAreInTheEnd) {
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
TEST_P(LiveSim, TheGuestMayGiveMemoryBack) {
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
TEST_P(LiveSim, TablesAreSentAgainWhenFramesGetOtherNumbers) {
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
TEST_P(LiveSim, TheListOfPagesMayMove) {
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
TEST_P(LiveSim, AFailureOfAnyCallEndsTheLog) {
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

INSTANTIATE_TEST_SUITE_P(EachHypervisor, LiveSim, each_hypervisor());

}  // namespace
