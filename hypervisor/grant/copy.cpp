// SPDX-License-Identifier: Apache-2.0
/// GNTTABOP_copy: bytes between two pages, each named by grant or by frame.
#include "hypervisor/grant/usual.hpp"

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

namespace {

/// A page of the caller's own, by frame, while bytes are copied.
template <bool write>
[[gnu::always_inline]] inline bool get_own(const Domain& d, uint64_t gfn, uint64_t& frame) {
    frame = machine_frame(d, Gfn(gfn)).raw;
    return grant::get_first<write, grant::Entry::none>(d, gfn);
}
template <bool write>
[[gnu::always_inline]] inline void put_own(uint64_t frame) {
    PageInfo& p = page_of(Mfn(frame));
    if (write) put_writable_type(p);
    put_page(p);
}

/// Between a grant of another domain's, to which `to_grant` copies, and a page of the caller's own. False: nothing was done.
template <bool to_grant>
[[gnu::always_inline]] inline bool copy_usual(Vcpu& v, const xen::GnttabCopy& op) {
    const auto& granted = to_grant ? op.dest : op.source;
    const auto& own = to_grant ? op.source : op.dest;
    if (own.domid != xen::DOMID_SELF) return false;
    if (uint32_t{op.source.offset} + op.len > page_size || uint32_t{op.dest.offset} + op.len > page_size) return false;
    const DomainRef owner = lookup_domain(DomId(granted.domid));
    if (!owner || !owner->grants) return false;
    uint64_t granted_frame = 0;
    uint64_t own_frame = 0;
    if (!get_own<!to_grant>(v.domain, own.u.gmfn, own_frame)) return false;
    const bool begun = grant::begin_usual<to_grant, grant::Entry::none>(*owner, granted.u.ref, v.domain.id, granted_frame);
    if (begun) [[likely]] {
        uint8_t* const to = map_mfn(Mfn(to_grant ? granted_frame : own_frame));
        __builtin_memmove(to + op.dest.offset, map_mfn(Mfn(to_grant ? own_frame : granted_frame)) + op.source.offset, op.len);
        dirtied(to);
        grant::unpin(*owner, granted.u.ref, to_grant);
    }
    put_own<!to_grant>(own_frame);
    return begun;
}

}  // namespace

bool grant_copy_usual(Vcpu& v, const xen::GnttabCopy& op) {
    if (op.flags == xen::GNTCOPY_source_gref) return copy_usual<false>(v, op);
    return op.flags == xen::GNTCOPY_dest_gref && copy_usual<true>(v, op);
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
