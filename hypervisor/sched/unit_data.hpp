// SPDX-License-Identifier: Apache-2.0
/// All that policies keep of a unit, in one piece: who goes to a pool of another policy needs no memory there, and a call that comes late
/// finds what it looks for.
#pragma once

#include "hypervisor/mm/heap.hpp"
#include "hypervisor/sched/fair.hpp"
#include "hypervisor/sched/shared_unit.hpp"

namespace hv {

/// SchedUnit::sched_data points to the FairUnit.
struct UnitData : FairUnit {
    SharedUnit shared;
    explicit UnitData(SchedUnit& u) : FairUnit(u), shared(u) {}
};

inline UnitData& unit_data(const SchedUnit& u) { return static_cast<UnitData&>(*static_cast<FairUnit*>(u.sched_data)); }
inline SharedUnit& shared_data(const SchedUnit& u) { return unit_data(u).shared; }

/// Errors: nomem.
inline base::Status make_unit_data(SchedUnit& u) {
    u.sched_data = static_cast<FairUnit*>(TRY(make<UnitData>(u)));
    return base::ok;
}
inline void destroy_unit_data(SchedUnit& u) {
    destroy(&unit_data(u));
    u.sched_data = nullptr;
}

}  // namespace hv
