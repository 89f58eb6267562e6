// SPDX-License-Identifier: Apache-2.0
// link: builder parse
// Where a domain's pieces are put: nothing overlaps, everything is inside the memory, the interface's promises hold.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/host/test_kernel.hpp"
#include "toolstack/builder/builder.hpp"
#include "toolstack/builder/tables.hpp"

namespace {

using namespace testing_tools;
using builder::BuildInput;
using builder::Extent;
using builder::Layout;
using builder::Plan;

std::shared_ptr<const builder::Images> images(const KernelShape& shape, size_t ramdisk = 0) {
    auto i = std::make_shared<builder::Images>();
    i->kernel_path = "/k";
    i->kernel = std::make_shared<const std::vector<std::byte>>(make_kernel(shape));
    i->ramdisk_path = "/r";
    i->ramdisk = std::make_shared<const std::vector<std::byte>>(ramdisk);
    return i;
}

BuildInput input(uint64_t mib = 64) {
    BuildInput in;
    in.kernel = "/k";
    in.memory_kib = mib << 10;
    return in;
}

std::string refusal(const KernelShape& shape, const BuildInput& in = input(), size_t ramdisk = 0) {
    auto p = builder::plan(in, images(shape, ramdisk));
    return p ? "" : p.failure().text;
}

/// Every run of frames with a use of its own.
std::vector<Extent> uses(const Layout& l) {
    std::vector<Extent> all{l.kernel, l.p2m, l.tables, {l.start_info, 1}, {l.store, 1}, {l.console, 1}, {l.stack, 1}};
    if (l.ramdisk.pages != 0) all.push_back(l.ramdisk);
    return all;
}

void check(const Plan& p) {
    const Layout& l = p.layout;
    auto all = uses(l);
    std::ranges::sort(all, {}, &Extent::first);
    for (size_t i = 0; i + 1 < all.size(); ++i) ASSERT_LE(all[i].end(), all[i + 1].first);
    ASSERT_LE(all.back().end(), l.end);
    ASSERT_LE(l.end, p.pages);
    // The promises of the interface: 4 MiB granule, at least 512 KiB behind the stack.
    ASSERT_EQ(l.mapped_end % (4 << 20), 0U);
    ASSERT_GE(l.mapped_end - (l.virt_base + (l.stack + 1) * 4096), 512U << 10);
    for (const builder::MappedRange& r : l.mapped) ASSERT_LE(r.frames.end(), p.pages);
    ASSERT_EQ(l.table_pages.front().level, 4U);
    ASSERT_EQ(l.table_pages.front().pfn, l.tables.first);
    std::vector<uint64_t> tables;
    for (const auto& t : l.table_pages) tables.push_back(t.pfn);
    std::ranges::sort(tables);
    ASSERT_TRUE(std::ranges::adjacent_find(tables) == tables.end());
    for (const uint64_t t : tables)
        ASSERT_TRUE((t >= l.tables.first && t < l.tables.end()) || (l.p2m_apart && t >= l.p2m.first && t < l.p2m.end()));
}

TEST(BuilderPlan, ATypeWithoutAPlannerIsRefusedBeforeFilesAreRead) {
    BuildInput in = input();
    in.kernel = "/nowhere";
    in.guest = config::HvmGuest{};
    EXPECT_EQ(builder::prepare(in).failure().text, "Domains of type 'hvm' cannot be built yet, only PV ones (builder='linux')");
    in.guest = config::PvhGuest{};
    EXPECT_EQ(refusal({}, in), "Domains of type 'pvh' cannot be built yet, only PV ones (builder='linux')");
    in.guest = config::PvGuest{};
    EXPECT_EQ(refusal({}, in), "");
}

TEST(BuilderPlan, GoldenOfALinuxShapedKernel) {
    auto p = builder::plan(input(64), images({}, 10'000));
    ASSERT_TRUE(p) << p.failure().text;
    const Layout& l = p->layout;
    EXPECT_EQ(l.kernel.first, 0x1000U);
    EXPECT_EQ(l.kernel.pages, 0xcU);  // text 3, gap 2, data and bss 6.5
    EXPECT_EQ(l.start_info, 0x100cU);
    EXPECT_EQ(l.store, 0x100dU);
    EXPECT_EQ(l.console, 0x100eU);
    EXPECT_EQ(l.tables.first, 0x100fU);
    EXPECT_EQ(l.tables.pages, 13U);  // L4, L3, L2 and an L1 for each of the ten 2 MiB up to mapped_end
    EXPECT_EQ(l.stack, 0x101cU);
    EXPECT_EQ(l.mapped_end, 0xffff'ffff'8140'0000U);
    EXPECT_EQ(l.ramdisk.first, 0x1400U);
    EXPECT_FALSE(l.ramdisk_mapped);
    EXPECT_EQ(l.ramdisk.pages, 3U);
    EXPECT_TRUE(l.p2m_apart);
    EXPECT_EQ(l.p2m.first, 0x1403U);
    EXPECT_EQ(l.p2m.pages, 32U + 3U);  // 16384 entries; L3, L2, L1 of its own
    EXPECT_EQ(l.hypercall_page, 0x1001U);
    EXPECT_EQ(l.entry, 0xffff'ffff'8100'0040U);
    check(*p);
}

TEST(BuilderPlan, OldKernelsGetEverythingMapped) {
    KernelShape shape;
    shape.init_p2m.reset();
    shape.mod_start_pfn = false;
    auto p = builder::plan(input(64), images(shape, 10'000));
    ASSERT_TRUE(p) << p.failure().text;
    EXPECT_TRUE(p->layout.ramdisk_mapped);
    EXPECT_FALSE(p->layout.p2m_apart);
    EXPECT_EQ(p->layout.p2m_virt, p->layout.virt_base + p->layout.p2m.first * 4096);
    EXPECT_EQ(p->layout.mapped.size(), 1U);
    check(*p);
}

TEST(BuilderPlan, HoldsForEveryShape) {
    for (const uint64_t mib : {32U, 33U, 64U, 1000U, 4096U, 70'000U})
        for (const size_t ramdisk : {0U, 1U, 4096U, 9'000'000U})
            for (const uint64_t at : {0x100'0000U, 0x20'0000U, 0x100'1000U})
                for (const uint64_t base : {0xffff'ffff'8000'0000ULL, 0xffff'8800'0000'0000ULL, 0xffff'ffff'8010'0000ULL, 0ULL})
                    for (const bool old : {false, true}) {
                        KernelShape shape;
                        shape.load_at = at;
                        shape.virt_base = base;
                        if (old) shape.init_p2m.reset();
                        shape.mod_start_pfn = !old;
                        auto p = builder::plan(input(mib), images(shape, ramdisk));
                        ASSERT_TRUE(p) << p.failure().text << " base " << std::hex << base;
                        check(*p);
                        if (HasFatalFailure())
                            FAIL() << "mib " << mib << " ramdisk " << ramdisk << " at " << at << " base " << base << " old "
                                   << old;
                    }
}

// Kernels that say as little as possible: entered where the ELF header says, virtual base 0, everything in the first mapping.
TEST(BuilderPlan, GenericKernelsNeedNoEntryNorBase) {
    KernelShape shape;
    shape.xen_entry = false;
    shape.virt_base = 0;
    shape.init_p2m.reset();
    shape.mod_start_pfn = false;
    auto p = builder::plan(input(64), images(shape, 10'000));
    ASSERT_TRUE(p) << p.failure().text;
    EXPECT_EQ(p->layout.entry, 0x100'0000U);
    EXPECT_EQ(p->layout.virt_base, 0U);
    EXPECT_TRUE(p->layout.ramdisk_mapped);
    EXPECT_FALSE(p->layout.p2m_apart);
    EXPECT_EQ(p->layout.p2m_virt, p->layout.p2m.first * 4096);
    check(*p);
}

// The same rules as Xen's: any loader will do for Linux, else it is the generic one.
TEST(BuilderPlan, LoaderAndInterface) {
    EXPECT_EQ(refusal({.loader = "special", .os = "linux"}), "");
    EXPECT_EQ(refusal({.loader = "special"}), "Kernel /k wants a special loader: special");
    EXPECT_EQ(refusal({.loader = ""}), "Kernel /k wants a special loader: none is named");
    EXPECT_EQ(refusal({.xen_version = "xen-3.0-x86_64"}), "");
    EXPECT_EQ(refusal({.xen_version = ""}), "Kernel /k is for another interface: none is named");
}

TEST(BuilderPlan, RefusesWithOneClearLine) {
    EXPECT_EQ(refusal({.notes = false}), "Kernel /k has no Xen notes: it is not built to run as a PV domain");
    EXPECT_EQ(refusal({.xen_entry = false, .pvh_entry = true}), "Kernel /k can only be started as PVH, not as a PV domain");
    EXPECT_EQ(refusal({.machine = 3}), "Kernel /k is not a 64-bit x86 kernel");
    EXPECT_EQ(refusal({.xen_version = "xen-2.0"}), "Kernel /k is for another interface: xen-2.0");
    EXPECT_EQ(refusal({.entry_offset = 0x100'0000}), "Kernel /k: its entry point is outside of the image");
    EXPECT_EQ(refusal({.hypercall_offset = 0x100'0000}), "Kernel /k: its hypercall page is outside of the image");
    EXPECT_EQ(refusal({.virt_base = 0xffff'8000'0000'0000}), "Kernel /k has a virtual base that no domain can use");
    EXPECT_EQ(refusal({.virt_base = 0xffff'ffff'ff00'0000}), "Kernel /k has a virtual base that no domain can use");
    EXPECT_EQ(refusal({.init_p2m = 0xffff'8100'0000'0000}), "Kernel /k wants its p2m list at an address that is not free");
    EXPECT_EQ(refusal({.init_p2m = 0xffff'ffff'8100'0000}), "Kernel /k wants its p2m list at an address that is not free");
    EXPECT_EQ(refusal({.load_at = uint64_t{1} << 60}), "Kernel /k asks to be loaded outside of a domain's memory");
    EXPECT_EQ(refusal({}, input(16)), "Too little memory: 16 MiB, but kernel /k (1 MiB) need at least 21 MiB");
    EXPECT_EQ(refusal({}, input(24), 8 << 20),
              "Too little memory: 24 MiB, but kernel /k (1 MiB) and ramdisk /r (8 MiB) need at least 29 MiB");
}

TEST(BuilderPlan, RefusesBadInput) {
    BuildInput in = input();
    in.vcpus = 0;
    EXPECT_EQ(refusal({}, in), "A domain needs at least one CPU");
    in = input();
    in.max_vcpus = 9000;
    EXPECT_EQ(refusal({}, in), "Too many CPUs: 9000, at most 8192");
    in = input();
    in.memory_kib = 100;
    EXPECT_EQ(refusal({}, in), "Too little memory: 100 KiB, a domain needs at least 4096 KiB");
    in = input(64);
    in.max_memory_kib = 1024;
    EXPECT_EQ(refusal({}, in), "The memory limit (1024 KiB) is below the memory given at the start (65536 KiB)");
    in = input();
    in.command_line = std::string(1024, 'x');
    EXPECT_EQ(refusal({}, in), "The kernel's command line is too long: 1024 characters, at most 1023");
    in.command_line.pop_back();
    EXPECT_EQ(refusal({}, in), "");
}

TEST(BuilderPlan, DamagedImagesNeverCrash) {
    const Bytes good = make_kernel();
    for (size_t size = 0; size < good.size(); size += size < 1024 ? 1 : 509) {
        auto i = std::make_shared<builder::Images>(*images({}));
        i->kernel = std::make_shared<const std::vector<std::byte>>(good.begin(), good.begin() + static_cast<ptrdiff_t>(size));
        EXPECT_FALSE(builder::plan(input(), i)) << size;
    }
    for (size_t at = 0; at < 700; ++at) {
        for (const unsigned value : {0x00U, 0x7fU, 0xffU}) {
            auto i = std::make_shared<builder::Images>(*images({}));
            Bytes bad = good;
            bad[at] = static_cast<std::byte>(value);
            i->kernel = std::make_shared<const std::vector<std::byte>>(bad);
            auto p = builder::plan(input(), i);
            if (p) check(*p);
        }
    }
}

}  // namespace
