// SPDX-License-Identifier: Apache-2.0
/// A domain's memory limit, its frames' types, and its hypercall page.
#include "hypervisor/domain/guest_kind.hpp"
#include "hypervisor/hypercall/domctl/domctl.hpp"
#include "hypervisor/mm/dirty.hpp"

namespace hv::domctl {

Status max_mem(const Call& c) {
    // May be less than the domain has: it then gets nothing new until it has given enough back.
    Guard g(c.d.page_list_lock);
    c.d.max_pages = c.op.u.max_mem.max_memkb >> 2;
    return ok;
}

Status getpageframeinfo3(const Call& c) {
    const xen::DomctlGetPageFrameInfo3& p = c.op.u.getpageframeinfo3;
    constexpr uint64_t most = 1024;
    if (p.num > most) return Err{Errc::toobig};
    const auto array = GuestPtr<uint64_t>::of(p.array);
    for (uint64_t i = 0; i < p.num; ++i) {
        const Gfn frame(TRY(array.fetch(i)));
        const auto page = guest_page(c.d, frame);
        TRY(array.store(page ? c.d.kind.frame_type(page.value().page()) : uint64_t{xen::XEN_DOMCTL_PFINFO_XTAB}, i));
    }
    return ok;
}

Answer hypercall_init(const Call& c) {
    // Writing as the guest would: a page table or descriptor table is not for that.
    const auto page = guest_page_to_write(c.d, Gfn(c.op.u.hypercall_init.gmfn));
    if (!page) return Err{Errc::access};
    c.d.kind.fill_hypercall_page(page.value().data());
    dirtied(page.value().mfn());
    return 0;
}

}  // namespace hv::domctl
