// SPDX-License-Identifier: Apache-2.0
/// What schedulers know of vCPUs and domains: a Vcpu is a SchedUnit, a Domain has a SchedGroup.
#pragma once

#include <atomic>
#include <cstdint>

#include "abi/xen/vcpu.hpp"
#include "hypervisor/arch/x86/online_cpus.hpp"
#include "hypervisor/trace/trace.hpp"
#include "lib/base/types.hpp"

namespace hv {

/// Why a unit may not run: bits of SchedUnit::pause_flags. Zero, and pause_count zero: runnable.
enum VcpuPause : uint32_t {
    vpf_blocked = 1u << 0,  ///< SCHEDOP_block or poll; an event wakes it
    vpf_down = 1u << 1,     ///< not brought up by VCPUOP_up, or taken down
};

inline constexpr uint16_t default_weight = 256;

struct CpuPool;

/// Units that share what they are entitled to, and the pool whose CPUs and policy they have.
struct SchedGroup {
    SchedGroup(CpuPool& p, uint16_t d, const uint8_t (&h)[16]) : domain(d), handle(h), pool(&p) {}
    const uint16_t domain;
    const uint8_t (&handle)[16];
    std::atomic<CpuPool*> pool;  ///< another one only while none of the units runs or may
    std::atomic<uint16_t> weight{default_weight};
    std::atomic<uint16_t> cap{0};  ///< percent of one CPU; 0 = none
    // While there is a cap: what may still be used in the period that `periods` counts up to; below 0 what was used ahead.
    std::atomic<int64_t> allowance{0};  ///< ns
    std::atomic<int64_t> periods{0};
};

/// How long a unit was in each RUNSTATE_*. Locks: the one that the policy puts the unit under.
class RunState {
    int32_t state_ = xen::RUNSTATE_offline;
    const uint32_t whose_;
    base::Nanos since_{};
    uint64_t time_[4] = {};

    base::Nanos last_lasted_{};

    /// The states are part of the event's number.
    HV_ASIDE void record(int32_t next, base::Nanos now) {
        last_lasted_ = now - since_;
        const auto from = static_cast<uint32_t>(state_ & 3), to = static_cast<uint32_t>(next & 3);
        trace::event(xen::TRC_SCHED_RUNSTATE_CHANGE | from << 8 | to << 4, whose_);
    }

public:
    explicit RunState(uint32_t whose) : whose_(whose) {}
    /// Begins `state`; time spent counts for the old one. The same state again goes on.
    void enter(int32_t state, base::Nanos now) {
        if (state_ == state) return;
        if (trace::on()) [[unlikely]]
            record(state, now);
        const int64_t spent = now.n - since_.n;
        if (spent > 0) time_[state_ & 3] += static_cast<uint64_t>(spent);
        since_ = now;
        state_ = state;
    }
    /// Counts from `now` on: what was before was nothing.
    void begin_at(base::Nanos now) { since_ = now; }
    base::Nanos since() const { return since_; }
    /// How long the state before this one lasted, if that was recorded.
    base::Nanos last_lasted() const { return last_lasted_; }
    /// The times as of the last change; what lies in between begins at state_entry_time.
    xen::VcpuRunstateInfo at_change() const {
        return {state_, 0, static_cast<uint64_t>(since_.n), {time_[0], time_[1], time_[2], time_[3]}};
    }
};

/// What runs on a CPU or waits for one.
struct SchedUnit {
    SchedUnit(SchedGroup& g, bool is_idle, uint32_t name) : group(g), idle(is_idle), trace_name(name), runstate(name) {}
    SchedUnit(const SchedUnit&) = delete;
    SchedUnit& operator=(const SchedUnit&) = delete;

    SchedGroup& group;
    const bool idle;            ///< runs on its CPU when nothing else can; in no queue
    const uint32_t trace_name;  ///< in records: the vCPU's number, its domain's in the upper half
    bool yielding = false;      ///< asked to be passed over once; its own CPU only
    std::atomic<uint32_t> pause_flags{vpf_down};
    std::atomic<uint32_t> pause_count{0};
    std::atomic<int32_t> running_on{-1};  ///< CPU whose registers hold this unit; -1: none
    std::atomic<uint32_t> cpu{0};         ///< run queue it belongs to; changes under that queue's lock
    CpuMask affinity{CpuSet::any()};      ///< hard affinity: CPUs it may run on
    CpuMask soft_affinity{CpuSet::any()};
    void* sched_data = nullptr;  ///< the scheduler's own; null: not inserted
    RunState runstate;

    uint32_t number() const { return trace_name & 0xffff; }  ///< in its group
    bool runnable() const {
        return pause_flags.load(std::memory_order_acquire) == 0 && pause_count.load(std::memory_order_acquire) == 0;
    }
};

/// The state of one that neither runs nor waits for a CPU.
inline int32_t resting_state(const SchedUnit& u) {
    return u.pause_flags.load(std::memory_order_acquire) & vpf_blocked ? xen::RUNSTATE_blocked : xen::RUNSTATE_offline;
}

}  // namespace hv
