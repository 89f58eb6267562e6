// SPDX-License-Identifier: Apache-2.0
/// Debug keys (`xm debug-keys`): each writes something about the hypervisor's state to its log.
#include "hypervisor/arch/x86/machine.hpp"
#include "hypervisor/event/event.hpp"
#include "hypervisor/grant/grant.hpp"
#include "hypervisor/hypercall/sysctl/sysctl.hpp"
#include "hypervisor/hypercall/trace_control.hpp"
#include "hypervisor/irq/pci_device.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/rt/log.hpp"
#include "hypervisor/sync/lock_profile.hpp"
#include "hypervisor/trace/counters.hpp"

namespace hv::sysctl {

namespace {

template <class F>
void each_domain(F f) {
    for (DomainRef d = next_domain(DomId(0)); d; d = next_domain(DomId::from_reg(d->id.raw + 1u))) f(*d);
}

void show_help();

void show_domain(Domain& d) {
    const xen::DomctlGetDomainInfo i = domain_info(d);
    log(LogLevel::info, "d%u: flags %x refs %u pages %lu of %lu, claim %lu, event ports %u", unsigned{d.id.raw}, i.flags,
        d.references.load(), i.tot_pages, i.max_pages, i.outstanding_pages, d.events ? events_in_use(d) : 0);
    for (uint32_t n = 0; n < d.limits.max_vcpus; ++n) {
        const Vcpu* v = d.vcpus[n];
        if (!v) continue;
        const xen::VcpuInfo& info = *v->info.load();
        log(LogLevel::info, "  v%u: on cpu %d, pause flags %x count %u, upcall pending %u mask %u, rip %lx", n,
            v->running_on.load(), v->pause_flags.load(), v->pause_count.load(), unsigned{info.evtchn_upcall_pending},
            unsigned{info.evtchn_upcall_mask}, v->regs.rip);
    }
}

void show_domains() { each_domain(show_domain); }

void show_memory() {
    log(LogLevel::info, "Memory: %lu of %lu pages free, %lu claimed, %lu bytes of small objects", heap::free_pages().n,
        heap::total_pages().n, claimed_pages().n, heap::bytes_in_use());
}

void show_grants() {
    each_domain([](Domain& d) {
        for (uint32_t frame = 0; d.grants && grant_dump(d, frame); ++frame) {}
    });
}

void show_cpus() {
    for (unsigned c = 0; c < cpu_count; ++c) {
        const Vcpu* v = cpus[c].current;
        if (v) log(LogLevel::info, "cpu%u: d%uv%u", c, unsigned{v->domain.id.raw}, v->id.raw);
    }
}

void show_time() { log(LogLevel::info, "System time %ld ns, TSC %lu kHz", static_cast<long>(clock::now().n), clock::tsc_khz); }

void show_counters() {
    if (!counters::counting()) log(LogLevel::info, "Nothing is counted: key 'P' begins, and so does xenperf -r");
    for (uint32_t i = 0; i < counters::counter_count; ++i)
        log(LogLevel::info, "%s: %u", counters::description(i).name, counters::total(i));
}
void count() {
    if (!counters_begin()) log(LogLevel::warning, "No memory for performance counters");
}

void show_locks() {
    for (uint32_t i = 0; i < lock_profile::class_count; ++i) {
        const lock_profile::Figures f = lock_profile::figures(i);
        log(LogLevel::info, "lock %s: waited for %lu times, %lu ns; taken %lu times, for %lu ns", f.name, f.waits, f.waited_ns,
            f.taken, f.held_ns);
    }
}
void reset_locks() { lock_profile::reset(clock::now()); }

void reboot() {
    log(LogLevel::warning, "'R' pressed: rebooting the machine");
    machine_restart();
}

struct Key {
    char key;
    const char* what;
    void (*run)();
};
constexpr Key keys[] = {
    {'h', "show this help", show_help},
    {'q', "show domains and vCPUs", show_domains},
    {'m', "show memory", show_memory},
    {'g', "show grant tables", show_grants},
    {'r', "show what the CPUs run", show_cpus},
    {'t', "show time", show_time},
    {'Q', "show PCI devices", pci_devices_show},
    {'R', "reboot the machine", reboot},
    {'p', "show performance counters", show_counters},
    {'P', "count performance counters from 0", count},
    {'k', "count no performance counters any more", counters_end},
    {'l', "show how locks were waited for", show_locks},
    {'L', "forget how locks were waited for", reset_locks},
};

void show_help() {
    for (const Key& k : keys) log(LogLevel::info, "key '%c': %s", k.key, k.what);
}

void press(char c) {
    for (const Key& k : keys)
        if (k.key == c) return k.run();
    log(LogLevel::info, "key '%c' has no meaning; 'h' shows those that have", c);
}

}  // namespace

Answer debug_keys(const Call& c) {
    const xen::SysctlDebugKeys& k = c.op.u.debug_keys;
    constexpr uint32_t most_keys = 256;
    if (k.nr_keys > most_keys) return Err{Errc::inval};
    return preemptible(
        c.progress, k.nr_keys,
        [&](uint64_t i) -> Status {
            press(TRY(GuestPtr<char>(k.keys.addr).fetch(i)));
            return ok;
        },
        [&](uint64_t i) -> Result<uint64_t> { return c.again(static_cast<uint32_t>(i)); });
}

}  // namespace hv::sysctl
