// SPDX-License-Identifier: Apache-2.0
/// The policies that share CPUs out of one queue; each stands in the file of its name.
#pragma once

#include "hypervisor/sched/scheduler.hpp"

namespace hv::sched {

extern Scheduler& null_policy;
extern Scheduler& rtds;
extern Scheduler& arinc653;
extern Scheduler& rrobin;
extern Scheduler& bvt;
extern Scheduler& sedf;
extern Scheduler& atropos;

}  // namespace hv::sched
