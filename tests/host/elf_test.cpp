// SPDX-License-Identifier: Apache-2.0
// link: parse
#include "lib/parse/elf.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "abi/xen/elfnote.hpp"
#include "abi/xen/features.hpp"
#include "lib/parse/bzimage.hpp"

namespace {

using base::Errc;
using parse::ElfImage;

template <class... T>
std::string packed(T... values) {
    std::string out;
    (out.append(reinterpret_cast<const char*>(&values), sizeof values), ...);
    return out;
}

parse::Bytes bytes_of(const std::string& text) { return std::as_bytes(std::span(text.data(), text.size())); }

std::string note(std::uint32_t type, const std::string& description, const std::string& name = "Xen") {
    std::string out = packed(static_cast<std::uint32_t>(name.size() + 1), static_cast<std::uint32_t>(description.size()), type);
    out += name;
    out.resize((out.size() + 4) & ~std::size_t{3});
    out += description;
    out.resize((out.size() + 3) & ~std::size_t{3});
    return out;
}

struct Segment {
    std::uint32_t type = 1;
    std::uint64_t offset = 0x200, vaddr = 0xffffffff81000000, paddr = 0x1000000, file_size = 0x100, mem_size = 0x2000;
};

/// Header, segments, and `notes` at 0x180 as both a PT_NOTE and a section, as asked.
std::string elf(const std::vector<Segment>& segments, const std::string& notes, bool as_segment, bool as_section) {
    const auto notes_size = std::uint64_t{notes.size()};
    const std::uint16_t count = static_cast<std::uint16_t>(segments.size() + (as_segment ? 1 : 0));
    std::string out = std::string(
                          "\x7f"
                          "ELF\x02\x01\x01",
                          7) +
                      std::string(9, '\0');
    out += packed(std::uint16_t{2}, std::uint16_t{62}, 1u, std::uint64_t{0xffffffff81000040}, std::uint64_t{64},
                  std::uint64_t{0x400}, 0u, std::uint16_t{64}, std::uint16_t{56}, count, std::uint16_t{64}, std::uint16_t{1},
                  std::uint16_t{0});
    for (const Segment& s : segments)
        out += packed(s.type, 5u, s.offset, s.vaddr, s.paddr, s.file_size, s.mem_size, std::uint64_t{4096});
    if (as_segment)
        out += packed(4u, 4u, std::uint64_t{0x500}, std::uint64_t{0}, std::uint64_t{0}, notes_size, notes_size, std::uint64_t{4});
    out.resize(0x400);
    out += packed(0u, as_section ? 7u : 1u, std::uint64_t{0}, std::uint64_t{0}, std::uint64_t{0x500}, notes_size, 0u, 0u,
                  std::uint64_t{4}, std::uint64_t{0});
    out.resize(0x500);
    return out + notes;
}

std::string kernel_notes() {
    return note(1, packed(std::uint32_t{1}), "Linux") + note(xen::XEN_ELFNOTE_GUEST_OS, std::string("linux\0", 6)) +
           note(xen::XEN_ELFNOTE_ENTRY, packed(std::uint64_t{0xffffffff81000040})) +
           note(xen::XEN_ELFNOTE_HYPERCALL_PAGE, packed(std::uint64_t{0xffffffff81001000})) +
           note(xen::XEN_ELFNOTE_VIRT_BASE, packed(std::uint64_t{0xffffffff80000000})) +
           note(xen::XEN_ELFNOTE_INIT_P2M, packed(std::uint64_t{0x8000000000})) +
           note(xen::XEN_ELFNOTE_FEATURES, std::string("!writable_page_tables|pae_pgdir_above_4gb\0", 42)) +
           note(xen::XEN_ELFNOTE_SUPPORTED_FEATURES, packed(1u << xen::XENFEAT_dom0)) +
           note(xen::XEN_ELFNOTE_MOD_START_PFN, packed(1u)) +
           note(xen::XEN_ELFNOTE_L1_MFN_VALID, packed(std::uint64_t{1}, std::uint64_t{1}));
}

TEST(Elf, ReadsSegmentsAndNotes) {
    for (const bool segment : {true, false}) {
        const std::string file = elf({{}, {.offset = 0x300, .vaddr = 0xffffffff82000000, .paddr = 0x2000000, .mem_size = 0x100}},
                                     kernel_notes(), segment, !segment);
        auto opened = ElfImage::open(bytes_of(file));
        ASSERT_TRUE(opened);
        const ElfImage image = std::move(opened).take();
        EXPECT_EQ(image.physical_extent().start, 0x1000000u);
        EXPECT_EQ(image.physical_extent().end, 0x2000100u);
        EXPECT_EQ(image.virtual_extent().start, 0xffffffff81000000u);
        EXPECT_EQ(image.contents(image.segment(0)).size(), 0x100u);
        auto read = parse::read_xen_notes(image);
        ASSERT_TRUE(read);
        const auto notes = std::move(read).take();
        EXPECT_EQ(notes.guest_os, "linux");
        EXPECT_EQ(notes.entry, 0xffffffff81000040);
        EXPECT_EQ(notes.base_address(), 0xffffffff80000000);
        EXPECT_EQ(notes.init_p2m, 0x8000000000);
        EXPECT_EQ(notes.feature_mask.required, 1u);
        EXPECT_TRUE(notes.supports(xen::XENFEAT_pae_pgdir_above_4gb));
        EXPECT_TRUE(notes.supports(xen::XENFEAT_dom0));
        EXPECT_FALSE(notes.supports(xen::XENFEAT_auto_translated_physmap));
        EXPECT_TRUE(notes.mod_start_pfn);
        EXPECT_EQ(notes.l1_mfn_mask, 1u);
        EXPECT_FALSE(notes.unknown_feature_required);
        EXPECT_FALSE(notes.phys32_entry);
    }
}

TEST(Elf, ReadsTheTextBeforeThereWereNotes) {
    auto read = parse::parse_xen_guest_text(
        "GUEST_OS=linux,GUEST_VER=2.6,XEN_VER=xen-3.0,VIRT_BASE=0xffffffff80000000,ELF_PADDR_OFFSET=0x0,"
        "VIRT_ENTRY=0xffffffff80200000,HYPERCALL_PAGE=0x202,FEATURES=writable_page_tables|pae_pgdir_above_4gb,PAE=yes,LOADER="
        "generic");
    ASSERT_TRUE(read);
    const auto notes = std::move(read).take();
    EXPECT_EQ(notes.guest_os, "linux");
    EXPECT_EQ(notes.xen_version, "xen-3.0");
    EXPECT_EQ(notes.loader, "generic");
    EXPECT_EQ(notes.entry, 0xffffffff80200000);
    EXPECT_EQ(notes.hypercall_page, 0xffffffff80202000);
    EXPECT_EQ(notes.paddr_offset, 0u);
    EXPECT_TRUE(notes.supports(xen::XENFEAT_pae_pgdir_above_4gb));
    // Without ELF_PADDR_OFFSET physical addresses start at the virtual base.
    EXPECT_EQ(parse::parse_xen_guest_text("VIRT_BASE=0xc0000000").value().paddr_offset, 0xc0000000u);
    EXPECT_FALSE(parse::parse_xen_guest_text("VIRT_BASE=nonsense"));
    EXPECT_FALSE(parse::parse_xen_guest_text("VIRT_BASE=0x12345678123456781"));
    EXPECT_TRUE(parse::parse_xen_guest_text(",,=,UNKNOWN"));
}

TEST(Elf, FindsTheTextWhereThereAreNoNotes) {
    std::string file = elf({{}}, "", false, false);
    const auto append = [&](const std::string& what) {
        const std::uint64_t at = file.size();
        file += what;
        return at;
    };
    const std::string text("XEN_VER=xen-3.0,VIRT_BASE=0x100000000\0", 38), names("\0__xen_guest\0", 13);
    const std::uint64_t text_at = append(text), names_at = append(names);
    const auto section = [](std::uint32_t name, std::uint64_t at, std::uint64_t size) {
        return packed(name, 1u, std::uint64_t{0}, std::uint64_t{0}, at, size, 0u, 0u, std::uint64_t{1}, std::uint64_t{0});
    };
    const std::uint64_t table = append(section(0, 0, 0) + section(1, text_at, text.size()) + section(0, names_at, names.size()));
    const auto patch = [&](std::size_t at, const std::string& what) { file.replace(at, what.size(), what); };
    patch(0x28, packed(table));
    patch(0x3c, packed(std::uint16_t{3}, std::uint16_t{2}));
    auto read = parse::read_xen_notes(ElfImage::open(bytes_of(file)).value());
    ASSERT_TRUE(read);
    EXPECT_EQ(read.value().xen_version, "xen-3.0");
    EXPECT_EQ(read.value().virt_base, 0x100000000u);
    patch(0x3e, packed(std::uint16_t{9}));  // no such table of names
    EXPECT_EQ(parse::read_xen_notes(ElfImage::open(bytes_of(file)).value()).error(), Errc::noent);
}

TEST(Elf, RefusesWhatItCannotLoad) {
    const auto error = [](const std::vector<Segment>& segments) {
        const std::string file = elf(segments, "", false, false);
        return ElfImage::open(bytes_of(file)).error();
    };
    EXPECT_EQ(error({{.offset = 0x5000}}), Errc::range);
    EXPECT_EQ(error({{.offset = UINT64_MAX - 4}}), Errc::range);
    EXPECT_EQ(error({{.file_size = 0x100, .mem_size = 0x80}}), Errc::range);
    EXPECT_EQ(error({{.vaddr = UINT64_MAX - 0x10}}), Errc::range);
    EXPECT_EQ(error({{.type = 6}}), Errc::noexec);
    EXPECT_EQ(ElfImage::open({}).error(), Errc::noexec);
    std::string file = elf({{}}, "", false, false);
    EXPECT_EQ(ElfImage::open(bytes_of(file).first(50)).error(), Errc::range);
    EXPECT_EQ(ElfImage::open(bytes_of(file).first(70)).error(), Errc::range);
    file[4] = 1;
    EXPECT_EQ(ElfImage::open(bytes_of(file)).error(), Errc::noexec);
}

TEST(Elf, NotesAreJudged) {
    const auto read = [](const std::string& notes) {
        const std::string file = elf({{}}, notes, true, false);
        auto image = ElfImage::open(bytes_of(file));
        return parse::read_xen_notes(image.value()).error();
    };
    EXPECT_EQ(read(""), Errc::noent);
    EXPECT_EQ(read(note(1, packed(1u), "GNU")), Errc::noent);
    EXPECT_EQ(read(note(xen::XEN_ELFNOTE_ENTRY, "abc")), Errc::inval);
    EXPECT_EQ(read(packed(4u, 0xfffffff0u, 1u) + std::string("Xen\0", 4)), Errc::noent);
    EXPECT_EQ(read(packed(0xfffffffdu, 4u, 1u)), Errc::noent);
    const std::string file = elf({{}}, note(xen::XEN_ELFNOTE_FEATURES, "!warp_drive|dom0"), true, false);
    auto image = ElfImage::open(bytes_of(file));
    EXPECT_TRUE(parse::read_xen_notes(image.value()).value().unknown_feature_required);
}

std::string bzimage(const std::string& payload, std::uint16_t version = 0x20f) {
    std::string out(0x400, '\0');
    out[0x1f1] = 1;
    out.replace(0x1fe, 2, packed(std::uint16_t{0xAA55}));
    out.replace(0x202, 4, "HdrS");
    out.replace(0x206, 2, packed(version));
    out.replace(0x236, 2, packed(std::uint16_t{0x7f}));
    out.replace(0x248, 4, packed(std::uint32_t{0x40}));
    out.replace(0x24c, 4, packed(static_cast<std::uint32_t>(payload.size())));
    return out + std::string(0x40, 'c') + payload;
}

TEST(BzImage, FindsThePayload) {
    const std::string payload = std::string(
                                    "\xfd"
                                    "7zXZ\0",
                                    6) +
                                std::string(20, 'p') + packed(1000u);
    const std::string file = bzimage(payload);
    ASSERT_TRUE(parse::is_bzimage(bytes_of(file)));
    auto opened = parse::open_bzimage(bytes_of(file));
    ASSERT_TRUE(opened);
    EXPECT_EQ(opened.value().packing, parse::Packing::xz);
    EXPECT_EQ(opened.value().unpacked_size, 1000u);
    EXPECT_EQ(opened.value().payload.size(), payload.size());
    EXPECT_EQ(opened.value().load_flags, 0x7f);
    EXPECT_EQ(parse::open_bzimage(bytes_of(file).first(file.size() - 1)).error(), Errc::range);
    EXPECT_EQ(parse::open_bzimage(bytes_of(file).first(0x200)).error(), Errc::noexec);
    EXPECT_EQ(parse::open_bzimage(bytes_of(bzimage(payload, 0x207))).error(), Errc::noexec);
    EXPECT_EQ(parse::open_bzimage(bytes_of(bzimage("abc"))).error(), Errc::range);
    EXPECT_EQ(parse::detect_packing(bytes_of(std::string("\x28\xb5\x2f\xfd"))), parse::Packing::zstd);
    EXPECT_EQ(parse::detect_packing({}), parse::Packing::unknown);
    EXPECT_STREQ(parse::packing_name(parse::Packing::zstd), "zstd");
}

}  // namespace
