// SPDX-License-Identifier: Apache-2.0
/// What a vCPU shares with its guest: event flags and time.
#include <cstring>

#include "hypervisor/domain/domain.hpp"
#include "hypervisor/domain/run.hpp"
#include "hypervisor/mm/dirty.hpp"
#include "hypervisor/rt/clock.hpp"

namespace hv {

void vcpu_mark_events_pending(Vcpu& v) {
    xen::VcpuInfo* info = v.info.load(std::memory_order_acquire);
    const bool pending = __atomic_exchange_n(&info->evtchn_upcall_pending, uint8_t{1}, __ATOMIC_SEQ_CST);
    dirtied_shared(info);
    if (!pending) vcpu_kick(v);
}

void vcpu_kick(Vcpu& v) {
    vcpu_unblock(v);
    const int32_t cpu = v.running_on.load(std::memory_order_seq_cst);
    if (cpu >= 0 && static_cast<uint32_t>(cpu) != this_cpu().id) arch::kick(static_cast<unsigned>(cpu));
}

Status vcpu_map_info(Vcpu& v, Gfn gfn, uint32_t offset) {
    if (offset > page_size - sizeof(xen::VcpuInfo) || offset % alignof(xen::VcpuInfo)) return Err{Errc::inval};
    // Two vCPUs may do this for a third at the same time; the one that loses must not drop the other's reference.
    Guard g(v.domain.lock);
    if (v.info_page) return Err{Errc::inval};
    // It may not run while its info moves, unless it is the one that asks.
    if (&v != &current() && !(v.pause_flags.load(std::memory_order_acquire) & vpf_down)) return Err{Errc::inval};
    WritableRef page = TRY(guest_page_to_write(v.domain, gfn));
    auto* fresh = reinterpret_cast<xen::VcpuInfo*>(page.data() + offset);
    memcpy(fresh, v.info.load(std::memory_order_acquire), sizeof *fresh);
    v.info_page = std::move(page);
    v.info.store(fresh, std::memory_order_seq_cst);
    // Events that came while it moved were marked in the old one: let the guest look at everything once.
    __atomic_store_n(&fresh->evtchn_pending_sel, ~uint64_t{0}, __ATOMIC_SEQ_CST);
    __atomic_store_n(&fresh->evtchn_upcall_pending, uint8_t{1}, __ATOMIC_SEQ_CST);
    dirtied_shared(fresh);
    return ok;
}

// -- time -------------------------------------------------------------------------------------------------------------

namespace {

/// The version counts twice for each change and is odd while the rest is not consistent.
void publish(xen::VcpuTimeInfo& to, const xen::VcpuTimeInfo& values) {
    const uint32_t version = __atomic_load_n(&to.version, __ATOMIC_RELAXED) | 1;
    __atomic_store_n(&to.version, version, __ATOMIC_RELAXED);
    std::atomic_thread_fence(std::memory_order_release);
    constexpr size_t skip = sizeof values.version;
    memcpy(reinterpret_cast<uint8_t*>(&to) + skip, reinterpret_cast<const uint8_t*>(&values) + skip, sizeof values - skip);
    __atomic_store_n(&to.version, version + 1, __ATOMIC_RELEASE);
    dirtied_shared(&to);
}

/// The same through guest addresses. A fault ends the registration's use for now, not the guest.
void publish_at(uint64_t va, xen::VcpuTimeInfo values, uint32_t version) {
    values.version = version | 1;
    if (!arch::copy_to_guest(va, &values, sizeof values)) return;
    std::atomic_thread_fence(std::memory_order_release);
    values.version = (version | 1) + 1;
    arch::copy_to_guest(va, &values.version, sizeof values.version);
}

}  // namespace

void vcpu_update_time(Vcpu& v) {
    xen::VcpuInfo* info = v.info.load(std::memory_order_acquire);
    const clock::Scale s = clock::scale;
    auto t = xen::zeroed<xen::VcpuTimeInfo>();
    t.tsc_timestamp = s.tsc_base;
    t.system_time = s.ns_base;
    t.tsc_to_system_mul = s.mul;
    t.tsc_shift = s.shift;
    t.flags = xen::XEN_PVCLOCK_TSC_STABLE_BIT;
    const xen::VcpuTimeInfo& now = info->time;
    const bool unchanged = now.tsc_timestamp == t.tsc_timestamp && now.system_time == t.system_time &&
                           now.tsc_to_system_mul == t.tsc_to_system_mul && now.flags == t.flags;
    if (!unchanged) publish(info->time, t);
    const uint64_t area = v.time_info_guest.load(std::memory_order_relaxed);
    if (area && &v == &current()) {
        uint32_t version = 0;
        if (arch::copy_from_guest(&version, area, sizeof version)) publish_at(area, t, version);
    }
}

void domain_update_wallclock(Domain& d) {
    xen::SharedInfo* s = d.shared;
    if (!s) return;
    const clock::Wallclock w = clock::wallclock();
    const uint64_t sec = w.sec + d.time_offset_seconds;
    const uint32_t version = __atomic_load_n(&s->wc_version, __ATOMIC_RELAXED) | 1;
    __atomic_store_n(&s->wc_version, version, __ATOMIC_RELAXED);
    std::atomic_thread_fence(std::memory_order_release);
    s->wc_sec = static_cast<uint32_t>(sec);
    s->wc_sec_hi = static_cast<uint32_t>(sec >> 32);
    s->wc_nsec = w.nsec;
    __atomic_store_n(&s->wc_version, version + 1, __ATOMIC_RELEASE);
    dirtied_shared(s);
}

void domains_update_wallclock() {
    for (DomainRef d = next_domain(DomId(0)); d; d = next_domain(DomId::from_reg(d->id.raw + 1u))) domain_update_wallclock(*d);
}

}  // namespace hv
