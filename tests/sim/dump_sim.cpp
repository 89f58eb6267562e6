// SPDX-License-Identifier: Apache-2.0
// link: xenctrl builder migration
// Core dumps of a guest of the hypervisor's own core: the sections that Xen's tools look for, and every page in them.
#include <elf.h>
#include <gtest/gtest.h>

#include <map>

#include "hypervisor/guest/pv/pv.hpp"
#include "tests/host/saved_image.hpp"
#include "tests/host/test_kernel.hpp"
#include "tests/sim/backend.hpp"
#include "tests/sim/guest.hpp"
#include "toolstack/builder/builder.hpp"
#include "toolstack/migration/core_dump.hpp"

namespace {

using namespace testing_tools;
using base::DomId;
using base::Outcome;

class NoStore final : public builder::StoreIntroduce {
public:
    Outcome<> introduce(DomId, base::Mfn, base::Port) override { return base::ok; }
    void release(DomId) noexcept override {}
};

/// As Linux does when it starts: publishes the list of its pages.
void publish_pages(sim::GuestCpu& cpu, const builder::Layout& layout) {
    hv::Vcpu& v = cpu.vcpu();
    const auto* info =
        reinterpret_cast<const xen::StartInfo*>(sim::guest_virtual(v, layout.virt_base + layout.start_info * 4096));
    xen::SharedInfo& shared = *v.domain.shared;
    shared.arch.max_pfn = info->nr_pages;
    shared.arch.p2m_cr3 = v.pv->kernel_root.raw << 12;
    shared.arch.p2m_vaddr = layout.p2m_virt;
}

/// The sections of a dump by name.
struct Core {
    std::map<std::string, std::span<const std::byte>> sections;

    explicit Core(std::span<const std::byte> file) {
        Elf64_Ehdr elf{};
        std::memcpy(&elf, file.data(), sizeof elf);
        EXPECT_EQ(std::memcmp(elf.e_ident, ELFMAG, SELFMAG), 0);
        EXPECT_EQ(elf.e_type, ET_CORE);
        std::vector<Elf64_Shdr> headers(elf.e_shnum);
        std::memcpy(headers.data(), file.data() + elf.e_shoff, headers.size() * sizeof(Elf64_Shdr));
        const char* names = reinterpret_cast<const char*>(file.data() + headers.at(elf.e_shstrndx).sh_offset);
        for (const Elf64_Shdr& one : headers) {
            EXPECT_LE(one.sh_offset + one.sh_size, file.size());
            EXPECT_TRUE(one.sh_addralign == 0 || one.sh_offset % one.sh_addralign == 0) << names + one.sh_name;
            sections[names + one.sh_name] = file.subspan(one.sh_offset, one.sh_size);
        }
    }
    template <class T>
    std::vector<T> values(const std::string& name) const {
        std::vector<T> out(sections.at(name).size() / sizeof(T));
        std::memcpy(out.data(), sections.at(name).data(), out.size() * sizeof(T));
        return out;
    }
};

TEST(DumpSim, TheSectionsHoldAllOfTheDomain) {
    sim::Machine& machine = sim::Machine::instance();
    sim::SimBackend backend{machine};
    xenctrl::Control control{backend};
    NoStore store;
    builder::BuildInput input;
    input.memory_kib = 24 << 10;
    input.vcpus = 2;
    auto images = std::make_shared<builder::Images>();
    images->kernel_path = "/k";
    images->kernel = std::make_shared<const std::vector<std::byte>>(make_kernel());
    images->ramdisk = std::make_shared<const std::vector<std::byte>>(50'000, std::byte{7});
    const builder::Plan plan = builder::plan(input, images).take();
    machine.program = [&](sim::GuestCpu& cpu) { publish_pages(cpu, plan.layout); };
    const auto built = builder::build(control, store, plan);
    ASSERT_TRUE(built) << built.failure().text;
    BytesSink early;
    const auto refused = migration::dump_core(control, built->id, early);
    ASSERT_FALSE(refused) << "it has no list of its pages yet";
    EXPECT_EQ(refused.failure().text, "The guest's list of its pages is not there");
    EXPECT_TRUE(early.bytes.empty());
    ASSERT_TRUE(control.unpause(built->id));
    ASSERT_TRUE(control.pause(built->id));

    BytesSink sink;
    const auto done = migration::dump_core(control, built->id, sink);
    ASSERT_TRUE(done) << done.failure().text;
    const Core core(sink.bytes);
    const auto notes = core.values<uint64_t>(".note.Xen");
    // An empty note, then the header's: 16 bytes of head, then magic, vCPUs, pages, size of a page.
    ASSERT_GE(notes.size(), 8U);
    EXPECT_EQ(notes[4], 0xF00FEBEDU);
    EXPECT_EQ(notes[5], core.values<xen::VcpuGuestContext>(".xen_prstatus").size());
    EXPECT_EQ(notes[6], plan.pages);
    EXPECT_EQ(notes[7], 4096U);
    const auto contexts = core.values<xen::VcpuGuestContext>(".xen_prstatus");
    const auto real = control.vcpu_context(built->id, base::VcpuId{0});
    ASSERT_TRUE(real);
    EXPECT_EQ(std::memcmp(&contexts.at(0), &*real, sizeof(xen::VcpuGuestContext)), 0);
    EXPECT_EQ(std::memcmp(core.sections.at(".xen_shared_info").data(), hv::lookup_domain(built->id)->shared, 4096), 0);
    const auto p2m = core.values<std::array<uint64_t, 2>>(".xen_p2m");
    ASSERT_EQ(p2m.size(), plan.pages);
    const auto pages = core.sections.at(".xen_pages");
    ASSERT_EQ(pages.size(), plan.pages * 4096);
    for (size_t i = 0; i < p2m.size(); ++i) {
        ASSERT_EQ(hv::m2p(hv::Mfn{p2m[i][1]}), p2m[i][0]);
        ASSERT_EQ(std::memcmp(pages.data() + i * 4096, hv::map_mfn(hv::Mfn{p2m[i][1]}), 4096), 0) << "page " << p2m[i][0];
    }
    ASSERT_TRUE(control.destroy(built->id));
    machine.program = nullptr;
    EXPECT_EQ(backend.mappings(), 0U);
}

}  // namespace
