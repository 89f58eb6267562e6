// SPDX-License-Identifier: Apache-2.0
/// The guest's vCPUs: each has a stack with what belongs to it at the bottom.
#pragma once

#include "guests/tiny/traps.hpp"

namespace guest {

inline constexpr unsigned max_vcpus = 32;
inline constexpr uint64_t stack_bytes = 16384;

/// Where an exception goes while run_caught runs.
struct Guard {
    Guard* outer;
    uint64_t stack;
    Trap* trap;
};

/// What belongs to one vCPU.
struct ThisVcpu {
    unsigned id;
    xen::VcpuInfo* info;
    Guard* guard;
};

/// Of the vCPU that runs this; its stack pointer says which.
inline ThisVcpu& this_vcpu() {
    uint64_t rsp = 0;
    asm("mov %%rsp, %0" : "=r"(rsp));
    return *at<ThisVcpu>(rsp & ~(stack_bytes - 1));
}

/// A context as start_vcpu gives it to a vCPU that is to run fn: flat segments, our tables, all our entry points.
void fill_context(xen::VcpuGuestContext& context, unsigned id, void (*fn)());
/// Makes vCPU `id` (1 to 31) run fn on a stack of its own, upcalls masked. Returns the first error of the hypervisor.
long start_vcpu(unsigned id, void (*fn)());
/// Takes the calling vCPU down for good.
[[noreturn]] void stop_this_vcpu();

}  // namespace guest
