// SPDX-License-Identifier: Apache-2.0
/// Who may act on whom.
#include "abi/xen/basic.hpp"
#include "hypervisor/hypercall/hypercall.hpp"
#include "hypervisor/hypercall/machine_info.hpp"

namespace hv {

MachineInfo machine_info;

Result<DomainRef> target_domain(Vcpu& caller, uint16_t domid) {
    if (domid == xen::DOMID_SELF || domid == caller.domain.id.raw) return DomainRef::borrow(caller.domain);
    DomainRef d = TRY(find_domain(DomId(domid)));
    if (!caller.domain.privileged) return Err{Errc::perm};
    return d;
}

}  // namespace hv
