// SPDX-License-Identifier: Apache-2.0
#include "lib/parse/elf.hpp"

#include "abi/xen/elfnote.hpp"
#include "abi/xen/features.hpp"

namespace parse {

namespace {

using base::Errc;

/// ELF-64 object file format, figure 2.
struct FileHeader {
    std::uint8_t ident[16];
    std::uint16_t type;
    std::uint16_t machine;
    std::uint32_t version;
    std::uint64_t entry;
    std::uint64_t segments_at;
    std::uint64_t sections_at;
    std::uint32_t flags;
    std::uint16_t header_size;
    std::uint16_t segment_size;
    std::uint16_t segment_count;
    std::uint16_t section_size;
    std::uint16_t section_count;
    std::uint16_t names_index;
};
static_assert(sizeof(FileHeader) == 64);

struct ProgramHeader {
    std::uint32_t type;
    std::uint32_t flags;
    std::uint64_t offset;
    std::uint64_t vaddr;
    std::uint64_t paddr;
    std::uint64_t file_size;
    std::uint64_t mem_size;
    std::uint64_t align;
};
static_assert(sizeof(ProgramHeader) == 56);

struct SectionHeader {
    std::uint32_t name;
    std::uint32_t type;
    std::uint64_t flags;
    std::uint64_t address;
    std::uint64_t offset;
    std::uint64_t size;
    std::uint32_t link;
    std::uint32_t info;
    std::uint64_t align;
    std::uint64_t entry_size;
};
static_assert(sizeof(SectionHeader) == 64);

struct NoteHeader {
    std::uint32_t name_size;
    std::uint32_t description_size;
    std::uint32_t type;
};

constexpr std::uint16_t type_executable = 2;
constexpr std::uint16_t type_shared = 3;
constexpr std::uint16_t machine_x86_64 = 62;
constexpr std::uint8_t class_64 = 2;
constexpr std::uint8_t little_endian = 1;

constexpr std::uint64_t round_up_4(std::uint64_t n) { return (n + 3) & ~std::uint64_t{3}; }

bool wraps(std::uint64_t start, std::uint64_t length) { return start + length < start; }

void widen(ElfExtent& extent, std::uint64_t start, std::uint64_t length) {
    if (start < extent.start) extent.start = start;
    if (start + length > extent.end) extent.end = start + length;
}

constexpr std::string_view xen_notes = "Xen";
constexpr std::string_view bsd_symtab_yes = "yes";

struct FeatureName {
    std::string_view name;
    std::uint32_t number;
};

constexpr FeatureName feature_names[] = {
    {"writable_page_tables", xen::XENFEAT_writable_page_tables},
    {"writable_descriptor_tables", xen::XENFEAT_writable_descriptor_tables},
    {"auto_translated_physmap", xen::XENFEAT_auto_translated_physmap},
    {"supervisor_mode_kernel", xen::XENFEAT_supervisor_mode_kernel},
    {"pae_pgdir_above_4gb", xen::XENFEAT_pae_pgdir_above_4gb},
    {"mmu_pt_update_preserve_ad", xen::XENFEAT_mmu_pt_update_preserve_ad},
    {"gnttab_map_avail_bits", xen::XENFEAT_gnttab_map_avail_bits},
    {"hvm_callback_vector", xen::XENFEAT_hvm_callback_vector},
    {"hvm_safe_pvclock", xen::XENFEAT_hvm_safe_pvclock},
    {"hvm_pirqs", xen::XENFEAT_hvm_pirqs},
    {"dom0", xen::XENFEAT_dom0},
    {"memory_op_vnode_supported", xen::XENFEAT_memory_op_vnode_supported},
    {"linux_rsdp_unrestricted", xen::XENFEAT_linux_rsdp_unrestricted},
};

}  // namespace

bool is_elf(Bytes file) { return inside(file, 0, 4) && load_unchecked<std::uint32_t>(file, 0) == 0x464C457F; }

base::Result<ElfImage> ElfImage::open(Bytes file) {
    if (!is_elf(file)) return base::Err{Errc::noexec};
    const FileHeader header = TRY(load<FileHeader>(file, 0));
    if (header.ident[4] != class_64 || header.ident[5] != little_endian || header.machine != machine_x86_64)
        return base::Err{Errc::noexec};
    if (header.type != type_executable && header.type != type_shared) return base::Err{Errc::noexec};
    if (header.segment_count == 0 || header.segment_size != sizeof(ProgramHeader)) return base::Err{Errc::noexec};

    ElfImage image;
    image.file_ = file;
    image.entry_ = header.entry;
    image.segments_at_ = header.segments_at;
    image.segment_count_ = header.segment_count;
    TRY(image.read_segments());
    // A truncated section table only costs the sections: nothing is loaded by them.
    const std::uint64_t table = std::uint64_t{header.section_count} * sizeof(SectionHeader);
    if (header.section_size == sizeof(SectionHeader) && inside(file, header.sections_at, table)) {
        image.sections_at_ = header.sections_at;
        image.section_count_ = header.section_count;
        image.names_section_ = header.names_index;
    }
    return image;
}

base::Status ElfImage::read_segments() {
    if (!inside(file_, segments_at_, std::uint64_t{segment_count_} * sizeof(ProgramHeader))) return base::Err{Errc::range};
    physical_ = virtual_ = {UINT64_MAX, 0};
    bool any = false;
    for (std::uint32_t i = 0; i < segment_count_; ++i) {
        const ElfSegment s = segment(i);
        if (s.type != elf_pt_load || s.mem_size == 0) continue;
        if (s.file_size > s.mem_size || !inside(file_, s.offset, s.file_size)) return base::Err{Errc::range};
        if (wraps(s.vaddr, s.mem_size) || wraps(s.paddr, s.mem_size)) return base::Err{Errc::range};
        widen(physical_, s.paddr, s.mem_size);
        widen(virtual_, s.vaddr, s.mem_size);
        any = true;
    }
    if (!any) return base::Err{Errc::noexec};
    return base::ok;
}

ElfSegment ElfImage::segment(std::uint32_t index) const {
    const auto p = load_unchecked<ProgramHeader>(file_, segments_at_ + std::uint64_t{index} * sizeof(ProgramHeader));
    return {p.type, p.flags, p.offset, p.vaddr, p.paddr, p.file_size, p.mem_size, p.align};
}

Bytes ElfImage::contents(const ElfSegment& s) const {
    auto bytes = slice(file_, s.offset, s.file_size);
    return bytes ? bytes.value() : Bytes{};
}

Bytes ElfImage::section_notes(std::uint32_t index) const {
    if (index >= section_count_) return {};
    const auto s = load_unchecked<SectionHeader>(file_, sections_at_ + std::uint64_t{index} * sizeof(SectionHeader));
    if (s.type != elf_sht_note) return {};
    auto bytes = slice(file_, s.offset, s.size);
    return bytes ? bytes.value() : Bytes{};
}

Bytes ElfImage::section_named(std::string_view name) const {
    const auto header = [&](std::uint32_t index) {
        return load_unchecked<SectionHeader>(file_, sections_at_ + std::uint64_t{index} * sizeof(SectionHeader));
    };
    if (names_section_ >= section_count_) return {};
    const SectionHeader names_header = header(names_section_);
    const auto names = slice(file_, names_header.offset, names_header.size);
    if (!names) return {};
    for (std::uint32_t i = 1; i < section_count_; ++i) {
        const SectionHeader s = header(i);
        if (s.name >= names.value().size() || until_nul(as_text(names.value().subspan(s.name))) != name) continue;
        auto bytes = slice(file_, s.offset, s.size);
        return bytes ? bytes.value() : Bytes{};
    }
    return {};
}

base::Result<std::uint64_t> ElfNote::number() const {
    if (description.size() == 4) return std::uint64_t{load_unchecked<std::uint32_t>(description, 0)};
    if (description.size() == 8) return load_unchecked<std::uint64_t>(description, 0);
    return base::Err{Errc::inval};
}

std::optional<ElfNote> ElfNotes::next() {
    if (!inside(rest_, 0, sizeof(NoteHeader))) return std::nullopt;
    const auto header = load_unchecked<NoteHeader>(rest_, 0);
    const std::uint64_t description_at = sizeof(NoteHeader) + round_up_4(header.name_size);
    const std::uint64_t end = description_at + round_up_4(header.description_size);
    if (!inside(rest_, description_at, header.description_size)) {
        rest_ = {};
        return std::nullopt;
    }
    const ElfNote note{until_nul(as_text(rest_.subspan(sizeof(NoteHeader), header.name_size))), header.type,
                       rest_.subspan(description_at, header.description_size)};
    rest_ = end < rest_.size() ? rest_.subspan(end) : Bytes{};
    return note;
}

bool parse_xen_features(std::string_view text, XenFeatureMask& mask) {
    bool known_all = true;
    while (!text.empty()) {
        std::size_t end = 0;
        while (end < text.size() && text[end] != '|') ++end;
        std::string_view word = cut(text, 0, end);
        text = cut(text, end + 1);
        const bool required = !word.empty() && word[0] == '!';
        if (required) word = cut(word, 1);
        bool known = word.empty();
        for (const FeatureName& feature : feature_names) {
            if (feature.name != word) continue;
            mask.supported |= 1u << feature.number;
            if (required) mask.required |= 1u << feature.number;
            known = true;
        }
        if (required && !known) known_all = false;
    }
    return known_all;
}

namespace {

/// Notes whose description is a number.
base::Status take_number(const ElfNote& note, XenNotes& out) {
    const auto into = [&](std::optional<std::uint64_t>& field) -> base::Status {
        field = TRY(note.number());
        return base::ok;
    };
    switch (note.type) {
        case xen::XEN_ELFNOTE_ENTRY: return into(out.entry);
        case xen::XEN_ELFNOTE_HYPERCALL_PAGE: return into(out.hypercall_page);
        case xen::XEN_ELFNOTE_VIRT_BASE: return into(out.virt_base);
        case xen::XEN_ELFNOTE_PADDR_OFFSET: return into(out.paddr_offset);
        case xen::XEN_ELFNOTE_INIT_P2M: return into(out.init_p2m);
        case xen::XEN_ELFNOTE_HV_START_LOW: return into(out.hv_start_low);
        case xen::XEN_ELFNOTE_PHYS32_ENTRY: return into(out.phys32_entry);
        case xen::XEN_ELFNOTE_SUSPEND_CANCEL: out.suspend_cancel = TRY(note.number()) != 0; return base::ok;
        case xen::XEN_ELFNOTE_MOD_START_PFN: out.mod_start_pfn = TRY(note.number()) != 0; return base::ok;
        case xen::XEN_ELFNOTE_SUPPORTED_FEATURES:
            out.feature_mask.supported |= static_cast<std::uint32_t>(TRY(note.number()));
            return base::ok;
        default: return base::ok;
    }
}

base::Status take_note(const ElfNote& note, XenNotes& out) {
    switch (note.type) {
        case xen::XEN_ELFNOTE_XEN_VERSION: out.xen_version = note.text(); return base::ok;
        case xen::XEN_ELFNOTE_GUEST_OS: out.guest_os = note.text(); return base::ok;
        case xen::XEN_ELFNOTE_GUEST_VERSION: out.guest_version = note.text(); return base::ok;
        case xen::XEN_ELFNOTE_LOADER: out.loader = note.text(); return base::ok;
        case xen::XEN_ELFNOTE_PAE_MODE: out.pae_mode = note.text(); return base::ok;
        case xen::XEN_ELFNOTE_BSD_SYMTAB: out.bsd_symtab = note.text() == bsd_symtab_yes; return base::ok;
        case xen::XEN_ELFNOTE_FEATURES:
            out.features = note.text();
            if (!parse_xen_features(out.features, out.feature_mask)) out.unknown_feature_required = true;
            return base::ok;
        case xen::XEN_ELFNOTE_L1_MFN_VALID:
            if (note.description.size() != 16) return base::Err{Errc::inval};
            out.l1_mfn_mask = load_unchecked<std::uint64_t>(note.description, 0);
            out.l1_mfn_value = load_unchecked<std::uint64_t>(note.description, 8);
            return base::ok;
        default: return take_number(note, out);
    }
}

/// Returns how many Xen notes were found.
base::Result<unsigned> take_notes(Bytes notes, XenNotes& out) {
    unsigned found = 0;
    ElfNotes walk(notes);
    while (const auto note = walk.next()) {
        if (note->name != xen_notes) continue;
        TRY(take_note(*note, out));
        ++found;
    }
    return found;
}

}  // namespace

base::Result<XenNotes> read_xen_notes(const ElfImage& image) {
    XenNotes out;
    unsigned found = 0;
    for (std::uint32_t i = 0; i < image.segment_count(); ++i) {
        const ElfSegment s = image.segment(i);
        if (s.type == elf_pt_note) found += TRY(take_notes(image.contents(s), out));
    }
    for (std::uint32_t i = 0; found == 0 && i < image.section_count(); ++i) found += TRY(take_notes(image.section_notes(i), out));
    if (found != 0) return out;
    const Bytes text = image.section_named("__xen_guest");
    if (text.empty()) return base::Err{Errc::noent};
    return parse_xen_guest_text(until_nul(as_text(text)));
}

}  // namespace parse
