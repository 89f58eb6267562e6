// SPDX-License-Identifier: Apache-2.0
/// Borrowed virtual time: who has the least effective virtual time goes first. Virtual time passes by mcu_advance for each 100 us that one
/// runs; who warps is ahead of it by warpvalue, and so goes before others without having more in the long run.
#include <algorithm>

#include "abi/xen/domctl.hpp"
#include "hypervisor/mm/heap.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/sched/policies.hpp"
#include "hypervisor/sched/shared.hpp"

namespace hv {

namespace {

using base::Err;
using base::Errc;
using base::Nanos;
using base::Status;

constexpr uint32_t usual_advance = 10, most_advance = 10'000;
constexpr int64_t mcu_us = 100;
constexpr Nanos usual_allowance = Nanos::ms(5), most_allowance = Nanos::s(1);
constexpr Nanos longest_turn = Nanos::ms(10);  ///< then it is looked whether another has less
constexpr int64_t most_warp = 1'000'000'000;   ///< of warpvalue, either way
constexpr uint64_t longest_warp = 100'000'000'000;

class BvtScheduler final : public SharedScheduler {
public:
    const char* name() const override { return "bvt"; }
    const char* title() const override { return "Borrowed virtual time (bvt)"; }
    uint32_t abi_id() const override { return xenolith::SCHEDULER_BVT; }
    base::Result<Scheduler*> another() const override { return static_cast<Scheduler*>(TRY(make<BvtScheduler>())); }
    void begin(const SchedSettings& settings) override {
        SharedScheduler::begin(settings);
        Guard guard(lock_);
        least_run_ = usual_allowance;
        // Of those who were here before nobody is.
        clock_ = 0;
    }
    Status group_params(SchedGroup& g, xenolith::SchedGroupOp& op) override;
    Status policy_params(xenolith::SchedPolicyOp& op) override;

private:
    int64_t clock_ GUARDED_BY(lock_) = 0;  ///< virtual time of who has had least; never goes back

    bool warps(const BorrowedTime& b) const { return b.warpback && (!b.warp_limit.n || b.warp_left.n > 0); }
    void joined(SharedUnit& e, const SharedUnit* like, Nanos) override REQUIRES(lock_) {
        e.borrowed = like ? like->borrowed : BorrowedTime{};
        if (!like) e.borrowed.mcu_advance = usual_advance;
        e.borrowed.actual = clock_;
    }
    void woke(SharedUnit& e, Nanos now) override REQUIRES(lock_) {
        BorrowedTime& b = e.borrowed;
        b.actual = std::max(b.actual, clock_);
        if (now >= b.warps_again) b.warp_left = b.warp_limit;
    }
    void ran(SharedUnit& e, Nanos time) override REQUIRES(lock_);
    Key key(const SharedUnit& e) const override REQUIRES(lock_) {
        const BorrowedTime& b = e.borrowed;
        return {b.actual - (warps(b) ? b.warpvalue * mcu_us : 0), 0};
    }
    Nanos slice(const SharedUnit& e, Nanos) const override REQUIRES(lock_) {
        const BorrowedTime& b = e.borrowed;
        const Nanos turn = std::max(least_run_, longest_turn);
        return b.warpback && b.warp_limit.n && b.warp_left.n > 0 ? std::min(turn, b.warp_left) : turn;
    }
    void started(SharedUnit& e) override REQUIRES(lock_) {
        if (!warps(e.borrowed)) clock_ = std::max(clock_, e.borrowed.actual);
    }
};

void BvtScheduler::ran(SharedUnit& e, Nanos time) {
    BorrowedTime& b = e.borrowed;
    b.actual += time.n * b.mcu_advance / 1000;
    if (!b.warpback || !b.warp_limit.n || b.warp_left.n <= 0) return;
    b.warp_left = b.warp_left - time;
    if (b.warp_left.n <= 0) b.warps_again = clock::now() + b.unwarp_time;
}

Status BvtScheduler::group_params(SchedGroup& g, xenolith::SchedGroupOp& op) {
    xenolith::SchedBvt& p = op.u.bvt;
    Guard guard(lock_);
    const SharedUnit* one = one_of(g);
    if (!one || op.cmd > xen::XEN_DOMCTL_SCHEDOP_getinfo) return Err{Errc::inval};
    if (op.cmd == xen::XEN_DOMCTL_SCHEDOP_getinfo) {
        const BorrowedTime& b = one->borrowed;
        p = {b.mcu_advance, b.warpback, b.warpvalue, static_cast<uint64_t>(b.warp_limit.n),
             static_cast<uint64_t>(b.unwarp_time.n)};
        return base::ok;
    }
    if (!p.mcu_advance || p.mcu_advance > most_advance || p.warpback > 1 || p.warpvalue > most_warp || p.warpvalue < -most_warp ||
        p.warpl > longest_warp || p.warpu > longest_warp)
        return Err{Errc::inval};
    const Nanos now = clock::now();
    settle(now);
    for (SharedUnit& e : members_) {
        if (&e.unit.group != &g) continue;
        BorrowedTime& b = e.borrowed;
        b.mcu_advance = p.mcu_advance;
        b.warpback = p.warpback != 0;
        b.warpvalue = p.warpvalue;
        b.warp_limit = b.warp_left = {static_cast<int64_t>(p.warpl)};
        b.unwarp_time = {static_cast<int64_t>(p.warpu)};
        b.warps_again = {};
        look_again(e, now);
    }
    return base::ok;
}

Status BvtScheduler::policy_params(xenolith::SchedPolicyOp& op) {
    Guard guard(lock_);
    if (op.cmd == xen::XEN_SYSCTL_SCHEDOP_putinfo) {
        if (op.u.ctx_allow > static_cast<uint64_t>(most_allowance.n)) return Err{Errc::inval};
        least_run_ = {static_cast<int64_t>(op.u.ctx_allow)};
        return base::ok;
    }
    if (op.cmd != xen::XEN_SYSCTL_SCHEDOP_getinfo) return Err{Errc::inval};
    op.u.ctx_allow = static_cast<uint64_t>(least_run_.n);
    return base::ok;
}

BvtScheduler first;

}  // namespace

Scheduler& sched::bvt = first;

}  // namespace hv
