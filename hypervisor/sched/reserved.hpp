// SPDX-License-Identifier: Apache-2.0
/// What policies have in common where a unit may have a slice of each of its periods: who has time of its own left goes before who has not,
/// and the earliest deadline first. Where the slices of all fit on the CPUs, each gets its own before its period ends.
///
/// A period begins when its unit wakes up after the last one has ended, or when that ends. What is used beyond a slice (a timer comes late)
/// is taken from the next one.
#pragma once

#include "hypervisor/sched/shared.hpp"

namespace hv {

class ReservedScheduler : public SharedScheduler {
protected:
    ReservedScheduler() = default;
    ~ReservedScheduler() = default;

    // -- what a policy says; with the lock held -----------------------------------------------------------------------

    /// What a unit begins with.
    virtual Reservation usual(const SchedUnit& u) const REQUIRES(lock_) = 0;
    /// It has used up what it had, and may have more: sets its level (at least 1), its turn and what it has now.
    virtual void begin_extra(Reservation& r) REQUIRES(lock_) = 0;
    /// Units came or went, or have other weights: slices that depend on those of others change.
    virtual void weigh(base::Nanos) REQUIRES(lock_) {}

    // -- what it may use ----------------------------------------------------------------------------------------------

    /// A new reservation, from now on.
    void reserve(SharedUnit& e, const Reservation& wanted, base::Nanos now) REQUIRES(lock_);

    void joined(SharedUnit& e, const SharedUnit* like, base::Nanos now) override REQUIRES(lock_);
    void left(SharedUnit& e) override REQUIRES(lock_);
    void woke(SharedUnit& e, base::Nanos now) override REQUIRES(lock_);
    void rested(SharedUnit& e) override REQUIRES(lock_);
    void ran(SharedUnit& e, base::Nanos time) override REQUIRES(lock_);
    bool may_wait(SharedUnit& e, bool yields) override REQUIRES(lock_);
    Key key(const SharedUnit& e) const override REQUIRES(lock_);
    base::Nanos slice(const SharedUnit& e, base::Nanos now) const override REQUIRES(lock_);
    base::Nanos next_due() const override REQUIRES(lock_);
    void due(base::Nanos now) override REQUIRES(lock_);

private:
    base::Tree<SharedUnit, &SharedUnit::period> periods_ GUARDED_BY(lock_);

    void begin_period(SharedUnit& e) REQUIRES(lock_);
};

}  // namespace hv
