// SPDX-License-Identifier: Apache-2.0
/// What xenperf and xenlockprof read: performance counters, and how locks were waited for.
#include "hypervisor/hypercall/sysctl/sysctl.hpp"
#include "hypervisor/hypercall/text.hpp"
#include "hypervisor/hypercall/trace_control.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/sync/lock_profile.hpp"
#include "hypervisor/trace/counters.hpp"

namespace hv::sysctl {

namespace {

uint32_t values_before(uint32_t index) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < index; ++i) n += counters::value_count(i);
    return n;
}

/// Whoever calls says where the arrays are, not how long: there is room for what a call without arrays said before, and that never changes.
Status store_counter(const xen::SysctlPerfcOp& p, uint32_t index) {
    const uint32_t n = counters::value_count(index);
    const auto descriptions = GuestPtr<xen::SysctlPerfcDesc>::of(p.desc);
    const auto values = GuestPtr<uint32_t>::of(p.val) + values_before(index);
    if (!descriptions.null()) {
        auto d = xen::zeroed<xen::SysctlPerfcDesc>();
        copy_text(d.name, counters::description(index).name);
        d.nr_vals = n;
        TRY(descriptions.store(d, index));
    }
    if (p.val.addr == 0) return ok;
    for (uint32_t i = 0; i < n; ++i) TRY(values.store(counters::value(index, i), i));
    return ok;
}

Answer query(const Call& c) {
    xen::SysctlPerfcOp& p = c.op.u.perfc_op;
    TRY(preemptible(
        c.progress, counters::counter_count, [&](uint64_t i) { return store_counter(p, static_cast<uint32_t>(i)); },
        [&](uint64_t i) -> Result<uint64_t> { return c.again(static_cast<uint32_t>(i)); }));
    p.nr_counters = counters::counter_count;
    p.nr_vals = values_before(counters::counter_count);
    TRY(c.done());
    return 0;
}

Status query_locks(const Call& c) {
    xen::SysctlLockprofOp& l = c.op.u.lockprof_op;
    const auto out = GuestPtr<xen::SysctlLockprofData>::of(l.data);
    const uint32_t room = out.null() ? 0 : std::min(l.max_elem, lock_profile::class_count);
    for (uint32_t i = 0; i < room; ++i) {
        const lock_profile::Figures f = lock_profile::figures(i);
        auto d = xen::zeroed<xen::SysctlLockprofData>();
        copy_text(d.name, f.name);
        d.type = xen::LOCKPROF_TYPE_GLOBAL;
        d.lock_cnt = f.taken;
        d.block_cnt = f.waits;
        d.lock_time = f.held_ns;
        d.block_time = f.waited_ns;
        TRY(out.store(d, i));
    }
    l.nr_elem = lock_profile::class_count;
    l.time = static_cast<uint64_t>((clock::now() - lock_profile::began()).n);
    return c.done();
}

}  // namespace

Answer perfc_op(const Call& c) {
    switch (c.op.u.perfc_op.cmd) {
        case xen::XEN_SYSCTL_PERFCOP_reset: TRY(counters_begin()); return 0;
        case xen::XEN_SYSCTL_PERFCOP_query: return query(c);
        default: return Err{Errc::inval};
    }
}

Status lockprof_op(const Call& c) {
    switch (c.op.u.lockprof_op.cmd) {
        case xen::XEN_SYSCTL_LOCKPROF_reset: lock_profile::reset(clock::now()); return ok;
        case xen::XEN_SYSCTL_LOCKPROF_query: return query_locks(c);
        default: return Err{Errc::inval};
    }
}

}  // namespace hv::sysctl
