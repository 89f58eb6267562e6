// SPDX-License-Identifier: Apache-2.0
// A PV guest's page tables on their way: entries name machine frames in a domain, and pages of the guest in a file. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "lib/base/outcome.hpp"

namespace migration {

inline constexpr size_t table_entries = 512;
using Table = std::span<uint64_t, table_entries>;
using ConstTable = std::span<const uint64_t, table_entries>;

inline constexpr uint64_t entry_present = 1;
inline constexpr uint64_t entry_large = 0x80;
inline constexpr uint64_t entry_frame_mask = 0x000f'ffff'ffff'f000;
/// Slots of an L4 that are the hypervisor's.
inline constexpr size_t first_hypervisor_slot = 256, last_hypervisor_slot = 271;

constexpr uint64_t frame_of(uint64_t entry) { return (entry & entry_frame_mask) >> 12U; }

/// Whether entry `index` of a table of `level` is the guest's and names a frame.
constexpr bool names_frame(unsigned level, size_t index, uint64_t entry) {
    const bool hypervisors = level == 4 && index >= first_hypervisor_slot && index <= last_hypervisor_slot;
    return !hypervisors && (entry & entry_present) != 0;
}

/// Copies a table with another number for each frame it names; the hypervisor's slots become empty. `number`: old to new, nothing
/// where there is none. Errors: badmsg, the entry and what is wrong with it.
template <class Number>
base::Outcome<> translate(unsigned level, ConstTable from, Table to, const Number& number) {
    for (size_t i = 0; i < table_entries; ++i) {
        const uint64_t entry = from[i];
        if (!names_frame(level, i, entry)) {
            const bool hypervisors = level == 4 && i >= first_hypervisor_slot && i <= last_hypervisor_slot;
            to[i] = hypervisors ? 0 : entry;
            continue;
        }
        const auto wrong = [&](const char* why) {
            return base::fail(base::Errc::badmsg,
                              "entry " + std::to_string(i) + " of a table of level " + std::to_string(level) + " " + why);
        };
        if (level > 1 && (entry & entry_large) != 0) return wrong("is a large page");
        const std::optional<uint64_t> frame = number(frame_of(entry));
        if (!frame) return wrong("names memory that is not the domain's");
        to[i] = (entry & ~entry_frame_mask) | (*frame << 12U);
    }
    return base::ok;
}

}  // namespace migration
