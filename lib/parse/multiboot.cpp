// SPDX-License-Identifier: Apache-2.0
// Layouts: the Multiboot specification 0.6.96 and the Multiboot2 specification 2.0.
#include "lib/parse/multiboot.hpp"

namespace parse {

namespace {

using base::Errc;

// ---- multiboot 1: one structure, validity by flag

enum InfoFlag : std::uint32_t {
    has_basic_memory = 1u << 0,
    has_command_line = 1u << 2,
    has_modules = 1u << 3,
    has_memory_map = 1u << 6,
    has_loader_name = 1u << 9,
    has_framebuffer = 1u << 12,
};

struct Info {
    std::uint32_t flags;
    std::uint32_t lower_kib;
    std::uint32_t upper_kib;
    std::uint32_t boot_device;
    std::uint32_t command_line;
    std::uint32_t module_count;
    std::uint32_t modules;
    std::uint32_t symbols[4];
    std::uint32_t map_length;
    std::uint32_t map;
    std::uint32_t drives_length;
    std::uint32_t drives;
    std::uint32_t config_table;
    std::uint32_t loader_name;
    std::uint32_t apm_table;
};
static_assert(sizeof(Info) == 72);

constexpr std::uint64_t framebuffer_at = 88;

struct Module {
    std::uint32_t start;
    std::uint32_t end;
    std::uint32_t command_line;
    std::uint32_t reserved;
};

/// One entry; `size` does not count itself, and the next entry follows after it.
struct [[gnu::packed]] MapEntry {
    std::uint32_t size;
    std::uint64_t address;
    std::uint64_t length;
    std::uint32_t type;
};

/// The fields up to the RGB positions, as both versions lay them out.
struct [[gnu::packed]] Framebuffer {
    std::uint64_t address;
    std::uint32_t pitch;
    std::uint32_t width;
    std::uint32_t height;
    std::uint8_t bits_per_pixel;
    std::uint8_t type;
};

struct Colours {
    std::uint8_t red_position, red_size, green_position, green_size, blue_position, blue_size;
};

BootFramebuffer join(const Framebuffer& f, const Colours& c) {
    return {f.address,      f.pitch,    f.width,          f.height,     f.bits_per_pixel, f.type,
            c.red_position, c.red_size, c.green_position, c.green_size, c.blue_position,  c.blue_size};
}

base::Status add_module(std::uint64_t start, std::uint64_t end, std::string_view line, BootRecord& out) {
    if (end < start) return base::Err{Errc::inval};
    if (!out.modules.push({start, end, line})) return base::Err{Errc::nospc};
    return base::ok;
}

base::Status read_modules1(const Info& info, const PhysicalWindow& memory, BootRecord& out) {
    for (std::uint32_t i = 0; i < info.module_count; ++i) {
        const Bytes raw = TRY(memory.bytes(info.modules + std::uint64_t{i} * sizeof(Module), sizeof(Module)));
        const auto module = load_unchecked<Module>(raw, 0);
        const auto line = module.command_line == 0 ? std::string_view{} : memory.text(module.command_line);
        TRY(add_module(module.start, module.end, line, out));
    }
    return base::ok;
}

base::Status read_map1(const Info& info, const PhysicalWindow& memory, BootRecord& out) {
    const Bytes map = TRY(memory.bytes(info.map, info.map_length));
    for (std::uint64_t at = 0; inside(map, at, sizeof(MapEntry));) {
        const auto entry = load_unchecked<MapEntry>(map, at);
        if (entry.size < sizeof(MapEntry) - sizeof entry.size) return base::Err{Errc::inval};
        TRY(out.memory.add(entry.address, entry.length, entry.type));
        at += std::uint64_t{entry.size} + sizeof entry.size;
    }
    return base::ok;
}

/// Without a map: 0..lower and 1 MiB..upper.
base::Status guess_map1(const Info& info, BootRecord& out) {
    if ((info.flags & has_basic_memory) == 0) return base::Err{Errc::inval};
    TRY(out.memory.add(0, std::uint64_t{info.lower_kib} << 10, 1));
    return out.memory.add(1u << 20, std::uint64_t{info.upper_kib} << 10, 1);
}

base::Status read_version1(std::uint64_t at, const PhysicalWindow& memory, BootRecord& out) {
    const auto info = load_unchecked<Info>(TRY(memory.bytes(at, sizeof(Info))), 0);
    out.info_start = at;
    out.info_end = at + sizeof(Info);
    if ((info.flags & has_command_line) != 0) out.command_line = memory.text(info.command_line);
    if ((info.flags & has_loader_name) != 0) out.loader = memory.text(info.loader_name);
    if ((info.flags & has_modules) != 0) TRY(read_modules1(info, memory, out));
    if ((info.flags & has_framebuffer) != 0) {
        const Bytes raw = TRY(memory.bytes(at + framebuffer_at, sizeof(Framebuffer) + sizeof(Colours)));
        out.framebuffer = join(load_unchecked<Framebuffer>(raw, 0), load_unchecked<Colours>(raw, sizeof(Framebuffer)));
        out.info_end = at + framebuffer_at + raw.size();
    }
    return (info.flags & has_memory_map) != 0 ? read_map1(info, memory, out) : guess_map1(info, out);
}

// ---- multiboot 2: tags, each 8-byte aligned

enum TagType : std::uint32_t {
    tag_end = 0,
    tag_command_line = 1,
    tag_loader_name = 2,
    tag_module = 3,
    tag_memory_map = 6,
    tag_framebuffer = 8,
    tag_efi64 = 12,
    tag_acpi_old = 14,
    tag_acpi_new = 15,
    tag_efi_map = 17,
};

struct Tag {
    std::uint32_t type;
    std::uint32_t size;
};

base::Status read_map2(Bytes tag, BootRecord& out) {
    const std::uint32_t entry_size = TRY(load<std::uint32_t>(tag, 8));
    if (entry_size < 20) return base::Err{Errc::inval};
    for (std::uint64_t at = 16; inside(tag, at, entry_size); at += entry_size) {
        const auto address = load_unchecked<std::uint64_t>(tag, at);
        const auto length = load_unchecked<std::uint64_t>(tag, at + 8);
        TRY(out.memory.add(address, length, load_unchecked<std::uint32_t>(tag, at + 16)));
    }
    return base::ok;
}

base::Status read_module2(Bytes tag, BootRecord& out) {
    const std::uint32_t start = TRY(load<std::uint32_t>(tag, 8));
    const std::uint32_t end = TRY(load<std::uint32_t>(tag, 12));
    return add_module(start, end, until_nul(as_text(tag.subspan(16))), out);
}

base::Status read_framebuffer2(Bytes tag, BootRecord& out) {
    const auto f = TRY(load<Framebuffer>(tag, 8));
    Colours colours{};
    if (f.type == 1) colours = TRY(load<Colours>(tag, 8 + sizeof(Framebuffer) + 2));
    out.framebuffer = join(f, colours);
    return base::ok;
}

base::Status read_efi_map(Bytes tag, BootRecord& out) {
    constexpr std::uint64_t rows = 16;
    out.efi_descriptor = TRY(load<std::uint32_t>(tag, 8));
    if (tag.size() < rows) return base::Err{base::Errc::inval};
    out.efi_map = tag.subspan(rows);
    return base::ok;
}

base::Status read_tag(std::uint32_t type, Bytes tag, BootRecord& out) {
    switch (type) {
        case tag_command_line: out.command_line = until_nul(as_text(tag.subspan(sizeof(Tag)))); return base::ok;
        case tag_loader_name: out.loader = until_nul(as_text(tag.subspan(sizeof(Tag)))); return base::ok;
        case tag_module: return read_module2(tag, out);
        case tag_memory_map: return read_map2(tag, out);
        case tag_framebuffer: return read_framebuffer2(tag, out);
        case tag_efi64: out.efi_system_table = TRY(load<std::uint64_t>(tag, sizeof(Tag))); return base::ok;
        case tag_efi_map: return read_efi_map(tag, out);
        case tag_acpi_old:
            if (out.rsdp.empty()) out.rsdp = tag.subspan(sizeof(Tag));
            return base::ok;
        case tag_acpi_new: out.rsdp = tag.subspan(sizeof(Tag)); return base::ok;
        default: return base::ok;
    }
}

base::Status read_version2(std::uint64_t at, const PhysicalWindow& memory, BootRecord& out) {
    const auto total = load_unchecked<std::uint32_t>(TRY(memory.bytes(at, 8)), 0);
    const Bytes all = TRY(memory.bytes(at, total));
    out.info_start = at;
    out.info_end = at + total;
    std::uint64_t offset = 8;
    for (;;) {
        const auto tag = TRY(load<Tag>(all, offset));
        if (tag.type == tag_end) break;
        if (tag.size < sizeof(Tag)) return base::Err{Errc::inval};
        const Bytes whole = TRY(slice(all, offset, tag.size));
        TRY(read_tag(tag.type, whole, out));
        offset += (std::uint64_t{tag.size} + 7) & ~std::uint64_t{7};
    }
    if (out.memory.ranges().empty()) return base::Err{Errc::inval};
    return base::ok;
}

}  // namespace

base::Status read_multiboot(std::uint32_t magic, std::uint64_t info, const PhysicalWindow& memory, BootRecord& out) {
    if (magic == multiboot1_magic) return read_version1(info, memory, out);
    if (magic == multiboot2_magic) return read_version2(info, memory, out);
    return base::Err{Errc::noexec};
}

}  // namespace parse
