// SPDX-License-Identifier: Apache-2.0
/// All domains: by id, in order, and their references.
///
/// A domain is found while it has references. With the last one it drops out of sight at once; its structures are freed
/// a moment later, from a timer callback or the next control call, because the last reference may go anywhere: under
/// page-table locks, on any CPU.
#include "abi/xen/basic.hpp"
#include "hypervisor/domain/internal.hpp"
#include "hypervisor/rt/log.hpp"
#include "hypervisor/rt/panic.hpp"
#include "hypervisor/time/timer.hpp"

namespace hv {

Domain* dom0;
Domain* idle_domain;
Domain* dom_xen;
Domain* dom_io;

namespace {

struct Table {
    Spinlock lock{Rank::domain_list};
    Domain* first GUARDED_BY(lock) = nullptr;  ///< ordered by id
    std::atomic<Domain*> slots[xen::DOMID_FIRST_RESERVED] = {};
    uint16_t last_given GUARDED_BY(lock) = 0;
    std::atomic<Domain*> dead{nullptr};  ///< a stack through Domain::next_dead
};
Table table;

void reap_timer_expired(void*) { domains_reap(); }
Timer reap_timer{reap_timer_expired, nullptr};

bool try_ref(Domain& d) {
    uint32_t n = d.references.load(std::memory_order_relaxed);
    do {
        if (n == 0) return false;
    } while (!d.references.compare_exchange_weak(n, n + 1, std::memory_order_acq_rel));
    return true;
}

}  // namespace

namespace domain {

void ref(Domain& d) {
    const uint32_t before = d.references.fetch_add(1, std::memory_order_relaxed);
    HV_ASSERT(before != 0 && before != ~0u);
}

void unref_last(Domain& d, uint32_t before) {
    HV_ASSERT(before != 0);
    Domain* head = table.dead.load(std::memory_order_relaxed);
    do { d.next_dead = head; } while (!table.dead.compare_exchange_weak(head, &d, std::memory_order_acq_rel));
    timer::set(reap_timer, Nanos{0}, this_cpu().id);
}

Status publish(Domain& d) {
    Guard g(table.lock);
    if (table.slots[d.id.raw].load(std::memory_order_relaxed)) return Err{Errc::exist};
    Domain** at = &table.first;
    while (*at && (*at)->id < d.id) at = &(*at)->next;
    d.next = *at;
    *at = &d;
    table.slots[d.id.raw].store(&d, std::memory_order_release);
    return ok;
}

void unpublish(Domain& d) {
    Guard g(table.lock);
    table.slots[d.id.raw].store(nullptr, std::memory_order_release);
    Domain** at = &table.first;
    while (*at && *at != &d) at = &(*at)->next;
    if (*at) *at = d.next;
}

}  // namespace domain

void domains_reap() {
    Domain* d = table.dead.exchange(nullptr, std::memory_order_acq_rel);
    while (d) {
        Domain* following = d->next_dead;
        domain::free_domain(*d);
        d = following;
    }
}

Domain* page_owner(uint16_t id) {
    if (id < xen::DOMID_FIRST_RESERVED) return table.slots[id].load(std::memory_order_acquire);
    if (id == xen::DOMID_XEN) return dom_xen;
    if (id == xen::DOMID_IO) return dom_io;
    return nullptr;
}

void show_vcpu(const Vcpu& v) {
    if (v.idle) log(LogLevel::error, "CPU%u was idle", this_cpu().id);
    else log(LogLevel::error, "CPU%u was running d%uv%u", this_cpu().id, unsigned{v.domain.id.raw}, unsigned{v.id.raw});
}

GuestLogSource guest_log_source() {
    static constinit base::RateLimit nobody{10, base::Nanos::ms(500)};
    const Vcpu* v = this_cpu().current;
    if (!v) return {nobody, xen::DOMID_IDLE};
    return {v->domain.log_state.limit, v->domain.id.raw};
}

Domain* domain::get(DomId id) {
    if (id.raw >= xen::DOMID_FIRST_RESERVED) return nullptr;
    Guard g(table.lock);
    Domain* d = table.slots[id.raw].load(std::memory_order_relaxed);
    return d && try_ref(*d) ? d : nullptr;
}

Result<DomainRef> find_domain(DomId id) {
    if (id.raw == xen::DOMID_SELF) return DomainRef::borrow(current().domain);
    DomainRef d = lookup_domain(id);
    if (!d) return Err{Errc::srch};
    return d;
}

DomainRef next_domain(DomId from) {
    Guard g(table.lock);
    // Who walks over all domains comes from the one just below: no search then.
    Domain* below = from.raw > 0 && from.raw <= xen::DOMID_FIRST_RESERVED
                        ? table.slots[from.raw - 1].load(std::memory_order_relaxed)
                        : nullptr;
    for (Domain* d = below ? below->next : table.first; d; d = d->next)
        if (d->id >= from && try_ref(*d)) return DomainRef::adopt(d);
    return {};
}

Result<DomId> domain_unused_id() {
    constexpr uint16_t end = xen::DOMID_FIRST_RESERVED;
    Guard g(table.lock);
    uint16_t id = table.last_given;
    for (unsigned n = 1; n < end; ++n) {
        id = static_cast<uint16_t>(id + 1 < end ? id + 1 : 1);
        if (table.slots[id].load(std::memory_order_relaxed)) continue;
        table.last_given = id;
        return DomId(id);
    }
    return Err{Errc::nomem};
}

}  // namespace hv
