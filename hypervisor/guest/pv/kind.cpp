// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/guest/pv/kind.hpp"

#include "abi/xen/domctl.hpp"
#include "hypervisor/cpu_policy/policy.hpp"
#include "hypervisor/guest/kinds.hpp"
#include "hypervisor/guest/pv/hypercall_page.hpp"
#include "hypervisor/guest/pv/mirror.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/guest/pv/types.hpp"
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

// -- contexts: too large for the stack ----------------------------------------------------------------------------------

using Context = Owned<xen::VcpuGuestContext>;

Result<Context> fetch_context(uint64_t from) {
    Context c(TRY(make<xen::VcpuGuestContext>()));
    if (!arch::copy_from_guest(c.get(), from, sizeof *c)) return Err{Errc::fault};
    return c;
}

Result<bool> set_context(Vcpu& v, uint64_t from) {
    const Context c = TRY(fetch_context(from));
    TRY(pv_set_context(v, *c));
    return (c->flags & xen::VGCF_online) != 0;
}

Status initialise(Vcpu& v, uint64_t from) {
    const Context c = TRY(fetch_context(from));
    Guard g(v.domain.lock);
    return v.initialised ? Status(Err{Errc::exist}) : pv_set_context(v, *c);
}

Status get_context(Vcpu& v, uint64_t to) {
    const Context c(TRY(make<xen::VcpuGuestContext>()));
    pv_get_context(v, *c);
    return arch::copy_to_guest(to, c.get(), sizeof *c) ? Status(ok) : Status(Err{Errc::fault});
}

// -- small things -------------------------------------------------------------------------------------------------------

uint64_t frame_type(const PageInfo& p) {
    const uint64_t word = p.type.load(std::memory_order_acquire);
    if (!(word & page::users_mask)) return xen::XEN_DOMCTL_PFINFO_NOTAB;
    static_assert(uint32_t{static_cast<uint8_t>(PageType::l4)} << xen::XEN_DOMCTL_PFINFO_LTAB_SHIFT ==
                  xen::XEN_DOMCTL_PFINFO_L4TAB);
    const uint64_t level = is_table(type_of(word)) && (word & page::validated) ? static_cast<uint64_t>(type_of(word)) : 0;
    const uint64_t type = level << xen::XEN_DOMCTL_PFINFO_LTAB_SHIFT;
    return word & page::pinned ? type | xen::XEN_DOMCTL_PFINFO_LPINTAB : type;
}

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
    .set_context = set_context,
    .initialise = initialise,
    .get_context = get_context,
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
    .log_start = pv_log_start,
    .log_exposed = pv_log_exposed,
    .log_stop = pv_log_stop,
    .log_harvest = pv_log_harvest,
    .log_last = pv_log_last,
    .word_written = pv_word_written,
    .frame_type = frame_type,
    .fill_hypercall_page = fill_hypercall_page,
};

}  // namespace hv
