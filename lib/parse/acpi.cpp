// SPDX-License-Identifier: Apache-2.0
// ACPI 6.4, section 5.2: finding the tables.
#include "lib/parse/acpi.hpp"

namespace parse {

namespace {

using base::Errc;

constexpr std::uint64_t header_size = 36;
constexpr std::uint64_t length_at = 4;
constexpr std::uint64_t table_max = 16 * 1024 * 1024;  ///< no firmware table is near this; a bad length ends here

constexpr std::uint64_t rsdp_size_1 = 20;
constexpr std::uint64_t rsdp_size_2 = 36;
constexpr char rsdp_signature[] = "RSD PTR ";

constexpr std::uint64_t ebda_pointer = 0x40E;
constexpr std::uint64_t ebda_length = 1024;
constexpr std::uint64_t bios_start = 0xE0000;
constexpr std::uint64_t bios_length = 0x20000;

bool sums_to_zero(Bytes bytes) {
    unsigned sum = 0;
    for (const std::byte b : bytes) sum += std::to_integer<unsigned>(b);
    return (sum & 0xff) == 0;
}

/// Offset of a root pointer with a good checksum, on a 16-byte boundary.
std::optional<std::uint64_t> find_rsdp(Bytes area) {
    for (std::uint64_t at = 0; inside(area, at, rsdp_size_1); at += 16) {
        if (__builtin_memcmp(area.data() + at, rsdp_signature, 8) != 0) continue;
        if (sums_to_zero(area.subspan(at, rsdp_size_1))) return at;
    }
    return std::nullopt;
}

/// A whole table. Errors: badmsg a length that cannot be or a wrong checksum; range outside the window.
base::Result<Bytes> whole_table(const PhysicalWindow& memory, std::uint64_t address) {
    const Bytes header = TRY(memory.bytes(address, header_size));
    const auto length = load_unchecked<std::uint32_t>(header, length_at);
    if (length < header_size || length > table_max) return base::Err{Errc::badmsg};
    const Bytes table = TRY(memory.bytes(address, length));
    if (!sums_to_zero(table)) return base::Err{Errc::badmsg};
    return table;
}

bool has_signature(Bytes table, const char* signature) {
    return inside(table, 0, 4) && __builtin_memcmp(table.data(), signature, 4) == 0;
}

}  // namespace

base::Result<AcpiTables> AcpiTables::search(const PhysicalWindow& memory) {
    struct Area {
        std::uint64_t start;
        std::uint64_t length;
    };
    Area areas[] = {{0, 0}, {bios_start, bios_length}};
    if (auto pointer = memory.bytes(ebda_pointer, 2))
        areas[0] = {std::uint64_t{load_unchecked<std::uint16_t>(pointer.value(), 0)} << 4, ebda_length};
    for (const Area& area : areas) {
        const auto bytes = memory.bytes(area.start, area.length);
        if (!bytes || area.start == 0) continue;
        if (const auto at = find_rsdp(bytes.value())) {
            AcpiTables tables = TRY(from_rsdp(bytes.value().subspan(*at), memory));
            tables.rsdp_ = area.start + *at;
            return tables;
        }
    }
    return base::Err{Errc::noent};
}

base::Result<AcpiTables> AcpiTables::from_rsdp(Bytes rsdp, const PhysicalWindow& memory) {
    if (!inside(rsdp, 0, rsdp_size_1) || __builtin_memcmp(rsdp.data(), rsdp_signature, 8) != 0) return base::Err{Errc::noent};
    if (!sums_to_zero(rsdp.first(rsdp_size_1))) return base::Err{Errc::badmsg};
    AcpiTables tables;
    tables.memory_ = memory;
    const auto revision = load_unchecked<std::uint8_t>(rsdp, 15);
    // Revision 2 brings 64-bit addresses; some firmware leaves them empty.
    if (revision >= 2 && inside(rsdp, 0, rsdp_size_2) && sums_to_zero(rsdp.first(rsdp_size_2)))
        tables.root_ = load_unchecked<std::uint64_t>(rsdp, 24);
    if (tables.root_ != 0) tables.entry_size_ = 8;
    else tables.root_ = load_unchecked<std::uint32_t>(rsdp, 16);
    tables.root_table_ = TRY(whole_table(memory, tables.root_));
    if (!has_signature(tables.root_table_, tables.entry_size_ == 8 ? "XSDT" : "RSDT")) return base::Err{Errc::badmsg};
    tables.count_ = static_cast<std::uint32_t>((tables.root_table_.size() - header_size) / tables.entry_size_);
    return tables;
}

std::uint64_t AcpiTables::address(std::uint32_t index) const {
    const std::uint64_t at = header_size + std::uint64_t{index} * entry_size_;
    return entry_size_ == 8 ? load_unchecked<std::uint64_t>(root_table_, at) : load_unchecked<std::uint32_t>(root_table_, at);
}

base::Result<Bytes> AcpiTables::table(const char (&signature)[5], std::uint32_t nth) const {
    for (std::uint32_t i = 0; i < count_; ++i) {
        const auto header = memory_.bytes(address(i), header_size);
        if (!header || !has_signature(header.value(), signature)) continue;
        if (nth == 0) return table_at(address(i));
        --nth;
    }
    return base::Err{Errc::noent};
}

base::Result<Bytes> AcpiTables::table_at(std::uint64_t address) const { return whole_table(memory_, address); }

}  // namespace parse
