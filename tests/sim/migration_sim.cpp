// SPDX-License-Identifier: Apache-2.0
// link: xenctrl builder migration
// Saving and restoring against the hypervisor's own core: a guest that suspends as Linux does is written, made again elsewhere in the
// machine's memory, suspends again and is written again: the same. What fails in between leaves nothing.
#include <algorithm>
#include <array>
#include <random>

#include "abi/xen/event_channel.hpp"
#include "hypervisor/mm/heap.hpp"
#include "hypervisor/rt/clock.hpp"
#include "tests/sim/migration_fixture.hpp"
#include "toolstack/builder/new_domain.hpp"
#include "toolstack/migration/new_pages.hpp"

namespace {

using namespace migration_sim;

TEST_P(MigrationSim, SavedRestoredAndSavedAgainIsTheSame) {
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

TEST_P(MigrationSim, ARestoredDomainFindsItsRingsAndPorts) {
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

TEST_P(MigrationSim, EverythingComesBackExactly) {
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

TEST_P(MigrationSim, AFailureOfAnyCallLeavesNothing) {
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
    EXPECT_GT(at, 20U);
}

TEST_P(MigrationSim, SavingChangesNothing) {
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
TEST_P(MigrationSim, DamagedImagesAreRefusedOrHarmless) {
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

TEST_P(MigrationSim, RefusalsBeforeAnythingIsMade) {
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

TEST_P(MigrationSim, AGuestThatLiesAboutItsPagesIsNotSaved) {
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
TEST_P(MigrationSim, AFileCannotSpeakOfMorePagesThanTheMachineHas) {
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
TEST_P(MigrationSim, ABalloonedGuestIsSaved) {
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

/// Each time as what it came then: numbers in ordinary memory are not taken for pages because it comes as a table behind that.
TEST_P(MigrationSim, WhatComesAgainInABatchReplacesWhatCame) {
    using proto::saved::PageKind;
    const DomId id = control.create(builder::create_options(input, control.physinfo().take())).take();
    ASSERT_TRUE(control.set_max_memory(id, 4096));
    constexpr PageKind plain = proto::saved::plain_page, l1{1};
    std::array<uint64_t, 512> numbers{}, table{};
    for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = 0x000f'ffff'0000'0001 + (i << 12U);
    table[5] = 7 << 12U | 1;
    const auto* const as_numbers = reinterpret_cast<const std::byte*>(numbers.data());
    const auto* const as_table = reinterpret_cast<const std::byte*>(table.data());
    migration::NewPages pages(control, id);
    ASSERT_TRUE(pages.begin(9, 1024));
    const auto took = pages.take({{{{1, plain}, as_numbers},
                                   {{1, l1}, as_table},
                                   {{2, l1}, as_table},
                                   {{2, plain}, as_numbers},
                                   {{3, plain}, as_numbers},
                                   {{3, plain}, nullptr},
                                   {{4, plain}, nullptr},
                                   {{4, plain}, as_numbers}}});
    ASSERT_TRUE(took) << took.failure().text;
    const auto at = [&](uint64_t pfn, unsigned level) {
        return hv::map_mfn<uint64_t>(hv::Mfn{pages.frame(pfn, level, "")->raw});
    };
    std::array<uint64_t, 512> translated{};
    ASSERT_TRUE(pages.take({{{{7, plain}, nullptr}}}));
    translated[5] = pages.frame(7, 0, "")->raw << 12U | 1;
    EXPECT_TRUE(std::equal(translated.begin(), translated.end(), at(1, 1)));
    for (const uint64_t pfn : {2U, 4U}) EXPECT_TRUE(std::equal(numbers.begin(), numbers.end(), at(pfn, 0))) << pfn;
    EXPECT_TRUE(std::all_of(at(3, 0), at(3, 0) + 512, [](uint64_t word) { return word == 0; }));
}

INSTANTIATE_TEST_SUITE_P(EachHypervisor, MigrationSim, each_hypervisor());

}  // namespace
