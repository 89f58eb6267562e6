// SPDX-License-Identifier: Apache-2.0
/// Memory maps (E820) of guests and of the machine, and where the machine-to-physical table lies.
#include <algorithm>

#include "hypervisor/hypercall/machine_info.hpp"
#include "hypervisor/hypercall/memory/memory_op.hpp"

namespace hv::memory {

namespace {

using parse::E820Entry;

constexpr uint32_t most_entries = 128;

GuestPtr<E820Entry> entries_of(const xen::MemoryMap& m) { return GuestPtr<E820Entry>(m.buffer.addr); }

}  // namespace

Status memory_map(const Call& c) {
    const GuestPtr<xen::MemoryMap> arg = c.arg;
    xen::MemoryMap m = TRY(arg.fetch());
    Domain& d = c.v.domain;
    uint32_t n = 0;
    for (; n < m.nr_entries; ++n) {
        E820Entry e{};
        {
            Guard g(d.lock);
            if (!d.memory_map) return Err{Errc::nosys};
            if (n >= d.memory_map_entries) break;
            e = d.memory_map[n];
        }
        TRY(entries_of(m).store(e, n));
    }
    m.nr_entries = n;
    return arg.store(m);
}

Status machine_memory_map(const Call& c) {
    const GuestPtr<xen::MemoryMap> arg = c.arg;
    xen::MemoryMap m = TRY(arg.fetch());
    const uint32_t n = machine_info.memory_map_entries;
    if (m.nr_entries < n) return Err{Errc::inval};
    TRY(entries_of(m).store_many(machine_info.memory_map, n));
    m.nr_entries = n;
    return arg.store(m);
}

Status set_memory_map(const Call& c) {
    const auto f = TRY(GuestPtr<xen::ForeignMemoryMap>(c.arg).fetch());
    if (f.map.nr_entries > most_entries) return Err{Errc::inval};
    DomainRef d = TRY(target_domain(c.v, f.domid));
    const uint32_t n = f.map.nr_entries;
    E820Entry* fresh = nullptr;
    if (n) {
        fresh = TRY(make_array<E820Entry>(n));
        if (auto s = entries_of(f.map).fetch_many(fresh, n); !s) {
            destroy_array(fresh, n);
            return Err{s.error()};
        }
    }
    E820Entry* old = nullptr;
    uint32_t old_n = 0;
    {
        Guard g(d->lock);
        old = std::exchange(d->memory_map, fresh);
        old_n = std::exchange(d->memory_map_entries, n);
    }
    destroy_array(old, old_n);
    return ok;
}

/// The frames of the machine-to-physical table, one number for each 2 MiB of it; tools map it read-only.
Status machphys_mfn_list(const Call& c) {
    const GuestPtr<xen::MachphysMfnList> arg = c.arg;
    xen::MachphysMfnList list = TRY(arg.fetch());
    constexpr uint64_t extent_bytes = uint64_t{2} << 20;
    const uint64_t bytes = max_frame * sizeof(uint64_t);
    const auto out = GuestPtr<uint64_t>::of(list.extent_start);
    const Mfn first = mfn_of(machine_to_phys);
    uint32_t n = 0;
    for (uint64_t at = 0; at < bytes && n < list.max_extents; at += extent_bytes, ++n)
        TRY(out.store((first + Pages{at >> page_shift}).raw, n));
    list.nr_extents = n;
    return arg.store(list);
}

}  // namespace hv::memory
