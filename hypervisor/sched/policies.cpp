// SPDX-License-Identifier: Apache-2.0
/// The scheduling policies that there are: the one place that names them.
#include "hypervisor/sched/policies.hpp"

#include "hypervisor/sched/fair_policies.hpp"

namespace hv::sched {

namespace {
Credit2Scheduler credit2;
CreditScheduler credit;
}  // namespace

Scheduler& default_policy = credit2;
Scheduler* const policies[] = {&credit2, &credit, &null_policy, &rtds, &arinc653, &rrobin, &bvt, &sedf, &atropos, nullptr};

base::Status prepare_cpu(unsigned cpu) { return FairScheduler::prepare_cpu(cpu); }

}  // namespace hv::sched
