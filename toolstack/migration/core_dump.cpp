// SPDX-License-Identifier: Apache-2.0
#include "toolstack/migration/core_dump.hpp"

#include <elf.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "toolstack/migration/frames.hpp"
#include "toolstack/migration/p2m.hpp"

namespace migration {

using base::DomId;
using base::Errc;
using base::Outcome;
using base::VcpuId;
using proto::saved::Sink;
using xenctrl::Control;

namespace {

using Bytes = std::vector<std::byte>;

// The notes of .note.Xen and what they hold: Xen's dump format, version 0.1.
constexpr uint32_t note_none = 0x2000000, note_header = 0x2000001, note_version = 0x2000002, note_format = 0x2000003;
constexpr uint64_t magic_of_pv = 0xF00FEBED, format_version = 1;

struct NoteHeader {
    uint64_t magic, vcpus, pages, page_size;
};
struct NoteVersion {
    uint64_t major, minor;
    std::array<char, 16> extra;
    std::array<char, 64> compiler;
    std::array<char, 16> compiled_by;
    std::array<char, 32> compile_domain;
    std::array<char, 32> compile_date;
    std::array<char, 1024> capabilities;
    std::array<char, 64> changeset;
    uint64_t virt_start, page_size;
};
static_assert(sizeof(NoteVersion) == 1280);

struct P2mEntry {
    uint64_t pfn, mfn;
};

template <class T>
void append(Bytes& out, std::span<const T> values) {
    const auto bytes = std::as_bytes(values);
    out.insert(out.end(), bytes.begin(), bytes.end());
}

void append_note(Bytes& out, uint32_t type, std::span<const std::byte> content) {
    const Elf64_Nhdr head{4, static_cast<uint32_t>(content.size()), type};
    append<Elf64_Nhdr>(out, {&head, 1});
    append<char>(out, {"Xen", 4});
    append<std::byte>(out, content);
}

template <class T>
void append_note(Bytes& out, uint32_t type, const T& content) {
    append_note(out, type, std::as_bytes(std::span(&content, 1)));
}

template <size_t N>
void put(std::array<char, N>& to, const std::string& text) {
    to.fill(0);
    text.copy(to.data(), N - 1);
}

Bytes notes(const xenctrl::VersionInfo& v, uint64_t vcpus, uint64_t pages) {
    NoteVersion version{};
    version.major = v.major;
    version.minor = v.minor;
    put(version.extra, v.extra);
    put(version.compiler, v.compiler);
    put(version.compiled_by, v.compiled_by);
    put(version.compile_domain, v.compile_domain);
    put(version.compile_date, v.compile_date);
    put(version.capabilities, v.capabilities);
    put(version.changeset, v.changeset);
    version.virt_start = v.virt_start;
    version.page_size = v.page_size;
    Bytes out;
    append_note(out, note_none, std::span<const std::byte>{});
    append_note(out, note_header, NoteHeader{magic_of_pv, vcpus, pages, base::page_size});
    append_note(out, note_version, version);
    append_note(out, note_format, format_version);
    return out;
}

/// The file's sections, in order, each behind the other.
class Sections {
public:
    Sections() { add("", SHT_NULL, 0, 0, 0); }

    void add(const std::string& name, uint32_t type, uint64_t size, uint64_t entry, uint64_t align) {
        Elf64_Shdr section{};
        section.sh_name = static_cast<uint32_t>(names_.size());
        section.sh_type = type;
        section.sh_size = size;
        section.sh_entsize = entry;
        section.sh_addralign = align;
        names_ += name + '\0';
        sections_.push_back(section);
    }
    /// ELF header, section headers and the names, which are a section too: all that comes before the first section added.
    Bytes head() {
        add(".shstrtab", SHT_STRTAB, 0, 0, 1);
        sections_.back().sh_size = names_.size();
        sections_.back().sh_offset = sizeof(Elf64_Ehdr) + sections_.size() * sizeof(Elf64_Shdr);
        uint64_t at = sections_.back().sh_offset + names_.size();
        for (size_t i = 1; i + 1 < sections_.size(); ++i) {
            Elf64_Shdr& section = sections_[i];
            at = (at + section.sh_addralign - 1) / section.sh_addralign * section.sh_addralign;
            section.sh_offset = at;
            at += section.sh_size;
        }
        Elf64_Ehdr elf{};
        std::memcpy(elf.e_ident, ELFMAG, SELFMAG);
        elf.e_ident[EI_CLASS] = ELFCLASS64;
        elf.e_ident[EI_DATA] = ELFDATA2LSB;
        elf.e_ident[EI_VERSION] = EV_CURRENT;
        elf.e_type = ET_CORE;
        elf.e_machine = EM_X86_64;
        elf.e_version = EV_CURRENT;
        elf.e_ehsize = sizeof(Elf64_Ehdr);
        elf.e_shoff = sizeof(Elf64_Ehdr);
        elf.e_shentsize = sizeof(Elf64_Shdr);
        elf.e_shnum = static_cast<uint16_t>(sections_.size());
        elf.e_shstrndx = static_cast<uint16_t>(sections_.size() - 1);
        Bytes out;
        append<Elf64_Ehdr>(out, {&elf, 1});
        append<Elf64_Shdr>(out, sections_);
        append<char>(out, names_);
        return out;
    }
    uint64_t offset(size_t section) const { return sections_[section].sh_offset; }

private:
    std::vector<Elf64_Shdr> sections_;
    std::string names_;
};

/// What was written and where the next section begins.
class Output {
    Sink& sink_;
    uint64_t at_ = 0;

public:
    explicit Output(Sink& sink) : sink_(sink) {}
    Outcome<> write(std::span<const std::byte> bytes) {
        at_ += bytes.size();
        return sink_.write(bytes);
    }
    Outcome<> zeros(uint64_t count) {
        at_ += count;
        return sink_.zeros(count);
    }
    Outcome<> begin(uint64_t offset) { return offset == at_ ? Outcome<>(base::ok) : zeros(offset - at_); }
};

Outcome<> write_pages(Control& control, DomId domain, std::span<const P2mEntry> p2m, Output& out) {
    FrameReader reader(control, domain);
    std::vector<base::Gfn> frames;
    for (; !p2m.empty(); p2m = p2m.subspan(frames.size())) {
        frames.clear();
        for (const P2mEntry& entry : p2m.first(std::min(p2m.size(), most_frames))) frames.emplace_back(entry.mfn);
        OTRY(reader.read(frames));
        for (size_t i = 0; i < frames.size(); ++i) {
            const std::byte* page = reader.page(i);
            OTRY(page == nullptr ? out.zeros(base::page_size) : out.write({page, base::page_size}));
        }
    }
    return base::ok;
}

}  // namespace

Outcome<> dump_core(Control& control, DomId domain, Sink& sink) {
    const xenctrl::DomainInfo info = OTRY(control.info(domain));
    if (info.hvm) return base::fail(Errc::opnotsupp, "Only PV domains can be dumped yet");
    const GuestPages pages = OTRY(GuestPages::read(control, info));
    std::vector<P2mEntry> p2m;
    for (uint64_t pfn = 0; pfn < pages.count(); ++pfn) {
        if (pages.kind(pfn).has_data()) p2m.push_back({pfn, pages.mfn(pfn)});
    }
    std::vector<xen::VcpuGuestContext> contexts;
    for (uint32_t i = 0; i < info.vcpus; ++i) {
        auto context = control.vcpu_context(domain, VcpuId{i});
        if (context) contexts.push_back(*context);  // one that was never started has none
    }
    const Bytes note = notes(OTRY(control.version()), contexts.size(), p2m.size());

    Sections sections;
    const size_t context_size = sizeof(xen::VcpuGuestContext), first = 1;
    sections.add(".note.Xen", SHT_NOTE, note.size(), 0, 4);
    sections.add(".xen_prstatus", SHT_PROGBITS, contexts.size() * context_size, context_size, 8);
    sections.add(".xen_shared_info", SHT_PROGBITS, base::page_size, base::page_size, 8);
    sections.add(".xen_p2m", SHT_PROGBITS, p2m.size() * sizeof(P2mEntry), sizeof(P2mEntry), 8);
    sections.add(".xen_pages", SHT_PROGBITS, p2m.size() * base::page_size, base::page_size, base::page_size);
    Output out(sink);
    OTRY(out.write(sections.head()));
    const std::span<const std::byte> parts[] = {note, std::as_bytes(std::span(contexts)), pages.shared_info(),
                                                std::as_bytes(std::span(p2m))};
    for (size_t i = 0; i < std::size(parts); ++i) {
        OTRY(out.begin(sections.offset(first + i)));
        OTRY(out.write(parts[i]));
    }
    OTRY(out.begin(sections.offset(first + std::size(parts))));
    return write_pages(control, domain, p2m, out);
}

}  // namespace migration
