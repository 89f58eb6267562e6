// SPDX-License-Identifier: Apache-2.0
/// What tests of the hypervisor's core share: a machine, and guests on it.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "hypervisor/domain/domain.hpp"
#include "hypervisor/guest/kinds.hpp"
#include "hypervisor/guest/pv/pt_update.hpp"
#include "hypervisor/mm/heap.hpp"
#include "hypervisor/rt/log.hpp"
#include "hypervisor/sched/scheduler.hpp"
#include "tests/machine/host.hpp"

namespace hvtest {

using namespace hv;

/// What a PV guest calls a frame of its.
inline Gfn gfn(Mfn m) { return Gfn(m.raw); }

inline constexpr unsigned test_cpus = 4;

/// One machine for the whole program.
inline void machine(unsigned cpu_count = test_cpus) {
    static const bool once = [cpu_count] {
        host::power_on(cpu_count, 16384);
        return true;
    }();
    (void)once;
    host::become(0);
}

template <class T>
T must(Result<T> r) {
    if (!r) {
        ADD_FAILURE() << "error " << static_cast<int>(r.error());
        std::abort();
    }
    return std::move(r).take();
}

/// A domain with vCPUs that have a context and may run.
class Guest {
public:
    DomainRef d;
    explicit Guest(uint16_t id, unsigned vcpus = 1, DomainLimits limits = {}) {
        limits.max_vcpus = vcpus;
        d = must(domain_create(DomId(id), pv_guest, limits, id == 0));
        d->max_pages = 1 << 16;
        for (unsigned i = 0; i < vcpus; ++i) vcpus_.push_back(must(vcpu_create(*d, VcpuId(i))));
    }
    ~Guest() { destroy(); }
    Guest(const Guest&) = delete;
    Guest& operator=(const Guest&) = delete;
    Vcpu& vcpu(unsigned i = 0) { return *vcpus_[i]; }
    operator Domain&() { return *d; }
    Domain* operator->() { return &*d; }
    /// Lets all vCPUs run.
    void start() {
        for (Vcpu* v : vcpus_) {
            v->initialised = true;
            v->period = {};
            v->pause_flags.fetch_and(~uint32_t{vpf_down});
        }
        domain_unpause(*d);
    }
    /// Takes its vCPUs off the CPUs; they leave as soon as these look.
    void stop() {
        for (Vcpu* v : vcpus_) sched::pause_nosync(*v);
    }
    /// A page of the guest's memory.
    Mfn page() {
        const Mfn m = must(domain_alloc_pages(*d, 0, 64));
        std::memset(map_mfn(m), 0, base::page_size);
        return m;
    }
    /// Empty page tables for both modes of a vCPU: it may change between them.
    void give_roots(unsigned i = 0) {
        if (!set_kernel_root(vcpu(i), page()) || !set_user_root(vcpu(i), page())) ADD_FAILURE() << "no page tables";
    }
    void destroy() {
        if (!d) return;
        while (!domain_kill(*d)) {}
        d = DomainRef();
        vcpus_.clear();  // they end with the domain
    }

private:
    std::vector<Vcpu*> vcpus_;
};

}  // namespace hvtest
