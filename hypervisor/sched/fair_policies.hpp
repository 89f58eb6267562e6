// SPDX-License-Identifier: Apache-2.0
/// The policies that share CPUs out by virtual runtime. They differ in slices and in the parameters that tools know.
#pragma once

#include "hypervisor/sched/fair.hpp"

namespace hv {

/// Short slices, who has had less goes first.
class Credit2Scheduler final : public FairScheduler {
public:
    const char* name() const override { return "credit2"; }
    const char* title() const override { return "Fair scheduler by virtual runtime (credit2 parameters)"; }
    uint32_t abi_id() const override;
    base::Result<Scheduler*> another() const override;
    void begin(const SchedSettings& settings) override;
    base::Status group_params(SchedGroup& g, xenolith::SchedGroupOp& op) override;
    base::Status policy_params(xenolith::SchedPolicyOp& op) override;
};

/// Slices of a length that can be chosen, and a time for which who has run stays on its CPU, even when another one idles.
class CreditScheduler final : public FairScheduler {
public:
    const char* name() const override { return "credit"; }
    const char* title() const override { return "Fair scheduler by virtual runtime (credit parameters)"; }
    uint32_t abi_id() const override;
    base::Result<Scheduler*> another() const override;
    void begin(const SchedSettings& settings) override;
    base::Status group_params(SchedGroup& g, xenolith::SchedGroupOp& op) override;
    base::Status policy_params(xenolith::SchedPolicyOp& op) override;
};

}  // namespace hv
