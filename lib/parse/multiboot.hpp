// SPDX-License-Identifier: Apache-2.0
/// What a multiboot 1 or 2 loader left for us, in one typed record. Freestanding; no allocation; strings and modules
/// stay where the loader put them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "lib/base/result.hpp"
#include "lib/parse/bytes.hpp"
#include "lib/parse/e820.hpp"

namespace parse {

inline constexpr std::uint32_t multiboot1_magic = 0x2BADB002;  ///< in EAX at entry
inline constexpr std::uint32_t multiboot2_magic = 0x36D76289;

/// A file the loader read: physical addresses, [start, end). The command line is empty when there was none.
struct BootModule {
    std::uint64_t start;
    std::uint64_t end;
    std::string_view command_line;
    constexpr std::uint64_t size() const { return end - start; }
};

/// A linear framebuffer (type 1) or EGA text (type 2), as multiboot 2 and newer loaders of 1 tell it.
struct BootFramebuffer {
    std::uint64_t address;
    std::uint32_t pitch;
    std::uint32_t width;
    std::uint32_t height;
    std::uint8_t bits_per_pixel;
    std::uint8_t type;
    std::uint8_t red_position, red_size;
    std::uint8_t green_position, green_size;
    std::uint8_t blue_position, blue_size;
};

struct BootRecord {
    static constexpr std::size_t max_modules = 32;

    std::string_view loader;
    std::string_view command_line;
    FixedList<BootModule, max_modules> modules;
    MemoryMap memory;  ///< as told: call sanitise()
    std::optional<BootFramebuffer> framebuffer;
    Bytes rsdp;                          ///< the loader's copy of the ACPI RSDP (multiboot 2 only), else empty
    std::uint64_t efi_system_table = 0;  ///< machine address; 0: no UEFI, or not told (multiboot 2 only)
    Bytes efi_map;                       ///< UEFI's own memory map, as told when it was left; may be empty
    std::uint32_t efi_descriptor = 0;    ///< bytes of a row of it
    /// The loader's own record, and its strings: [start, end) to keep until everything was copied.
    std::uint64_t info_start = 0;
    std::uint64_t info_end = 0;
};

/// Fills `out` from the record at physical address `info`. `magic` is what EAX held.
/// Errors: noexec unknown magic; range a pointer or length outside the window; inval no memory map, or a module that
/// ends before it starts; nospc more modules or memory ranges than we keep.
base::Status read_multiboot(std::uint32_t magic, std::uint64_t info, const PhysicalWindow& memory, BootRecord& out);

}  // namespace parse
