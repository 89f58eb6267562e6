// SPDX-License-Identifier: Apache-2.0
/// HYPERVISOR_platform_op: what dom0 does for the machine as a whole.
#include "abi/xen/platform.hpp"

#include <cstring>

#include "hypervisor/arch/x86/machine.hpp"
#include "hypervisor/cpu_policy/policy.hpp"
#include "hypervisor/hypercall/control.hpp"
#include "hypervisor/hypercall/efi.hpp"
#include "hypervisor/hypercall/handlers.hpp"
#include "hypervisor/hypercall/row.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/rt/log.hpp"
#include "hypervisor/sched/scheduler.hpp"

namespace hv {

namespace {

struct Call {
    Vcpu& v;
    xen::PlatformOp& op;
    GuestPtr<xen::PlatformOp> arg;
    /// Stores the whole argument back.
    Status done() const { return arg.store(op); }
};

Status set_time(const auto& t) {
    if (t.nsecs >= 1'000'000'000) return Err{Errc::inval};
    clock::set_wallclock(t.secs, t.nsecs, Nanos{static_cast<int64_t>(t.system_time)});
    domains_update_wallclock();
    return ok;
}

Status set_time32(const Call& c) { return set_time(c.op.u.settime32); }
Status set_time64(const Call& c) { return c.op.u.settime64.mbz == 0 ? set_time(c.op.u.settime64) : Status(Err{Errc::inval}); }

/// A BIOS says nothing of disks and screens to us.
Status firmware_info(const Call& c) {
    xen::XenpfFirmwareInfo& f = c.op.u.firmware_info;
    switch (f.type) {
        case xen::XEN_FW_DISK_INFO:
        case xen::XEN_FW_DISK_MBR_SIGNATURE:
        case xen::XEN_FW_VBEDDC_INFO: return Err{Errc::srch};
        case xen::XEN_FW_EFI_INFO: TRY(efi_info(f.index, f.u.efi_info)); return c.done();
        case xen::XEN_FW_KBD_SHIFT_FLAGS:
            if (f.index != 0) return Err{Errc::srch};
            f.u.kbd_shift_flags = 0;
            return c.done();
        default: return Err{Errc::inval};
    }
}

Status efi_runtime(const Call& c) {
    TRY(efi_runtime_call(c.op.u.efi_runtime_call));
    return c.done();
}

Status get_cpuinfo(const Call& c) {
    xen::XenpfPcpuInfo& i = c.op.u.pcpu_info;
    i.max_present = cpu_count - 1;
    if (i.xen_cpuid >= cpu_count) {
        i.flags = xen::XEN_PCPU_FLAGS_INVALID;
        return c.done();
    }
    const Cpu& cpu = cpus[clamp_index(i.xen_cpuid, cpu_count)];
    i.apic_id = cpu.apic_id;
    i.acpi_id = cpu.id;
    i.flags = cpu.online ? xen::XEN_PCPU_FLAGS_ONLINE : 0;
    return c.done();
}

Status get_cpu_version(const Call& c) {
    xen::XenpfPcpuVersion& i = c.op.u.pcpu_version;
    i.max_present = cpu_count - 1;
    if (i.xen_cpuid >= cpu_count) return Err{Errc::noent};
    const xen::CpuidLeaf* vendor = raw_policy.find(0, xen::XEN_CPUID_NO_SUBLEAF);
    const xen::CpuidLeaf* version = raw_policy.find(1, xen::XEN_CPUID_NO_SUBLEAF);
    if (!vendor || !version) return Err{Errc::noent};
    memcpy(i.vendor_id, &vendor->b, 4);
    memcpy(i.vendor_id + 4, &vendor->d, 4);
    memcpy(i.vendor_id + 8, &vendor->c, 4);
    const uint32_t a = version->a;
    i.stepping = a & 15;
    i.model = (a >> 4 & 15) | (a >> 12 & 0xf0);
    i.family = a >> 8 & 15;
    if (i.family == 15) i.family += a >> 20 & 0xff;
    return c.done();
}

Status get_idle_time(const Call& c) {
    xen::XenpfGetIdleTime& g = c.op.u.getidletime;
    const xen::XenctlBitmap map{g.cpumap_bitmap, g.cpumap_nr_cpus, 0};
    const CpuSet wanted = TRY(fetch_bitmap(map)) & online_cpus();
    const auto out = GuestPtr<uint64_t>::of(g.idletime);
    for (const unsigned cpu : wanted)
        TRY(out.store(cpus[cpu].idle ? static_cast<uint64_t>(sched::runtime(*cpus[cpu].idle).n) : 0, cpu));
    TRY(store_bitmap(map, wanted));
    g.now = static_cast<uint64_t>(clock::now().n);
    return c.done();
}

Status enter_sleep(const Call& c) {
    const xen::XenpfEnterAcpiSleep& s = c.op.u.enter_acpi_sleep;
    if (s.flags & ~xen::XENPF_ACPI_SLEEP_EXTENDED) return Err{Errc::inval};
    if (s.sleep_state != 5) return Err{Errc::opnotsupp};  // we do not suspend
    log(LogLevel::info, "Domain 0 asks for ACPI state S5: powering off");
    machine_power_off();
}

/// Power tables are of use to a frequency governor or idle driver; we have neither, which is what ENOSYS tells dom0.
Status set_pminfo(const Call& c) {
    const xen::XenpfSetProcessorPmInfo& p = c.op.u.set_pminfo;
    switch (p.type) {
        case xen::XEN_PM_PDC: return ok;  // no further capability to announce: the buffer stays as it is
        case xen::XEN_PM_CX:
        case xen::XEN_PM_PX:
        case xen::XEN_PM_TX: return Err{Errc::nosys};
        default: return Err{Errc::inval};
    }
}

Status core_parking(const Call& c) {
    xen::XenpfCoreParking& p = c.op.u.core_parking;
    if (p.type != xen::XEN_CORE_PARKING_GET) return Err{p.type == xen::XEN_CORE_PARKING_SET ? Errc::nosys : Errc::inval};
    p.idle_nums = 0;
    return c.done();
}

Status cpu_online(const Call& c) {
    const xen::XenpfCpuOl& o = c.op.u.cpu_ol;
    if (o.cpuid >= cpu_count) return Err{Errc::inval};
    return Err{Errc::exist};  // all that we have are online
}

Status cpu_offline(const Call& c) { return Err{c.op.u.cpu_ol.cpuid < cpu_count ? Errc::busy : Errc::inval}; }

Status quirk(const Call& c) {
    const xen::XenpfPlatformQuirk& q = c.op.u.platform_quirk;
    switch (q.quirk_id) {
        case xen::QUIRK_NOIRQBALANCING:      // we do not balance
        case xen::QUIRK_IOAPIC_GOOD_REGSEL:  // and write REGSEL each time
        case xen::QUIRK_IOAPIC_BAD_REGSEL: return ok;
        default: return Err{Errc::inval};
    }
}

// clang-format off
using OnPlatform = Operations<
    Op<xen::XENPF_settime64,            set_time64>,
    Op<xen::XENPF_settime32,            set_time32>,
    Op<xen::XENPF_firmware_info,        firmware_info>,
    Op<xen::XENPF_get_cpuinfo,          get_cpuinfo>,
    Op<xen::XENPF_get_cpu_version,      get_cpu_version>,
    Op<xen::XENPF_getidletime,          get_idle_time>,
    Op<xen::XENPF_enter_acpi_sleep,     enter_sleep>,
    Op<xen::XENPF_set_processor_pminfo, set_pminfo>,
    Op<xen::XENPF_core_parking,         core_parking>,
    Op<xen::XENPF_cpu_online,           cpu_online>,
    Op<xen::XENPF_cpu_offline,          cpu_offline>,
    Op<xen::XENPF_platform_quirk,       quirk>,
    Op<xen::XENPF_efi_runtime_call,     efi_runtime>,
    Op<xen::XENPF_resource_op,          refused<Errc::opnotsupp>>,
    Op<xen::XENPF_microcode_update,     refused<Errc::opnotsupp>>>;
// clang-format on

}  // namespace

Answer hypercall_platform_op(Vcpu& v, GuestPtr<xen::PlatformOp> arg) {
    xen::PlatformOp op = TRY(arg.fetch());
    if (op.interface_version != xen::XENPF_INTERFACE_VERSION) return Err{Errc::access};
    ControlTurn turn;
    if (!turn) return restart_with(v, arg);
    const Call c{v, op, arg};
    return OnPlatform::run("platform_op", op.cmd, c);
}

}  // namespace hv
