// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/hypercall/control.hpp"

#include "hypervisor/sched/scheduler.hpp"

namespace hv {

namespace {
std::atomic<bool> taken{false};
}

ControlTurn::ControlTurn() : have_(!taken.exchange(true, std::memory_order_acquire)) {}
ControlTurn::~ControlTurn() {
    if (have_) taken.store(false, std::memory_order_release);
}

namespace {
/// Far more than any tool's CPU or node map; a bound for the loop.
constexpr uint32_t most_bits = 1u << 16;
}  // namespace

Status store_bitmap(const xen::XenctlBitmap& to, const CpuSet& bits) {
    if (to.nr_bits > most_bits) return Err{Errc::inval};
    const auto p = GuestPtr<uint8_t>::of(to.bitmap);
    const uint32_t bytes = (to.nr_bits + 7) / 8;
    for (uint32_t i = 0; i < bytes; ++i) {
        uint8_t b = i < cpu_words * 8 ? static_cast<uint8_t>(bits.word(i / 8) >> (i % 8 * 8)) : uint8_t{0};
        const uint32_t here = to.nr_bits - i * 8;
        if (here < 8) b = static_cast<uint8_t>(b & ((1u << here) - 1));
        TRY(p.store(b, i));
    }
    return ok;
}

Result<CpuSet> fetch_bitmap(const xen::XenctlBitmap& from) {
    const auto p = GuestPtr<uint8_t>::of(from.bitmap);
    CpuSet bits;
    for (uint32_t i = 0; i < cpu_words * 8 && i * 8 < from.nr_bits; ++i)
        bits.set_word(i / 8, bits.word(i / 8) | uint64_t{TRY(p.fetch(i))} << (i % 8 * 8));
    return bits & CpuSet::below(from.nr_bits);
}

Status set_right(Domain& d, Rights& set, uint64_t first, uint64_t last, bool allow) {
    const bool others = &d != &current().domain;
    if (others) domain_pause(d);
    const Status s = [&] {
        Guard g(d.lock);
        return allow ? set.add(first, last) : set.remove(first, last);
    }();
    if (others) domain_unpause(d);
    return s;
}

namespace {

struct VcpuSummary {
    uint64_t cpu_time = 0;
    uint32_t online = 0;
    uint32_t highest = xen::XEN_INVALID_MAX_VCPU_ID;
    bool all_blocked = true;
    bool any_running = false;
};

VcpuSummary summarise(Domain& d) {
    VcpuSummary s;
    for (uint32_t i = 0; d.vcpus && i < d.limits.max_vcpus; ++i) {
        Vcpu* v = __atomic_load_n(&d.vcpus[i], __ATOMIC_ACQUIRE);
        if (!v) continue;
        s.highest = i;
        s.cpu_time += static_cast<uint64_t>(sched::runtime(*v).n);
        const uint32_t flags = v->pause_flags.load(std::memory_order_acquire);
        if (flags & vpf_down) continue;
        ++s.online;
        if (!(flags & vpf_blocked)) s.all_blocked = false;
        if (v->running_on.load(std::memory_order_acquire) >= 0) s.any_running = true;
    }
    return s;
}

uint32_t flags_of(Domain& d, const VcpuSummary& s) {
    const bool dead = d.dying.load(std::memory_order_acquire) == DyingState::dead;
    const bool paused = d.controller_pauses.load(std::memory_order_acquire) > 0;
    const uint32_t code = d.shutdown_code.load(std::memory_order_acquire);
    return (dead ? xen::XEN_DOMINF_dying : 0) | (d.shut_down.load(std::memory_order_acquire) ? xen::XEN_DOMINF_shutdown : 0) |
           (paused ? xen::XEN_DOMINF_paused : 0) |
           (d.debugger_attached.load(std::memory_order_relaxed) ? xen::XEN_DOMINF_debugged : 0) |
           (d.create_flags & xen::XEN_DOMCTL_CDF_xs_domain ? xen::XEN_DOMINF_xs_domain : 0) |
           (s.all_blocked ? xen::XEN_DOMINF_blocked : 0) | (s.any_running ? xen::XEN_DOMINF_running : 0) |
           (code == ~0u ? 0 : (code & xen::XEN_DOMINF_shutdownmask) << xen::XEN_DOMINF_shutdownshift);
}

}  // namespace

xen::DomctlGetDomainInfo domain_info(Domain& d) {
    auto info = xen::zeroed<xen::DomctlGetDomainInfo>();
    const VcpuSummary s = summarise(d);
    info.domain = d.id.raw;
    info.flags = flags_of(d, s);
    {
        Guard g(d.page_list_lock);
        info.tot_pages = d.tot_pages;
        info.max_pages = d.max_pages;
    }
    info.outstanding_pages = d.outstanding_claim.load(std::memory_order_relaxed);
    info.shared_info_frame = d.shared ? mfn_of(d.shared).raw : ~uint64_t{0};
    info.cpu_time = s.cpu_time;
    info.nr_online_vcpus = s.online;
    info.max_vcpu_id = s.highest;
    info.ssidref = d.ssidref;
    memcpy(info.handle.bytes, d.handle, sizeof d.handle);
    info.cpupool = d.sched.pool.load(std::memory_order_relaxed)->id;
    info.gpaddr_bits = 52;
    return info;
}

}  // namespace hv
