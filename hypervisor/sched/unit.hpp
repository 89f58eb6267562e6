// SPDX-License-Identifier: Apache-2.0
/// What schedulers know of vCPUs and domains: a Vcpu is a SchedUnit, a Domain has a SchedGroup.
#pragma once

#include <atomic>
#include <cstdint>

#include "abi/xen/vcpu.hpp"
#include "lib/base/types.hpp"

namespace hv {

/// Why a unit may not run: bits of SchedUnit::pause_flags. Zero, and pause_count zero: runnable.
enum VcpuPause : uint32_t {
    vpf_blocked = 1u << 0,  ///< SCHEDOP_block or poll; an event wakes it
    vpf_down = 1u << 1,     ///< not brought up by VCPUOP_up, or taken down
};

/// Units that share what they are entitled to.
struct SchedGroup {
    std::atomic<uint16_t> weight{256};
    std::atomic<uint16_t> cap{0};  ///< percent of one CPU; 0 = none
};

/// What runs on a CPU or waits for one.
struct SchedUnit {
    SchedUnit(SchedGroup& g, bool is_idle) : group(g), idle(is_idle) {}
    SchedUnit(const SchedUnit&) = delete;
    SchedUnit& operator=(const SchedUnit&) = delete;

    SchedGroup& group;
    const bool idle;                      ///< runs on its CPU when nothing else can; in no queue
    bool yielding = false;                ///< asked to be passed over once; its own CPU only
    std::atomic<uint32_t> pause_flags{vpf_down};
    std::atomic<uint32_t> pause_count{0};
    std::atomic<int32_t> running_on{-1};  ///< CPU whose registers hold this unit; -1: none
    std::atomic<uint32_t> cpu{0};         ///< run queue it belongs to; changes under that queue's lock
    std::atomic<uint64_t> affinity{~uint64_t{0}};  ///< hard affinity: CPUs it may run on
    uint64_t soft_affinity = ~uint64_t{0};
    void* sched_data = nullptr;           ///< the scheduler's own; null: not inserted
    std::atomic<uint32_t> runstate{xen::RUNSTATE_offline};
    base::Nanos runstate_since{};         ///< written by whoever changes runstate; sched lock
    uint64_t runstate_time[4] = {};       ///< ns in each RUNSTATE_*

    bool runnable() const {
        return pause_flags.load(std::memory_order_acquire) == 0 && pause_count.load(std::memory_order_acquire) == 0;
    }
};

}  // namespace hv
