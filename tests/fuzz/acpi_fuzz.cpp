// SPDX-License-Identifier: Apache-2.0
// link: parse
// The first byte chooses: one table alone (checksums would stop most mutations), or a whole memory with a root pointer.
#include <cstdint>
#include <memory>

#include "lib/parse/acpi.hpp"

namespace {

void walk(const parse::AcpiTables& tables) {
    for (std::uint32_t i = 0; i < tables.count() && i < 64; ++i) static_cast<void>(tables.table_at(tables.address(i)));
    static_cast<void>(tables.table("APIC"));
    static_cast<void>(tables.table("FACP", 1));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 1) return 0;
    const auto bytes = std::as_bytes(std::span(data, size)).subspan(1);
    switch (data[0] % 7) {
        case 0: static_cast<void>(parse::read_madt(bytes, *std::make_unique<parse::AcpiMadt>())); break;
        case 1: static_cast<void>(parse::read_fadt(bytes)); break;
        case 2: static_cast<void>(parse::read_hpet(bytes)); break;
        case 3: {
            parse::FixedList<parse::AcpiMcfgWindow, 16> windows;
            static_cast<void>(parse::read_mcfg(bytes, windows));
            break;
        }
        case 4: static_cast<void>(parse::find_sleep_type(bytes, data[0] / 7 % 6)); break;
        case 5: {
            // The window begins at the end of the BIOS area's start, so that a search finds something.
            const parse::PhysicalWindow window{bytes.data(), 0xE0000, bytes.size()};
            if (const auto tables = parse::AcpiTables::search(window)) walk(tables.value());
            break;
        }
        default: {
            const parse::PhysicalWindow window{bytes.data(), 0x1000, bytes.size()};
            if (const auto tables = parse::AcpiTables::from_rsdp(bytes, window)) walk(tables.value());
        }
    }
    return 0;
}
