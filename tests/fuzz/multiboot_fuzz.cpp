// SPDX-License-Identifier: Apache-2.0
// link: parse
// A loader's record of either version at the start of memory; what comes out must be safe to walk and to sanitise.
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "lib/parse/multiboot.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 1) return 0;
    const std::uint32_t magic = (data[0] & 1) != 0 ? parse::multiboot1_magic : parse::multiboot2_magic;
    const auto bytes = std::as_bytes(std::span(data, size)).subspan(1);
    const parse::PhysicalWindow window{bytes.data(), 0x1000, bytes.size()};
    const auto record = std::make_unique<parse::BootRecord>();
    if (!parse::read_multiboot(magic, 0x1000, window, *record)) return 0;
    std::uint64_t sum = record->command_line.size() + record->loader.size() + record->rsdp.size();
    for (const parse::BootModule& module : record->modules) {
        if (module.end < module.start) std::abort();
        for (const char c : module.command_line) sum += static_cast<unsigned char>(c);
    }
    if (!record->memory.sanitise()) return 0;
    std::uint64_t end = 0;
    for (const parse::MemoryRange& range : record->memory.ranges()) {
        if (range.start < end || range.end <= range.start) std::abort();
        end = range.end;
    }
    record->memory.align_ram_to_pages();
    record->memory.limit_ram(sum);
    if (record->memory.ram_bytes() > sum) std::abort();
    return 0;
}
