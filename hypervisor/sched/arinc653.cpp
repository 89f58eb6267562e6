// SPDX-License-Identifier: Apache-2.0
/// ARINC 653: a table says which vCPU runs when, again and again (a major frame); nobody runs at any other time, and what is left of a
/// frame nobody has. A vCPU runs on the first of the pool's CPUs that it may have. Until a table is given, dom0's vCPUs take turns of 10 ms.
#include <cstring>

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

constexpr Nanos usual_turn = Nanos::ms(10);
constexpr unsigned most_entries = xen::ARINC653_MAX_DOMAINS_PER_SCHEDULE;
constexpr uint64_t longest_frame = 1'000'000'000'000;  ///< ns
constexpr uint64_t shortest_turn = 10'000;             ///< ns

class Arinc653Scheduler final : public SharedScheduler {
public:
    const char* name() const override { return "arinc653"; }
    const char* title() const override { return "By a table of times (arinc653)"; }
    uint32_t abi_id() const override { return xen::XEN_SCHEDULER_ARINC653; }
    base::Result<Scheduler*> another() const override { return static_cast<Scheduler*>(TRY(make<Arinc653Scheduler>())); }
    void begin(const SchedSettings& settings) override {
        SharedScheduler::begin(settings);
        Guard guard(lock_);
        count_ = at_ = 0;
        major_ = {};
        turn_end_ = Nanos::never();
        given_ = false;
    }
    Status table(uint32_t cmd, xen::SysctlArinc653Schedule& t) override;
    Status policy_params(xenolith::SchedPolicyOp&) override { return Err{Errc::inval}; }  // table() is what there is

private:
    struct Entry {
        uint8_t handle[16];
        uint32_t vcpu;
        Nanos runtime;
        SharedUnit* unit;  ///< null: not there
    };
    Entry entries_[most_entries] GUARDED_BY(lock_) = {};
    unsigned count_ GUARDED_BY(lock_) = 0;
    bool given_ GUARDED_BY(lock_) = false;
    Nanos major_ GUARDED_BY(lock_){};
    Nanos frame_end_ GUARDED_BY(lock_){};  ///< of the major frame
    Nanos turn_end_ GUARDED_BY(lock_) = Nanos::never();
    unsigned at_ GUARDED_BY(lock_) = 0;  ///< whose turn it is; count_: nobody's

    void joined(SharedUnit& e, const SharedUnit*, Nanos now) override REQUIRES(lock_);
    void left(SharedUnit& e) override REQUIRES(lock_) {
        for (Entry& entry : entries_)
            if (entry.unit == &e) entry.unit = nullptr;
    }
    bool has_turn(const SharedUnit& e) const REQUIRES(lock_) { return at_ < count_ && entries_[at_].unit == &e; }
    Key key(const SharedUnit& e) const override REQUIRES(lock_) { return {has_turn(e) ? 0 : 1, 0}; }
    Nanos slice(const SharedUnit&, Nanos now) const override REQUIRES(lock_) { return turn_end_ - now; }
    bool fits(const SharedUnit& e, unsigned cpu) const override REQUIRES(lock_) {
        return has_turn(e) && allowed(e.unit).first() == cpu;
    }
    SharedUnit* best(unsigned cpu, const SharedUnit*) override REQUIRES(lock_) {
        SharedUnit* e = at_ < count_ ? entries_[at_].unit : nullptr;
        return e && e->place.linked() && fits(*e, cpu) && takes(cpu, *e) ? e : nullptr;
    }
    Nanos next_due() const override REQUIRES(lock_) { return turn_end_; }
    void due(Nanos now) override REQUIRES(lock_);
    void begin_frame(Nanos now) REQUIRES(lock_);
    void look_up(SharedUnit& e) REQUIRES(lock_);
    void show(SharedUnit* e, Nanos now) REQUIRES(lock_) {
        if (e) look_again(*e, now);
    }
};

void Arinc653Scheduler::look_up(SharedUnit& e) {
    for (unsigned i = 0; i < count_; ++i) {
        Entry& entry = entries_[i];
        if (entry.vcpu == e.unit.number() && std::memcmp(entry.handle, e.unit.group.handle, sizeof entry.handle) == 0)
            entry.unit = &e;
    }
}

void Arinc653Scheduler::begin_frame(Nanos now) {
    at_ = 0;
    frame_end_ = now + major_;
    turn_end_ = count_ ? now + entries_[0].runtime : Nanos::never();
}

/// The next turns, until one that is not over yet; after the last one nobody's, until the major frame ends.
void Arinc653Scheduler::due(Nanos now) {
    if (!count_) return;
    SharedUnit* const before = at_ < count_ ? entries_[at_].unit : nullptr;
    if (now >= frame_end_) {  // late by whole frames: the table goes on as if it were not
        const Nanos start{frame_end_.n + (now - frame_end_).n / major_.n * major_.n};
        begin_frame(start);
    }
    while (turn_end_ <= now) {
        if (at_ < count_) ++at_;
        turn_end_ = at_ < count_ ? turn_end_ + entries_[at_].runtime : frame_end_;
        if (turn_end_ > frame_end_) turn_end_ = frame_end_;
        if (turn_end_ == frame_end_) break;
    }
    SharedUnit* const next = at_ < count_ ? entries_[at_].unit : nullptr;
    if (next == before) return;
    show(before, now);
    show(next, now);
}

void Arinc653Scheduler::joined(SharedUnit& e, const SharedUnit*, Nanos now) {
    if (!given_ && e.unit.group.domain == 0 && count_ < most_entries) {
        Entry& entry = entries_[count_++];
        std::memcpy(entry.handle, e.unit.group.handle, sizeof entry.handle);
        entry.vcpu = e.unit.number();
        entry.runtime = usual_turn;
        major_ = major_ + usual_turn;
        begin_frame(now);
    }
    look_up(e);
}

/// Errors: inval.
Status check(const xen::SysctlArinc653Schedule& t) {
    if (t.num_sched_entries < 1 || t.num_sched_entries > most_entries || !t.major_frame || t.major_frame > longest_frame)
        return Err{Errc::inval};
    uint64_t sum = 0;
    for (unsigned i = 0; i < t.num_sched_entries; ++i) {
        const uint64_t turn = t.sched_entries[i].runtime;
        if (turn < shortest_turn || turn > t.major_frame) return Err{Errc::inval};
        sum += turn;
    }
    if (sum > t.major_frame) return Err{Errc::inval};
    return base::ok;
}

Status Arinc653Scheduler::table(uint32_t cmd, xen::SysctlArinc653Schedule& t) {
    if (cmd > xen::XEN_SYSCTL_SCHEDOP_getinfo) return Err{Errc::inval};
    if (cmd == xen::XEN_SYSCTL_SCHEDOP_putinfo) TRY(check(t));
    Guard guard(lock_);
    if (cmd == xen::XEN_SYSCTL_SCHEDOP_getinfo) {
        t.major_frame = static_cast<uint64_t>(major_.n);
        t.num_sched_entries = static_cast<uint8_t>(count_);
        for (unsigned i = 0; i < count_; ++i) {
            auto& to = t.sched_entries[i];
            std::memcpy(&to.dom_handle, entries_[i].handle, sizeof entries_[i].handle);
            to.vcpu_id = entries_[i].vcpu;
            to.runtime = static_cast<uint64_t>(entries_[i].runtime.n);
        }
        return base::ok;
    }
    const Nanos now = clock::now();
    count_ = t.num_sched_entries;
    given_ = true;
    major_ = {static_cast<int64_t>(t.major_frame)};
    for (unsigned i = 0; i < count_; ++i) {
        const auto& from = t.sched_entries[i];
        std::memcpy(entries_[i].handle, &from.dom_handle, sizeof entries_[i].handle);
        entries_[i].vcpu = from.vcpu_id;
        entries_[i].runtime = {static_cast<int64_t>(from.runtime)};
        entries_[i].unit = nullptr;
    }
    for (SharedUnit& e : members_) look_up(e);
    begin_frame(now);
    for (SharedUnit& e : members_)
        if (e.waits || e.runs) look_again(e, now);
    return base::ok;
}

Arinc653Scheduler first;

}  // namespace

Scheduler& sched::arinc653 = first;

}  // namespace hv
