// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/guest/kinds.hpp"

#include "abi/xen/domctl.hpp"

namespace hv {

Result<const GuestKind*> guest_kind_for(const xen::DomctlCreateDomain& c) {
    if ((c.flags & xen::XEN_DOMCTL_CDF_hvm) || c.arch.emulation_flags) return Err{Errc::inval};
    return &pv_guest;
}

void guest_write_runstate(Vcpu& v) { of_kind<pv_write_runstate, &GuestKind::write_runstate>(v); }

namespace arch {

Walked walked_read(void* dst, uint64_t gva, size_t n) {
    const Vcpu* v = this_cpu().current;
    return !v || v->idle ? Walked::not_needed : v->domain.kind.read(*v, dst, gva, n);
}

Walked walked_write(uint64_t gva, const void* src, size_t n) {
    const Vcpu* v = this_cpu().current;
    return !v || v->idle ? Walked::not_needed : v->domain.kind.write(*v, gva, src, n);
}

}  // namespace arch
}  // namespace hv
