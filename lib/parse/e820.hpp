// SPDX-License-Identifier: Apache-2.0
/// The machine's memory map as firmware tells it: overlapping, unsorted and sometimes wrong. Freestanding.
#pragma once

#include <cstdint>

#include "lib/parse/bytes.hpp"

namespace parse {

/// Types as in the e820 call; the order of restrictiveness is in e820.cpp.
enum class MemoryType : std::uint32_t { ram = 1, reserved = 2, acpi = 3, nvs = 4, unusable = 5, persistent = 7 };

/// [start, end) in bytes of physical address.
struct MemoryRange {
    std::uint64_t start;
    std::uint64_t end;
    MemoryType type;
    constexpr std::uint64_t size() const { return end - start; }
};

/// As a dom0 reads it from XENMEM_machine_memory_map and as firmware hands it out: 20 bytes, packed.
struct __attribute__((packed)) E820Entry {
    std::uint64_t address;
    std::uint64_t size;
    std::uint32_t type;
};
static_assert(sizeof(E820Entry) == 20);

class MemoryMap {
public:
    static constexpr std::size_t capacity = 256;

    /// Adds a range as told: empty ones are dropped, wrapping ones cut at 2^64, unknown types become reserved.
    /// Errors: nospc when the map is full.
    base::Status add(std::uint64_t start, std::uint64_t size, std::uint32_t type);

    /// Sorts, lets the more restrictive type win where ranges overlap, merges neighbours of one type.
    /// Errors: nospc when the overlaps split into more ranges than fit.
    base::Status sanitise();

    /// Turns [start, end) into `type` where it was `from` (boot code, modules, a crash kernel). Sanitised maps only.
    /// Errors: nospc.
    base::Status change(std::uint64_t start, std::uint64_t end, MemoryType from, MemoryType to);

    /// Drops RAM beyond the first `bytes` of RAM (option mem=). Sanitised maps only.
    void limit_ram(std::uint64_t bytes);

    /// Shrinks RAM ranges to whole 4 KiB pages, drops what vanishes.
    void align_ram_to_pages();

    std::uint64_t ram_bytes() const;
    /// End of the highest RAM range; 0 without RAM.
    std::uint64_t ram_end() const;
    std::span<const MemoryRange> ranges() const { return ranges_.span(); }
    /// The range that holds `address`, or null.
    const MemoryRange* find(std::uint64_t address) const;

private:
    FixedList<MemoryRange, capacity> ranges_;
};

const char* memory_type_name(MemoryType type);

}  // namespace parse
