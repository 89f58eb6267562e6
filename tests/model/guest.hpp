// SPDX-License-Identifier: Apache-2.0
/// A guest that is real to the core: all its memory is its own frames, reached through page tables that it made and that the
/// hypervisor validated. Needs host::guest_memory(page_tables).
///
/// It starts as a Linux guest does: a linear map of all its frames, writable but for the page tables, and one empty L1 beside it
/// for mappings that come and go.
///
///     linear_base + pfn * 4 KiB     frame `pfn` of the guest
///     scratch_base + n * 4 KiB      nothing yet; slots of scratch_l1
#pragma once

#include <cstdint>
#include <vector>

#include "hypervisor/domain/domain.hpp"
#include "hypervisor/hypercall/hypercall.hpp"

namespace hvmodel {

using namespace hv;

/// Ends the process: what the test stands on is broken.
[[noreturn]] void broken(const char* what);

template <class T>
T must(Result<T> r) {
    if (!r) broken("setting up");
    return std::move(r).take();
}

inline constexpr uint64_t linear_base = 0x4000'0000;   ///< L4 0, L3 1, L2 0
inline constexpr uint64_t scratch_base = 0x4020'0000;  ///< L4 0, L3 1, L2 1
inline constexpr uint64_t linear_address(uint64_t pfn) { return linear_base + pfn * page_size; }

/// Puts a vCPU on the calling thread's CPU, as the scheduler would: registers, root, TLB. The one that was there is off.
void run_here(Vcpu& v);
void run_idle_here();

class RealGuest {
public:
    DomainRef d;
    Mfn l4{0}, l3{0}, l2{0}, linear_l1{0}, scratch_l1{0};
    /// Frames that are no table at first; the n-th is at data_address(n).
    std::vector<Mfn> data;

    /// `data_pages` at most 500. All vCPUs share the root and are ready to run.
    RealGuest(uint16_t id, unsigned vcpus, unsigned data_pages, DomainLimits limits = {});
    /// Kills the domain; its structures may stay for as long as others hold pages of it.
    ~RealGuest() { end(); }
    RealGuest(const RealGuest&) = delete;
    RealGuest& operator=(const RealGuest&) = delete;
    void end();

    Vcpu& vcpu(unsigned i = 0) { return *d->vcpus[i]; }
    operator Domain&() { return *d; }
    Domain* operator->() { return &*d; }
    static constexpr unsigned table_pages = 5;
    static constexpr uint64_t data_address(unsigned n) { return linear_address(table_pages + n); }
};

}  // namespace hvmodel
