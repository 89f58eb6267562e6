// SPDX-License-Identifier: Apache-2.0
#include "lib/parse/efi.hpp"

namespace parse {
namespace {

constexpr std::uint64_t system_signature = 0x5453'5953'2049'4249;    // "IBI SYST"
constexpr std::uint64_t services_signature = 0x5652'4553'544e'5552;  // "RUNTSERV"
constexpr std::uint64_t table_bytes = 24;                            // of one configuration table: GUID, pointer
constexpr std::uint64_t page_bytes = 4096;
constexpr std::uint64_t user_half = std::uint64_t{1} << 47;

struct Header {
    std::uint64_t signature;
    std::uint32_t revision;
    std::uint32_t size;
    std::uint32_t crc;
    std::uint32_t reserved;
};

struct SystemTable {
    Header header;
    std::uint64_t vendor;
    std::uint32_t firmware_revision;
    std::uint32_t pad;
    std::uint64_t consoles[6];
    std::uint64_t services;
    std::uint64_t boot_services;
    std::uint64_t table_count;
    std::uint64_t tables;
};
static_assert(sizeof(SystemTable) == 120);

struct ServicesTable {
    Header header;
    std::uint64_t services[static_cast<std::size_t>(EfiService::count)];
};

struct Descriptor {
    std::uint32_t type;
    std::uint32_t pad;
    std::uint64_t start;
    std::uint64_t virtual_start;
    std::uint64_t pages;
    std::uint64_t attributes;
};

void read_vendor(std::uint64_t at, const PhysicalWindow& memory, EfiFirmware& out) {
    for (;; at += sizeof(std::uint16_t)) {
        const auto raw = memory.bytes(at, sizeof(std::uint16_t));
        if (!raw) return;
        const auto unit = load_unchecked<std::uint16_t>(raw.value(), 0);
        if (unit == 0 || !out.vendor.push(unit)) return;
    }
}

/// False: the map is not usable. A row that wraps, or lies where no address of ours is its own, is not.
bool read_regions(Bytes map, std::uint32_t descriptor, EfiFirmware& out) {
    if (descriptor < sizeof(Descriptor)) return false;
    for (std::uint64_t at = 0; inside(map, at, descriptor); at += descriptor) {
        const auto d = load_unchecked<Descriptor>(map, at);
        if (d.start % page_bytes != 0 || d.start >= user_half || d.pages > (user_half - d.start) / page_bytes) return false;
        if (!out.regions.push({d.start, d.pages * page_bytes, d.attributes, d.type})) return false;
    }
    return !out.regions.empty();
}

bool kept_at_run_time(const EfiFirmware& f, std::uint64_t address) {
    const EfiRegion* r = f.region_of(address);
    return r && r->at_run_time();
}

/// Those of a table whose every entry points into memory that the firmware keeps for itself.
void read_services(std::uint64_t at, const PhysicalWindow& memory, EfiFirmware& out) {
    const auto raw = memory.bytes(at, sizeof(ServicesTable));
    if (!raw) return;
    const auto table = load_unchecked<ServicesTable>(raw.value(), 0);
    if (table.header.signature != services_signature || table.header.size < sizeof(Header)) return;
    for (const std::uint64_t service : table.services)
        if (!kept_at_run_time(out, service)) return;
    out.services_revision = table.header.revision;
    __builtin_memcpy(out.services, table.services, sizeof out.services);
}

}  // namespace

const EfiRegion* EfiFirmware::region_of(std::uint64_t address) const {
    for (const EfiRegion& r : regions)
        if (r.holds(address)) return &r;
    return nullptr;
}

base::Status read_efi(std::uint64_t system_table, Bytes map, std::uint32_t descriptor, const PhysicalWindow& memory,
                      EfiFirmware& out) {
    const auto s = load_unchecked<SystemTable>(TRY(memory.bytes(system_table, sizeof(SystemTable))), 0);
    constexpr std::uint32_t most_tables = 4096;
    if (s.header.signature != system_signature || s.header.revision == 0 || s.table_count > most_tables)
        return base::Err{base::Errc::badmsg};
    (void)TRY(memory.bytes(s.tables, s.table_count * table_bytes));
    out.revision = s.header.revision;
    out.firmware_revision = s.firmware_revision;
    out.tables = s.tables;
    out.table_count = static_cast<std::uint32_t>(s.table_count);
    read_vendor(s.vendor, memory, out);
    if (read_regions(map, descriptor, out)) read_services(s.services, memory, out);
    else out.regions.clear();
    return base::ok;
}

}  // namespace parse
