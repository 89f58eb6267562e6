// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/sched/reserved.hpp"

#include <algorithm>

#include "hypervisor/rt/clock.hpp"

namespace hv {

using base::Nanos;

/// The slice of a new period, less what was used ahead.
void ReservedScheduler::begin_period(SharedUnit& e) {
    Reservation& r = e.reserved;
    const int64_t ahead = r.level == 0 ? std::clamp<int64_t>(r.left.n, -r.slice.n, 0) : 0;
    r.left = {r.slice.n + ahead};
    r.level = 0;
    if (r.slice.n) periods_.insert(e, {r.period_end.n, 0});
}

void ReservedScheduler::woke(SharedUnit& e, Nanos now) {
    Reservation& r = e.reserved;
    if (now < r.period_end) {
        if (r.slice.n) periods_.insert(e, {r.period_end.n, 0});
        return;
    }
    r.period_end = now + r.period;
    r.deadline = r.latency.n && r.latency < r.period ? now + r.latency : r.period_end;
    begin_period(e);
}

void ReservedScheduler::rested(SharedUnit& e) {
    if (e.period.linked()) periods_.remove(e);
}

void ReservedScheduler::ran(SharedUnit& e, Nanos time) { e.reserved.left = e.reserved.left - time; }

bool ReservedScheduler::may_wait(SharedUnit& e, bool) {
    Reservation& r = e.reserved;
    if (r.left.n > 0) return true;
    if (!r.extra) return false;
    begin_extra(r);
    return true;
}

SharedScheduler::Key ReservedScheduler::key(const SharedUnit& e) const {
    const Reservation& r = e.reserved;
    return {r.level, r.level ? r.turn : r.deadline.n};
}

Nanos ReservedScheduler::slice(const SharedUnit& e, Nanos) const { return e.reserved.left; }

Nanos ReservedScheduler::next_due() const {
    const SharedUnit* first = periods_.first();
    return first ? first->reserved.period_end : Nanos::never();
}

void ReservedScheduler::due(Nanos now) {
    for (SharedUnit* e = periods_.first(); e && e->reserved.period_end <= now; e = periods_.first()) {
        Reservation& r = e->reserved;
        periods_.remove(*e);
        const int64_t missed = (now - r.period_end).n / r.period.n + 1;
        r.period_end.n += missed * r.period.n;
        r.deadline = r.period_end;
        begin_period(*e);
        requeue(*e, now);
        recheck(*e);
    }
}

void ReservedScheduler::joined(SharedUnit& e, const SharedUnit* like, Nanos now) {
    e.reserved = usual(e.unit);
    if (like) {
        const Reservation& its = like->reserved;
        e.reserved.period = its.period;
        e.reserved.slice = its.slice;
        e.reserved.latency = its.latency;
        e.reserved.extra = its.extra;
        e.reserved.weight = its.weight;
    }
    weigh(now);
}

void ReservedScheduler::left(SharedUnit&) { weigh(clock::now()); }

void ReservedScheduler::reserve(SharedUnit& e, const Reservation& wanted, Nanos now) {
    Reservation& r = e.reserved;
    const int64_t turn = r.turn;
    rested(e);
    r = wanted;
    r.turn = turn;
    r.left = {};
    r.level = 0;
    r.period_end = now + r.period;
    r.deadline = r.period_end;
    if (!e.waits && !e.runs) {
        r.period_end = {};  // its first period begins when it wakes up
        return;
    }
    begin_period(e);
    if (e.runs && r.left.n <= 0 && r.extra) begin_extra(r);
    look_again(e, now);
}

}  // namespace hv
