// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/guest/pv/kind.hpp"

#include "abi/xen/domctl.hpp"
#include "hypervisor/cpu_policy/policy.hpp"
#include "hypervisor/guest/kinds.hpp"
#include "hypervisor/guest/pv/hypercall_page.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "lib/base/bits.hpp"

namespace hv {

Status pv_set_callbacks(Vcpu& v, const xen::DomctlExtVcpuContext& e) {
    if (!base::canonical(e.sysenter_callback_eip) || !base::canonical(e.syscall32_callback_eip)) return Err{Errc::inval};
    v.pv->sysenter = {e.sysenter_callback_eip, e.sysenter_disables_events != 0};
    v.pv->syscall32 = {e.syscall32_callback_eip, e.syscall32_disables_events != 0};
    return ok;
}

void pv_get_callbacks(const Vcpu& v, xen::DomctlExtVcpuContext& e) {
    e.sysenter_callback_eip = v.pv->sysenter.address;
    e.sysenter_disables_events = v.pv->sysenter.masks_events;
    e.syscall32_callback_eip = v.pv->syscall32.address;
    e.syscall32_disables_events = v.pv->syscall32.masks_events;
}

namespace {

void inject_nmi(Vcpu& v) { v.pv->nmi_pending = true; }

Status set_io_level(Vcpu& v, uint32_t level) {
    if (level > 3) return Err{Errc::inval};
    v.pv->iopl = static_cast<uint8_t>(level);
    return ok;
}

Status set_io_bitmap(Vcpu& v, uint64_t guest_address, uint32_t ports) {
    constexpr uint32_t all_ports = 65536;
    if (ports > all_ports) return Err{Errc::inval};
    v.pv->io_bitmap = guest_address;
    v.pv->io_bitmap_ports = ports;
    return ok;
}

}  // namespace

constinit const GuestKind pv_guest{
    .max_vcpus = pv_max_vcpus,
    .hypercall_bytes = 2,  // SYSCALL
    .offered = &pv_policy,
    .create = pv_domain_create,
    .destroy = pv_domain_destroy,
    .create_vcpu = pv_vcpu_create,
    .destroy_vcpu = pv_vcpu_destroy,
    .relinquish = pv_relinquish,
    .set_context = pv_set_context,
    .get_context = pv_get_context,
    .set_callbacks = pv_set_callbacks,
    .get_callbacks = pv_get_callbacks,
    .switch_out = pv_switch_out,
    .switch_in = pv_switch_in,
    .run = nullptr,
    .inject_nmi = inject_nmi,
    .set_io_level = set_io_level,
    .set_io_bitmap = set_io_bitmap,
    .write_runstate = pv_write_runstate,
    .map_grant = pv_map_grant,
    .unmap_grant = pv_unmap_grant,
    .report_crash = pv_report_crash,
    .read = pv_read_walked,
    .write = pv_write_walked,
    .fill_hypercall_page = fill_hypercall_page,
};

}  // namespace hv
