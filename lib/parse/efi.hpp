// SPDX-License-Identifier: Apache-2.0
/// What UEFI firmware leaves behind for who runs after it: its system table, the table of its run-time services, and the memory it keeps.
/// Layouts: UEFI specification 2.10, chapters 4 and 7. All of it is firmware's word, and nothing in it is followed before it was looked at.
#pragma once

#include <cstdint>

#include "lib/base/result.hpp"
#include "lib/parse/bytes.hpp"

namespace parse {

/// A row of the firmware's memory map.
struct EfiRegion {
    static constexpr std::uint32_t memory_mapped_io = 11, memory_mapped_ports = 12;  ///< values of `type`
    static constexpr std::uint64_t run_time = std::uint64_t{1} << 63;                ///< in `attributes`: its services use it
    std::uint64_t start;
    std::uint64_t size;  ///< bytes, whole pages; start + size does not wrap
    std::uint64_t attributes;
    std::uint32_t type;
    constexpr bool holds(std::uint64_t address) const { return address >= start && address - start < size; }
    constexpr bool at_run_time() const { return (attributes & run_time) != 0; }
};

/// The run-time services, by their place in the table.
enum class EfiService : std::uint32_t {
    get_time,
    set_time,
    get_wakeup_time,
    set_wakeup_time,
    set_virtual_address_map,
    convert_pointer,
    get_variable,
    get_next_variable_name,
    set_variable,
    get_next_high_monotonic_count,
    reset_system,
    update_capsule,
    query_capsule_capabilities,
    query_variable_info,
    count,
};

struct EfiFirmware {
    static constexpr std::size_t max_vendor = 100;
    std::uint32_t revision = 0;           ///< of UEFI, major << 16 | minor
    std::uint32_t firmware_revision = 0;  ///< the vendor's own
    std::uint64_t tables = 0;             ///< machine address of the configuration tables' list
    std::uint32_t table_count = 0;
    FixedList<std::uint16_t, max_vendor> vendor;  ///< UTF-16 without its end; cut at our room
    FixedList<EfiRegion, 256> regions;
    std::uint32_t services_revision = 0;
    /// Where each service begins; all 0 when there is none that may be called.
    std::uint64_t services[static_cast<std::size_t>(EfiService::count)] = {};

    bool present() const { return revision != 0; }
    bool has_services() const { return services[0] != 0; }
    const EfiRegion* region_of(std::uint64_t address) const;
};

/// Fills `out` from the table at `system_table` and the map of `descriptor` bytes a row. A map that is not there, has no room here or
/// does not cover the services, leaves the services out; the rest stands.
/// Errors, with `out` as it was: range a table or the list of tables lies outside `memory`; badmsg no such table.
base::Status read_efi(std::uint64_t system_table, Bytes map, std::uint32_t descriptor, const PhysicalWindow& memory,
                      EfiFirmware& out);

}  // namespace parse
