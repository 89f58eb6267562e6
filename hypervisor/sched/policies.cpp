// SPDX-License-Identifier: Apache-2.0
/// The scheduling policies that there are: the one place that names them.
#include "hypervisor/sched/fair.hpp"

namespace hv::sched {

namespace {
FairScheduler fair;
}

Scheduler& default_policy = fair;
Scheduler* const policies[] = {&fair, nullptr};

}  // namespace hv::sched
