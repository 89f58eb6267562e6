// SPDX-License-Identifier: Apache-2.0
/// Grants enter and leave a guest's address space: of the frequent kind in one piece with what grant/ does before and after.
#include "hypervisor/grant/usual.hpp"

#include "hypervisor/domain/guest_kind.hpp"
#include "hypervisor/guest/kinds.hpp"
#include "hypervisor/guest/pv/grant_map.hpp"

namespace hv {

namespace {

// A lambda is in line where a function's address would be called.
constexpr auto map_pv = [](auto&&... a) __attribute__((always_inline)) { return pv_grants::map(a...); };
constexpr auto unmap_pv = [](auto&&... a) __attribute__((always_inline)) { return pv_grants::unmap(a...); };

template <class Map>
void map_one(Vcpu& v, xen::GnttabMapGrantRef& op, DomainRef& peer, Map map) {
    grant::map_element(v, op, peer, map);
}
[[gnu::noinline]] void map_rarely(Vcpu& v, xen::GnttabMapGrantRef& op, DomainRef& peer) {
    if (&v.domain.kind == &pv_guest) map_one(v, op, peer, map_pv);
    else map_one(v, op, peer, v.domain.kind.map_grant);
}
[[gnu::noinline]] GrantStatus unmap_rarely(Vcpu& v, uint64_t host_addr, uint64_t dev_bus_addr, uint64_t new_addr, uint32_t handle,
                                           GrantUnmap& u) {
    if (&v.domain.kind == &pv_guest) return grant::unmap_element(v, host_addr, dev_bus_addr, new_addr, handle, u, unmap_pv);
    return grant::unmap_element(v, host_addr, dev_bus_addr, new_addr, handle, u, v.domain.kind.unmap_grant);
}

/// An element that was looked at: of this owner, and with usual flags.
template <bool write>
[[gnu::always_inline]] inline bool map_usual(Vcpu& v, xen::GnttabMapGrantRef& op, Domain& owner, pv_grants::Slots& slots)
    REQUIRES(v.domain.pv->lock) {
    uint64_t* const slot = slots.find(op.host_addr);
    Mfn m(0);
    if (!slot || !grant::map_usual<write>(*v.domain.grants, v.domain.id, owner, op, m)) [[unlikely]]
        return false;
    pv_grants::put_in(slot, m, write ? Access::read_write : Access::read_only);
    return true;
}

/// Maps the elements at the head of a list that are usual and of one owner. How many there were. The last one takes over the
/// caller's reference of the owner if it is the list's last one.
[[gnu::always_inline]] inline uint32_t map_usual_of(Vcpu& v, xen::GnttabMapGrantRef* ops, uint32_t n, DomainRef& owner) {
    Guard g(v.domain.pv->lock);
    pv_grants::Slots slots(v.pv->kernel_root);
    Domain& d = *owner;
    uint32_t i = 0;
    for (; i < n; ++i) {
        xen::GnttabMapGrantRef& op = ops[i];
        if (op.dom != d.id.raw) break;
        if (i + 1 < n) domain::ref(d);
        bool mapped = false;
        if (op.flags == xen::GNTMAP_host_map) [[likely]]
            mapped = map_usual<true>(v, op, d, slots);
        else if (op.flags == (xen::GNTMAP_host_map | xen::GNTMAP_readonly)) mapped = map_usual<false>(v, op, d, slots);
        if (!mapped) [[unlikely]] {
            if (i + 1 < n) domain::unref(d);
            return i;
        }
    }
    if (i == n) owner.release();
    return i;
}

[[gnu::always_inline]] inline void map_elements(Vcpu& v, xen::GnttabMapGrantRef* ops, uint32_t n) {
    DomainRef owner;
    for (uint32_t i = 0; i < n;) {
        if (!owner || owner->id.raw != ops[i].dom) owner = lookup_domain(DomId(ops[i].dom));
        uint32_t done = 0;
        if (&v.domain.kind == &pv_guest && owner && owner->grants &&
            owner->dying.load(std::memory_order_acquire) == DyingState::alive) [[likely]]
            done = map_usual_of(v, ops + i, n - i, owner);
        i += done;
        if (done == 0) map_rarely(v, ops[i++], owner);
    }
}
[[gnu::noinline]] void map_list(Vcpu& v, xen::GnttabMapGrantRef* ops, uint32_t n) { map_elements(v, ops, n); }

/// Takes the mappings at the head of a list that are usual out of the page tables. How many there were.
[[gnu::always_inline]] inline uint32_t unmap_usual(Vcpu& v, xen::GnttabUnmapGrantRef* ops, uint32_t n, GrantUnmap* pending) {
    GrantTable& t = *v.domain.grants;
    Guard g(v.domain.pv->lock);
    Guard of_handles(t.map_lock);
    pv_grants::Slots slots(v.pv->kernel_root);
    uint32_t i = 0;
    for (; i < n; ++i) {
        xen::GnttabUnmapGrantRef& op = ops[i];
        if (op.dev_bus_addr != 0) break;
        Maptrack* const m = grant::usual_mapping(t, op.handle);
        uint64_t* const slot = op.host_addr ? slots.find(op.host_addr) : nullptr;
        if (!m || !slot) [[unlikely]]
            break;
        const bool write = !(m->flags & xen::GNTMAP_readonly);
        const Mfn frame = grant::frame_in_use(*m->owner, m->ref_or_next);
        if (!pv_grants::take_out(slot, frame, write ? Access::read_write : Access::read_only)) [[unlikely]]
            break;
        m->flags |= grant::being_unmapped;
        pending[i] = {m->owner, m->ref_or_next, op.handle, xen::GNTMAP_host_map, write, true};
        op.status = grant::okay;
    }
    return i;
}

[[gnu::always_inline]] inline uint32_t begin_elements(Vcpu& v, xen::GnttabUnmapGrantRef* ops, uint32_t n, GrantUnmap* pending) {
    uint32_t held = 0;
    for (uint32_t i = 0; i < n;) {
        const uint32_t done = &v.domain.kind == &pv_guest ? unmap_usual(v, ops + i, n - i, pending + held) : 0;
        i += done;
        held += done;
        if (i == n) break;
        xen::GnttabUnmapGrantRef& op = ops[i++];
        op.status = unmap_rarely(v, op.host_addr, op.dev_bus_addr, 0, op.handle, pending[held]);
        if (pending[held].done) ++held;
    }
    return held;
}
[[gnu::noinline]] uint32_t begin_list(Vcpu& v, xen::GnttabUnmapGrantRef* ops, uint32_t n, GrantUnmap* pending) {
    return begin_elements(v, ops, n, pending);
}

}  // namespace

// Most lists have one element: without loops then.
void grant_map(Vcpu& v, xen::GnttabMapGrantRef* ops, uint32_t n) {
    if (n != 1) return map_list(v, ops, n);
    map_elements(v, ops, 1);
}

GrantStatus grant_unmap_begin(Vcpu& v, uint64_t host_addr, uint64_t dev_bus_addr, uint64_t new_addr, uint32_t handle,
                              GrantUnmap& u) {
    return unmap_rarely(v, host_addr, dev_bus_addr, new_addr, handle, u);
}

uint32_t grant_unmap_begin(Vcpu& v, xen::GnttabUnmapGrantRef* ops, uint32_t n, GrantUnmap* pending) {
    if (n != 1) return begin_list(v, ops, n, pending);
    return begin_elements(v, ops, 1, pending);
}

}  // namespace hv
