// SPDX-License-Identifier: Apache-2.0
// A whole machine in this process: the hypervisor's own core over the host stand-in for hardware, with a dom0 whose
// "kernel" is the simulator itself. Guests are C++ functions that run whenever their vCPU is scheduled.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <set>

#include "hypervisor/domain/domain.hpp"
#include "lib/base/types.hpp"

namespace sim {

class Machine;

/// A guest's vCPU while it runs: what its program may do.
class GuestCpu {
public:
    GuestCpu(Machine& machine, hv::Vcpu& vcpu) : machine_(machine), vcpu_(vcpu) {}
    hv::Vcpu& vcpu() { return vcpu_; }
    base::DomId domain() const { return vcpu_.domain.id; }
    /// A hypercall by this vCPU. Pointers are this process's.
    int64_t hypercall(uint64_t number, std::array<uint64_t, 6> arguments = {});
    /// SCHEDOP_shutdown; the vCPU does not come back after the program has returned.
    void shutdown(uint32_t reason);
    /// The machine frame behind pseudo-physical frame `pfn`, from the M2P.
    uint8_t* frame(uint64_t mfn);

private:
    Machine& machine_;
    hv::Vcpu& vcpu_;
};

/// The process's machine: like the hypervisor's own state there is one, powered on at first use; tests share it and
/// leave it as they found it. Thread-safe: everything runs under one lock, dom0 always on CPU 0.
class Machine {
public:
    using Program = std::function<void(GuestCpu&)>;

    static Machine& instance();
    Machine(const Machine&) = delete;
    Machine& operator=(const Machine&) = delete;

    /// What the vCPUs of guests do each time they run; the default blocks until an event comes.
    Program program;
    /// Called (under the lock) after anything that may have set event channels of dom0.
    std::function<void()> on_events;

    /// A hypercall by dom0; the other CPUs run afterwards until all guests are idle. Returns the value or -errno.
    int64_t hypercall(uint64_t number, std::array<uint64_t, 6> arguments);
    /// Time passes, and everybody runs who can.
    void pass(base::Nanos time);

    std::recursive_mutex& lock() { return lock_; }
    hv::Domain& dom0() { return *hv::dom0; }
    uint64_t free_pages();

private:
    friend class GuestCpu;
    Machine(unsigned cpus, uint64_t frames);
    int64_t call_as(hv::Vcpu& vcpu, uint64_t number, const std::array<uint64_t, 6>& arguments);
    void run_everybody();
    bool run_cpu(unsigned cpu);
    void run_guest(hv::Vcpu& vcpu);
    void make_dom0();

    std::recursive_mutex lock_;
    hv::Vcpu* dom0_vcpu_ = nullptr;
    bool running_guests_ = false;
};

}  // namespace sim
