// SPDX-License-Identifier: Apache-2.0
/// Who may act on whom.
#include "abi/xen/basic.hpp"
#include "hypervisor/hypercall/machine_info.hpp"
#include "hypervisor/hypercall/row.hpp"

namespace hv {

MachineInfo machine_info;

Result<DomainRef> named_target(Vcpu& caller, uint16_t domid) {
    if (domid == xen::DOMID_SELF || domid == caller.domain.id.raw) return DomainRef::borrow(caller.domain);
    DomainRef d = TRY(find_domain(DomId(domid)));
    if (!authorised(caller.domain, Who::control)) return Err{Errc::perm};
    return d;
}

}  // namespace hv
