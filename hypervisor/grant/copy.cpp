// SPDX-License-Identifier: Apache-2.0
/// GNTTABOP_copy: bytes between two pages, each named by grant or by frame.
#include "hypervisor/grant/pin.hpp"

namespace hv {

using grant::okay;

/// The grant behind one that is passed on. It must not be passed on itself, nor come from who passes it on.
[[gnu::noinline]] GrantStatus GrantCopyEnd::hold_first_grant(const GrantPin& pin) {
    if (pin.domid == owner_->id.raw) return gntst(xen::GNTST_general_error);
    DomainRef first = lookup_domain(DomId(pin.domid));
    if (!first || !first->grants) return gntst(xen::GNTST_general_error);
    const GrantPin page = grant_pin(*first, owner_->id, pin.ref, write_, GrantUse::copy_directly);
    if (page.status != okay) return page.status;
    first_owner_ = std::move(first);
    first_ref_ = pin.ref;
    frame_ = page.frame.raw;
    start_ = page.start;
    end_ = uint32_t{page.start} + page.length;
    return okay;
}

[[gnu::noinline]] GrantStatus GrantCopyEnd::hold_grant(Vcpu& v, uint16_t domid, uint32_t ref) {
    if (domid == xen::DOMID_SELF) domid = v.domain.id.raw;
    if (!owner_ || owner_->id.raw != domid) owner_ = lookup_domain(DomId(domid));
    if (!owner_ || !owner_->grants) return gntst(xen::GNTST_bad_domain);
    const GrantPin pin = grant::pin(*owner_, {v.domain.id, write_, GrantUse::copy}, ref);
    if (pin.status != okay) return pin.status;
    frame_ = pin.frame.raw;
    start_ = pin.start;
    end_ = uint32_t{pin.start} + pin.length;
    if (!pin.passed_on) [[likely]]
        return okay;
    const GrantStatus s = hold_first_grant(pin);
    if (s != okay) grant_unpin(*owner_, ref, write_);
    return s;
}

/// Frames of others are named by grant only.
[[gnu::always_inline]] inline GrantStatus GrantCopyEnd::hold_frame(Vcpu& v, uint16_t domid, Gfn gfn) {
    if (domid != xen::DOMID_SELF) return gntst(xen::GNTST_permission_denied);
    auto page = guest_page(v.domain, gfn);
    if (!page) return gntst(xen::GNTST_bad_page);
    if (write_ && !get_writable_type(page.value().page())) return gntst(xen::GNTST_bad_page);
    frame_ = machine_frame(v.domain, gfn).raw;
    page_ = std::move(page).take().release();
    start_ = 0;
    end_ = page_size;
    return okay;
}

[[gnu::always_inline]] inline GrantStatus GrantCopyEnd::hold_in_line(Vcpu& v, const xen::GnttabCopy::GnttabCopyPtr& p,
                                                                     bool is_ref) {
    const uint64_t id = is_ref ? p.u.ref : p.u.gmfn;
    if (held_ && is_ref_ == is_ref && domid_ == p.domid && id_ == id) return okay;
    release();
    const GrantStatus s = is_ref ? hold_grant(v, p.domid, p.u.ref) : hold_frame(v, p.domid, Gfn(p.u.gmfn));
    if (s != okay) return s;
    held_ = true;
    is_ref_ = is_ref;
    domid_ = p.domid;
    id_ = id;
    return okay;
}

GrantStatus GrantCopyEnd::hold(Vcpu& v, const xen::GnttabCopy::GnttabCopyPtr& p, bool is_ref) {
    return hold_in_line(v, p, is_ref);
}

[[gnu::noinline]] void GrantCopyEnd::let_go_of_first() {
    grant_unpin(*first_owner_, first_ref_, write_);
    first_owner_ = DomainRef();
}

void GrantCopyEnd::let_go_of_grant() {
    if (first_owner_) [[unlikely]]
        let_go_of_first();
    grant::unpin(*owner_, static_cast<uint32_t>(id_), write_);
}

void GrantCopyEnd::let_go() {
    held_ = false;
    if (is_ref_) return let_go_of_grant();
    if (write_) put_writable_type(*page_);
    put_page(*page_);
}

GrantStatus grant_copy(Vcpu& v, const xen::GnttabCopy& op, GrantCopyEnd& source, GrantCopyEnd& dest) {
    if (const GrantStatus s = source.hold_in_line(v, op.source, op.flags & xen::GNTCOPY_source_gref); s != gntst(xen::GNTST_okay))
        return s;
    if (const GrantStatus s = dest.hold_in_line(v, op.dest, op.flags & xen::GNTCOPY_dest_gref); s != gntst(xen::GNTST_okay))
        return s;
    if (uint32_t{op.source.offset} + op.len > page_size || uint32_t{op.dest.offset} + op.len > page_size)
        return gntst(xen::GNTST_bad_copy_arg);
    if (!source.covers(op.source.offset, op.len) || !dest.covers(op.dest.offset, op.len)) return gntst(xen::GNTST_general_error);
    __builtin_memmove(dest.data() + op.dest.offset, source.data() + op.source.offset, op.len);
    dirtied(dest.data());
    return gntst(xen::GNTST_okay);
}

}  // namespace hv
