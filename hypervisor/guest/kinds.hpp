// SPDX-License-Identifier: Apache-2.0
/// The kinds of guests there are. On hot paths, where a call through a table would cost too much, the frequent kind is called
/// directly; this header and kinds.cpp are the only places that know which one that is.
#pragma once

#include "hypervisor/guest/pv/kind.hpp"

namespace xen {
struct DomctlCreateDomain;
}

namespace hv {

extern const GuestKind pv_guest;

/// The kind that the arguments of XEN_DOMCTL_createdomain ask for. Errors: inval for one that there is not.
Result<const GuestKind*> guest_kind_for(const xen::DomctlCreateDomain& c);

/// Whether the guest is entered by the stubs that prepare_exit() returns to: exceptions and system calls come from no other.
inline bool entered_by_stubs(const Domain& d) { return &d.kind == &pv_guest; }

/// The hypercall in `r.rax` of a guest of any kind; defined in hypercall/.
void hypercall_dispatch(Vcpu& v, Regs& r);

/// An operation of v's kind: `frequent` directly, another one's by its table.
template <auto frequent, auto operation, class... Args>
inline auto of_kind(Vcpu& v, Args... args) {
    if (&v.domain.kind == &pv_guest) [[likely]]
        return frequent(v, args...);
    return (v.domain.kind.*operation)(v, args...);
}

inline void guest_switch_out(Vcpu& v) { of_kind<pv_switch_out, &GuestKind::switch_out>(v); }
inline void guest_switch_in(Vcpu& v) { of_kind<pv_switch_in, &GuestKind::switch_in>(v); }

}  // namespace hv
