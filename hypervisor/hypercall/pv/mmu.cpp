// SPDX-License-Identifier: Apache-2.0
/// mmu_update, update_va_mapping: page-table entries changed by hypercall.
#include "hypervisor/hypercall/pv/mmu.hpp"
#include "abi/xen/basic.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/guest/pv/pt_update.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/hypercall/handlers.hpp"
#include "hypervisor/hypercall/pv/mmu_refusal.hpp"
#include "hypervisor/hypercall/row.hpp"
#include "hypervisor/mm/dirty.hpp"

namespace hv {

Result<MmuTarget> foreign_target(Vcpu& v, uint32_t foreign) {
    const auto page_id = static_cast<uint16_t>(foreign);
    const auto table_id = static_cast<uint16_t>(foreign >> 16);
    MmuTarget t;
    t.tables = TRY(table_id == 0 ? find_domain(DomId(xen::DOMID_SELF)) : find_domain(DomId(static_cast<uint16_t>(table_id - 1))));
    // Device frames need no owner: the caller's rights decide.
    if (page_id == xen::DOMID_IO) t.pages = DomainRef::borrow(v.domain);
    else if (page_id == xen::DOMID_XEN) t.pages = DomainRef::borrow(*dom_xen);
    else t.pages = TRY(find_domain(DomId(page_id)));
    const bool foreign_domain = &*t.tables != &v.domain || (&*t.pages != &v.domain && page_id != xen::DOMID_IO);
    if (foreign_domain && !authorised(v.domain, Who::control)) return Err{Errc::perm};
    if (!t.tables->pv) return Err{Errc::inval};
    return t;
}

void flush_local(const MmuFlush& f) {
    if (f.page) arch::flush_tlb_page_local(f.address);
    else arch::flush_tlb_local();
}

void flush_cpus(CpuSet which, const MmuFlush& f) {
    // One page: this CPU takes INVLPG, others a full flush by request.
    const unsigned self = this_cpu().id;
    if (f.page && which.has(self)) {
        arch::flush_tlb_page_local(f.address);
        which.remove(self);
    }
    if (!which.empty()) arch::flush_tlb(which);
}

Result<VcpuSet> fetch_vcpu_set(const Domain& d, uint64_t bitmap_address) {
    const auto bytes = GuestPtr<uint8_t>::from_reg(bitmap_address);
    VcpuSet set;
    for (uint32_t i = 0; i < (d.limits.max_vcpus + 7) / 8; ++i) set.bits[i / 8] |= uint64_t{TRY(bytes.fetch(i))} << (i % 8 * 8);
    return set;
}

CpuSet cpus_of(Domain& d, const VcpuSet& vcpus) {
    // For its order: a CPU says whom it runs before it loads that one's tables.
    (void)d.dirty_cpus.load_behind_writes();
    CpuSet which;
    for (uint32_t i = 0; i < d.limits.max_vcpus; ++i) {
        if (!((vcpus.bits[i / 64] >> (i % 64)) & 1)) continue;
        const Vcpu* target = d.vcpus[i];
        const int32_t on = target ? target->running_on.load(std::memory_order_acquire) : -1;
        if (on >= 0) which.add(static_cast<unsigned>(on));
    }
    return which;
}

CpuSet cpus_of(Domain& d) { return d.dirty_cpus.load_behind_writes(); }

namespace {

constexpr uint32_t preempted = 1u << 31;  ///< in the count argument of a call that goes on

KeepAccessed keep_of(uint64_t command) {
    return command == xen::MMU_PT_UPDATE_PRESERVE_AD ? KeepAccessed::yes : KeepAccessed::no;
}

/// The guest writes to one of its own pages that is no table now.
[[gnu::noinline]] Status write_plain(PageInfo& p, uint64_t* slot, uint64_t value) {
    get_page_again(p);
    const WritableRef as_memory = TRY(WritableRef::of(PageRef::adopt(p)));
    __atomic_store_n(slot, value, __ATOMIC_RELEASE);
    dirtied(slot);
    return ok;
}

/// `table` is the one of the update before, which is nearly always this one's too.
template <Logs logs>
[[gnu::always_inline]] inline Status update_entry(Vcpu& v, Domain& owner, Domain& pages, PageRef& table, uint64_t ptr,
                                                  uint64_t value, uint64_t command) REQUIRES(owner.pv->lock) {
    const Mfn m = Mfn::of_address(ptr);
    if (!table || &table.page() != &page_of(m)) table = TRY(PageRef::acquire(m, owner.id));
    PageInfo& p = table.page();
    uint64_t* slot = map_mfn<uint64_t>(m) + (ptr & (page_size - 1)) / 8;
    const uint64_t x = p.type.load(std::memory_order_acquire);
    constexpr uint64_t l1_in_use = static_cast<uint64_t>(PageType::l1) << page::type_shift | page::validated;
    if ((x & (page::type_mask | page::validated)) == l1_in_use && (x & page::users_mask)) [[likely]]
        return update_l1<logs>(owner, pages, slot, value, keep_of(command));
    if (!(x & page::users_mask) || !is_table(type_of(x))) return write_plain(p, slot, value);
    if (!(x & page::validated)) return Err{Errc::busy};
    if (&pages != &owner) return Err{Errc::inval};
    return update_table(v, owner, slot, value, static_cast<unsigned>(type_of(x)), keep_of(command));
}

[[gnu::noinline]] Status update_m2p(const Domain& pages, uint64_t ptr, uint64_t pfn) {
    const PageRef ref = TRY(PageRef::acquire(Mfn::of_address(ptr), pages.id));
    dirtied(ref.mfn());  // under its old number
    set_m2p(ref.mfn(), pfn);
    dirtied(ref.mfn());  // and under the new one
    return ok;
}

/// PV entries hold machine frames already: MMU_PT_UPDATE_NO_TRANSLATE means the same as the normal update.
template <Logs logs>
[[gnu::always_inline]] inline Status one_update(Vcpu& v, Domain& owner, Domain& pages, PageRef& table, const xen::MmuUpdate& u)
    REQUIRES(owner.pv->lock) {
    const uint64_t command = u.ptr & 7;
    switch (command) {
        case xen::MMU_NORMAL_PT_UPDATE:
        case xen::MMU_PT_UPDATE_PRESERVE_AD:
        case xen::MMU_PT_UPDATE_NO_TRANSLATE:
            return update_entry<logs>(v, owner, pages, table, u.ptr & ~uint64_t{7}, u.val, command);
        case xen::MMU_MACHPHYS_UPDATE: return update_m2p(pages, u.ptr & ~uint64_t{7}, u.val);
        default: return Err{Errc::nosys};
    }
}

/// Updates that are fetched together, and done under one lock: a list is read ahead by so many.
constexpr unsigned together = 16;

// The lock is that of the tables' owner, by another name than the analysis knows.

template <Logs logs>
[[gnu::always_inline]] inline Status do_locked(Vcpu& v, MmuTarget& t, const xen::MmuUpdate (&list)[together],
                                               uint32_t& n) NO_THREAD_SAFETY_ANALYSIS {
    Domain& owner = *t.tables;
    Domain& pages = *t.pages;
    PageRef table;
    for (uint32_t i = 0; i < n; ++i) {
        const Status s = one_update<logs>(v, owner, pages, table, list[i]);
        if (s && !v.pv->pending_put) [[likely]]
            continue;
        n = s ? i + 1 : i;
        return s;
    }
    return ok;
}
[[gnu::noinline]] Status do_logged(Vcpu& v, MmuTarget& t, const xen::MmuUpdate (&list)[together],
                                   uint32_t& n) NO_THREAD_SAFETY_ANALYSIS {
    return do_locked<Logs::unknown>(v, t, list, n);
}

/// Does updates until one is refused or leaves a release to finish. `n`: how many there are; then, how many are done.
Status do_updates(Vcpu& v, MmuTarget& t, const xen::MmuUpdate (&list)[together], uint32_t& n) NO_THREAD_SAFETY_ANALYSIS {
    Guard g(t.tables->pv->lock);
    if (any_dirty_log()) [[unlikely]]
        return do_logged(v, t, list, n);
    return do_locked<Logs::none>(v, t, list, n);
}

/// One update that was not done.
[[gnu::noinline]] Answer one_refused(Vcpu& v, GuestPtr<xen::MmuUpdate> list, const xen::MmuUpdate& u, GuestPtr<uint32_t> done,
                                     Errc why) {
    if (why != Errc::restart) log_refused_update(v, {DomainRef::borrow(v.domain), DomainRef::borrow(v.domain)}, u, why);
    if (!done.null()) TRY(done.store(0));
    if (why == Errc::restart) return restart_with(v, list, 1 | preempted, done, uint32_t{xen::DOMID_SELF});
    return Err{why};
}

template <Logs logs>
[[gnu::always_inline]] inline Status do_one_of_own(Vcpu& v, const xen::MmuUpdate& u) REQUIRES(v.domain.pv->lock) {
    PageRef table;
    return one_update<logs>(v, v.domain, v.domain, table, u);
}
[[gnu::noinline]] Status do_one_logged(Vcpu& v, const xen::MmuUpdate& u) REQUIRES(v.domain.pv->lock) {
    return do_one_of_own<Logs::unknown>(v, u);
}
[[gnu::always_inline]] inline Status update_own(Vcpu& v, const xen::MmuUpdate& u) {
    Guard g(v.domain.pv->lock);
    if (any_dirty_log()) [[unlikely]]
        return do_one_logged(v, u);
    return do_one_of_own<Logs::none>(v, u);
}

[[gnu::noinline]] Answer update_list(Vcpu& v, GuestPtr<xen::MmuUpdate> list, uint32_t count, GuestPtr<uint32_t> done,
                                     uint32_t domains) {
    uint32_t done_before = 0;
    if ((count & preempted) && !done.null()) done_before = TRY(done.fetch());
    count &= preempted - 1;
    TRY(finish_pending_put(v));
    MmuTarget t = TRY(mmu_target(v, domains));

    Status s = ok;
    uint32_t i = 0;
    while (i < count && s) {
        if (v.pv->pending_put || (i != 0 && arch::preempt_wanted())) {
            s = Err{Errc::restart};
            break;
        }
        xen::MmuUpdate u[together];
        uint32_t n = count - i < together ? count - i : together;
        s = n == 1 ? list.fetch_to(u[0], i) : (list + i).fetch_many(u, n);
        // Not all of them can be read: as far as they can, they are done.
        if (!s && n > 1) {
            n = 1;
            s = (list + i).fetch_many(u, n);
        }
        if (!s) break;
        s = do_updates(v, t, u, n);
        i += n;
        if (!s && s.error() != Errc::restart) [[unlikely]]
            log_refused_update(v, t, u[n], s.error());
    }
    if (!done.null()) TRY(done.store(done_before + i));
    if (!s && s.error() == Errc::restart) return restart_with(v, list + i, (count - i) | preempted, done, domains);
    TRY(s);
    return 0;
}

}  // namespace

Answer hypercall_mmu_update(Vcpu& v, GuestPtr<xen::MmuUpdate> list, uint32_t count, GuestPtr<uint32_t> done, uint32_t domains) {
    // What kernels ask for all day: one update of their own tables.
    xen::MmuUpdate u;
    if (count != 1 || domains != xen::DOMID_SELF || v.pv->pending_put || !list.fetch_to(u)) [[unlikely]]
        return update_list(v, list, count, done, domains);
    if (const Status s = update_own(v, u); !s) [[unlikely]]
        return one_refused(v, list, u, done, s.error());
    if (!done.null()) TRY(done.store(1));
    return 0;
}

namespace {

/// Into its two callers: the one without a bitmap is what kernels use all day.
[[gnu::always_inline]] inline Status set_va(Vcpu& v, MmuTarget& t, uint64_t va, uint64_t value) {
    Guard g(v.domain.pv->lock);
    uint64_t* slot = find_l1_slot(v.pv->kernel_root, va);
    if (!slot) return Err{Errc::inval};
    return update_l1(v.domain, *t.pages, slot, value, KeepAccessed::no);
}

/// The bitmap is guest memory, whose mapping the update may take away: it is read first. Where its vCPUs run counts after.
[[gnu::noinline]] Result<uint64_t> set_va_for(Vcpu& v, MmuTarget& t, uint64_t va, uint64_t value, uint64_t bitmap, bool page) {
    const VcpuSet named = TRY(fetch_vcpu_set(v.domain, bitmap));
    TRY(set_va(v, t, va, value));
    flush_cpus(cpus_of(v.domain, named), {page, va});
    return uint64_t{0};
}

Answer update_va(Vcpu& v, MmuTarget& t, uint64_t va, uint64_t value, uint64_t flags) {
    TRY(finish_pending_put(v));
    const uint64_t kind = flags & xen::UVMF_FLUSHTYPE_MASK;
    const uint64_t whom = flags & ~xen::UVMF_FLUSHTYPE_MASK;
    const bool page = kind == xen::UVMF_INVLPG;
    if (kind != xen::UVMF_NONE && whom != xen::UVMF_LOCAL && whom != xen::UVMF_ALL)
        return set_va_for(v, t, va, value, whom, page);
    TRY(set_va(v, t, va, value));
    if (kind == xen::UVMF_NONE) return uint64_t{0};
    if (whom == xen::UVMF_ALL) flush_cpus(cpus_of(v.domain), {page, va});
    else flush_local({page, va});
    return uint64_t{0};
}

}  // namespace

Answer hypercall_update_va_mapping(Vcpu& v, uint64_t va, uint64_t entry, uint64_t flags) {
    MmuTarget own{DomainRef::borrow(v.domain), DomainRef::borrow(v.domain)};
    return update_va(v, own, va, entry, flags);
}

Answer hypercall_update_va_mapping_otherdomain(Vcpu& v, uint64_t va, uint64_t entry, uint64_t flags, uint16_t pages) {
    MmuTarget t = TRY(mmu_target(v, pages));
    return update_va(v, t, va, entry, flags);
}

}  // namespace hv
