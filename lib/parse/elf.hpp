// SPDX-License-Identifier: Apache-2.0
/// 64-bit x86 ELF images, and the notes with which a kernel tells Xen how it wants to be started.
/// Freestanding; no allocation; views point into the image, which must outlive them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "lib/base/result.hpp"
#include "lib/parse/bytes.hpp"

namespace parse {

inline constexpr std::uint32_t elf_pt_load = 1;
inline constexpr std::uint32_t elf_pt_note = 4;
inline constexpr std::uint32_t elf_sht_note = 7;
inline constexpr std::uint32_t elf_flag_execute = 1;
inline constexpr std::uint32_t elf_flag_write = 2;

/// A program header, already checked when type is elf_pt_load: file range inside the image, memory range does not wrap.
struct ElfSegment {
    std::uint32_t type;
    std::uint32_t flags;
    std::uint64_t offset;
    std::uint64_t vaddr;
    std::uint64_t paddr;
    std::uint64_t file_size;
    std::uint64_t mem_size;
    std::uint64_t align;
};

/// A half-open address range.
struct ElfExtent {
    std::uint64_t start;
    std::uint64_t end;
};

class ElfImage {
public:
    /// Checks the header and every program header.
    /// Errors: noexec when it is no little-endian x86-64 executable (or has nothing to load), range when a header or a
    /// segment reaches outside the file or wraps around.
    static base::Result<ElfImage> open(Bytes file);

    std::uint64_t entry() const { return entry_; }
    std::uint32_t segment_count() const { return segment_count_; }
    /// Program header `index` < segment_count().
    ElfSegment segment(std::uint32_t index) const;
    /// The bytes a loadable segment has in the file; the rest up to mem_size is zero.
    Bytes contents(const ElfSegment& segment) const;
    /// From the lowest to the highest loadable byte, by physical and by virtual address.
    ElfExtent physical_extent() const { return physical_; }
    ElfExtent virtual_extent() const { return virtual_; }

    std::uint32_t section_count() const { return section_count_; }
    Bytes file() const { return file_; }
    /// Notes of section `index`, empty when it is no note section or lies outside the file.
    Bytes section_notes(std::uint32_t index) const;
    /// The contents of the first section of that name, empty when there is none or it lies outside the file.
    Bytes section_named(std::string_view name) const;

private:
    friend bool is_elf(Bytes);
    base::Status read_segments();

    Bytes file_;
    std::uint64_t entry_ = 0;
    std::uint64_t segments_at_ = 0;
    std::uint64_t sections_at_ = 0;
    std::uint32_t segment_count_ = 0;
    std::uint32_t section_count_ = 0;
    std::uint32_t names_section_ = 0;
    ElfExtent physical_{};
    ElfExtent virtual_{};
};

/// Whether the file starts like an ELF file of any kind.
bool is_elf(Bytes file);

/// One note; `name` without its NUL.
struct ElfNote {
    std::string_view name;
    std::uint32_t type;
    Bytes description;

    /// A description of 4 or 8 bytes as a number. Errors: inval for other lengths.
    base::Result<std::uint64_t> number() const;
    std::string_view text() const { return until_nul(as_text(description)); }
};

/// Walks notes. Stops at the first one that does not fit.
class ElfNotes {
public:
    explicit ElfNotes(Bytes notes) : rest_(notes) {}
    std::optional<ElfNote> next();

private:
    Bytes rest_;
};

/// Bits of a feature number (xen::XENFEAT_*) as a mask.
struct XenFeatureMask {
    std::uint32_t supported = 0;
    std::uint32_t required = 0;
};

/// What the Xen notes say. Strings point into the image.
struct XenNotes {
    std::optional<std::uint64_t> entry;
    std::optional<std::uint64_t> hypercall_page;
    std::optional<std::uint64_t> virt_base;
    std::optional<std::uint64_t> paddr_offset;
    std::optional<std::uint64_t> init_p2m;
    std::optional<std::uint64_t> hv_start_low;
    std::optional<std::uint64_t> phys32_entry;  ///< PVH entry, physical address
    std::optional<std::uint64_t> l1_mfn_mask;   ///< of XEN_ELFNOTE_L1_MFN_VALID
    std::optional<std::uint64_t> l1_mfn_value;
    std::string_view xen_version;
    std::string_view guest_os;
    std::string_view guest_version;
    std::string_view loader;
    std::string_view features;  ///< raw string; parsed into feature_mask
    std::string_view pae_mode;
    bool bsd_symtab = false;
    bool suspend_cancel = false;
    bool mod_start_pfn = false;  ///< the initrd may stay outside the initial mapping, named by its pfn
    bool unknown_feature_required = false;
    XenFeatureMask feature_mask;

    /// virt_base or 0, as Xen reads its absence.
    std::uint64_t base_address() const { return virt_base.value_or(0); }
    /// Whether a feature (xen::XENFEAT_*) is named as supported or required.
    bool supports(unsigned feature) const {
        return feature < 32 && (((feature_mask.supported | feature_mask.required) >> feature) & 1) != 0;
    }
};

/// Reads the Xen notes from PT_NOTE segments, or, when those hold none, from SHT_NOTE sections, or, when there are none
/// either, the older form: a section __xen_guest with a text (parse_xen_guest_text).
/// Errors: noent when the image has no Xen note at all (no Xen kernel), inval when one of them is malformed.
base::Result<XenNotes> read_xen_notes(const ElfImage& image);

/// Parses what kernels before ELF notes said: "GUEST_OS=linux,XEN_VER=xen-3.0,VIRT_BASE=0xffffffff80000000,HYPERCALL_PAGE=0x2";
/// the hypercall page is counted in pages from the virtual base, which must come before it, and physical addresses start at the
/// virtual base unless ELF_PADDR_OFFSET says otherwise. Names that are not known mean nothing.
/// Errors: inval for a number that is none.
base::Result<XenNotes> parse_xen_guest_text(std::string_view text);

/// Parses a features string such as "!writable_page_tables|pae_pgdir_above_4gb": `!` marks a requirement.
/// Returns false when a required feature is unknown.
bool parse_xen_features(std::string_view text, XenFeatureMask& mask);

}  // namespace parse
