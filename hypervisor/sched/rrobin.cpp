// SPDX-License-Identifier: Apache-2.0
/// Round robin: who has waited longest has the CPU for a slice.
#include "abi/xen/domctl.hpp"
#include "hypervisor/mm/heap.hpp"
#include "hypervisor/sched/policies.hpp"
#include "hypervisor/sched/shared.hpp"

namespace hv {

namespace {

using base::Err;
using base::Errc;
using base::Nanos;
using base::Status;

constexpr Nanos usual_slice = Nanos::ms(10), least_slice = Nanos::us(100), most_slice = Nanos::s(1);

class RoundRobinScheduler final : public SharedScheduler {
public:
    const char* name() const override { return "rrobin"; }
    const char* title() const override { return "Round robin (rrobin)"; }
    uint32_t abi_id() const override { return xenolith::SCHEDULER_RROBIN; }
    base::Result<Scheduler*> another() const override { return static_cast<Scheduler*>(TRY(make<RoundRobinScheduler>())); }
    void begin(const SchedSettings& settings) override {
        SharedScheduler::begin(settings);
        Guard guard(lock_);
        slice_ = usual_slice;
    }
    Status policy_params(xenolith::SchedPolicyOp& op) override {
        Guard guard(lock_);
        if (op.cmd == xen::XEN_SYSCTL_SCHEDOP_putinfo) {
            if (op.u.slice < static_cast<uint64_t>(least_slice.n) || op.u.slice > static_cast<uint64_t>(most_slice.n))
                return Err{Errc::inval};
            slice_ = {static_cast<int64_t>(op.u.slice)};
            return base::ok;
        }
        if (op.cmd != xen::XEN_SYSCTL_SCHEDOP_getinfo) return Err{Errc::inval};
        op.u.slice = static_cast<uint64_t>(slice_.n);
        return base::ok;
    }

private:
    Nanos slice_ GUARDED_BY(lock_) = usual_slice;
    int64_t turns_ GUARDED_BY(lock_) = 0;

    void to_the_end(SharedUnit& e) REQUIRES(lock_) {
        e.turn = ++turns_;
        e.turn_left = slice_;
    }
    void joined(SharedUnit& e, const SharedUnit*, Nanos) override REQUIRES(lock_) { to_the_end(e); }
    void woke(SharedUnit& e, Nanos) override REQUIRES(lock_) { to_the_end(e); }
    void ran(SharedUnit& e, Nanos time) override REQUIRES(lock_) { e.turn_left = e.turn_left - time; }
    bool may_wait(SharedUnit& e, bool yields) override REQUIRES(lock_) {
        if (yields || e.turn_left.n <= 0) to_the_end(e);
        return true;
    }
    /// Nobody goes before one that runs: it came before all who wait.
    Key key(const SharedUnit& e) const override REQUIRES(lock_) { return {0, e.runs ? INT64_MIN : e.turn}; }
    Nanos slice(const SharedUnit& e, Nanos) const override REQUIRES(lock_) { return e.turn_left; }
};

RoundRobinScheduler first;

}  // namespace

Scheduler& sched::rrobin = first;

}  // namespace hv
