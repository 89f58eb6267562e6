// SPDX-License-Identifier: Apache-2.0
/// The parts of HYPERVISOR_memory_op.
#pragma once

#include "abi/xen/memory.hpp"
#include "hypervisor/hypercall/hypercall.hpp"

namespace hv::memory {

/// The operation's number and, for calls that go on where they stopped, how far they came.
struct Call {
    Vcpu& v;
    uint32_t cmd;
    uint64_t start;
    AnyGuestPtr arg;

    static constexpr unsigned start_shift = 6;
    /// Stops here: the call comes back with `start` = done.
    Err restart(uint64_t done) const { return restart_with(v, cmd | (done << start_shift), arg); }
};

/// The largest extent anyone may ask for, as log2 of pages: 2 MiB, which are cleared or given back in a fraction of a
/// millisecond. Extents are not interrupted; tools that want larger ones go on with these.
inline constexpr unsigned max_extent_order = 9;
/// Machine address bits that a reservation's flags ask for; 64 when they leave it open.
inline unsigned address_bits(uint32_t mem_flags) {
    const uint32_t bits = xen::XENMEMF_get_address_bits(mem_flags);
    return bits ? bits : 64;
}

// reservation.cpp: all return the number of extents done
Answer populate_physmap(const Call& c);
Answer increase_reservation(const Call& c);
Answer decrease_reservation(const Call& c);
// exchange.cpp
Answer exchange(const Call& c);
// memory_map.cpp
Status memory_map(const Call& c);
Status machine_memory_map(const Call& c);
Status set_memory_map(const Call& c);
Status machphys_mfn_list(const Call& c);
// resource.cpp
Answer acquire_resource(const Call& c);

}  // namespace hv::memory
