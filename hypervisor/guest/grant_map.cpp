// SPDX-License-Identifier: Apache-2.0
/// Grants enter and leave a guest's address space: of the frequent kind in one piece with what grant/ does before and after.
#include "hypervisor/grant/map.hpp"

#include "hypervisor/domain/guest_kind.hpp"
#include "hypervisor/guest/kinds.hpp"
#include "hypervisor/guest/pv/grant_map.hpp"

namespace hv {

namespace {

// A lambda is in line where a function's address would be called.
constexpr auto map_pv = [](auto&&... a) __attribute__((always_inline)) { return pv_grants::map(a...); };
constexpr auto unmap_pv = [](auto&&... a) __attribute__((always_inline)) { return pv_grants::unmap(a...); };

[[gnu::noinline]] void map_by_kind(Vcpu& v, xen::GnttabMapGrantRef& op, DomainRef& peer) {
    grant::map_element(v, op, peer, v.domain.kind.map_grant);
}

[[gnu::noinline]] GrantStatus unmap_by_kind(Vcpu& v, uint64_t host_addr, uint64_t dev_bus_addr, uint64_t new_addr,
                                            uint32_t handle, GrantUnmap& u) {
    return grant::unmap_element(v, host_addr, dev_bus_addr, new_addr, handle, u, v.domain.kind.unmap_grant);
}

}  // namespace

void grant_map(Vcpu& v, xen::GnttabMapGrantRef& op, DomainRef& peer) {
    if (&v.domain.kind != &pv_guest) [[unlikely]]
        return map_by_kind(v, op, peer);
    grant::map_element(v, op, peer, map_pv);
}

GrantStatus grant_unmap_begin(Vcpu& v, uint64_t host_addr, uint64_t dev_bus_addr, uint64_t new_addr, uint32_t handle,
                              GrantUnmap& u) {
    if (&v.domain.kind != &pv_guest) [[unlikely]]
        return unmap_by_kind(v, host_addr, dev_bus_addr, new_addr, handle, u);
    return grant::unmap_element(v, host_addr, dev_bus_addr, new_addr, handle, u, unmap_pv);
}

}  // namespace hv
