// SPDX-License-Identifier: Apache-2.0
/// GNTTABOP_copy: bytes between two pages, each named by grant or by frame.
#include "hypervisor/grant/grant.hpp"

namespace hv {

GrantStatus GrantCopyEnd::hold(Vcpu& v, const xen::GnttabCopy::GnttabCopyPtr& p, bool is_ref) {
    const uint64_t id = is_ref ? p.u.ref : p.u.gmfn;
    if (held_ && is_ref_ == is_ref && domid_ == p.domid && id_ == id) return gntst(xen::GNTST_okay);
    release();
    if (is_ref) {
        const uint16_t domid = p.domid == xen::DOMID_SELF ? v.domain.id.raw : p.domid;
        if (!owner_ || owner_->id.raw != domid) owner_ = lookup_domain(DomId(domid));
        if (!owner_ || !owner_->grants) return gntst(xen::GNTST_bad_domain);
        const GrantPin pin = grant_pin(*owner_, v.domain.id, p.u.ref, write_);
        if (pin.status != gntst(xen::GNTST_okay)) return pin.status;
        frame_ = pin.frame;
    } else {
        // Frames of others are named by grant only.
        if (p.domid != xen::DOMID_SELF) return gntst(xen::GNTST_permission_denied);
        auto ref = PageRef::acquire(Mfn(p.u.gmfn), v.domain.id);
        if (!ref) return gntst(xen::GNTST_bad_page);
        PageRef page = std::move(ref).take();
        if (write_ && !get_writable_type(page.page())) return gntst(xen::GNTST_bad_page);
        frame_ = page.mfn();
        page_ = page.release();
    }
    held_ = true;
    is_ref_ = is_ref;
    domid_ = p.domid;
    id_ = id;
    return gntst(xen::GNTST_okay);
}

void GrantCopyEnd::release() {
    if (!held_) return;
    held_ = false;
    if (is_ref_) {
        grant_unpin(*owner_, static_cast<uint32_t>(id_), write_);
        return;
    }
    if (write_) put_writable_type(*page_);
    put_page(*page_);
    page_ = nullptr;
}

GrantStatus grant_copy(Vcpu& v, const xen::GnttabCopy& op, GrantCopyEnd& source, GrantCopyEnd& dest) {
    if (uint32_t{op.source.offset} + op.len > page_size || uint32_t{op.dest.offset} + op.len > page_size)
        return gntst(xen::GNTST_bad_copy_arg);
    if (const GrantStatus s = source.hold(v, op.source, op.flags & xen::GNTCOPY_source_gref); s != gntst(xen::GNTST_okay))
        return s;
    if (const GrantStatus s = dest.hold(v, op.dest, op.flags & xen::GNTCOPY_dest_gref); s != gntst(xen::GNTST_okay))
        return s;
    __builtin_memmove(dest.data() + op.dest.offset, source.data() + op.source.offset, op.len);
    return gntst(xen::GNTST_okay);
}

}  // namespace hv
