// SPDX-License-Identifier: Apache-2.0
/// mmuext_op: pinning, roots, TLB and cache, LDT.
#include <cstring>

#include "abi/xen/basic.hpp"
#include "hypervisor/arch/x86/guest_state.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/guest/pv/descriptors.hpp"
#include "hypervisor/guest/pv/pt_update.hpp"
#include "hypervisor/hypercall/handlers.hpp"
#include "hypervisor/hypercall/pv/mmu.hpp"
#include "hypervisor/hypercall/pv/mmu_refusal.hpp"
#include "hypervisor/mm/dirty.hpp"

namespace hv {
namespace {

constexpr uint64_t preempted = uint64_t{1} << 31;

Status flush_cache(Vcpu& v) {
    if (!v.domain.privileged) return Err{Errc::access};
    hw::wbinvd();
    return ok;
}

/// CLEAR_PAGE and COPY_PAGE: the target must be the caller's and writable.
Status fill_page(MmuTarget& t, Mfn to, const Mfn* from) {
    const PageRef dst = TRY(PageRef::acquire(to, t.pages->id));
    PageRef src;
    if (from) src = TRY(PageRef::acquire(*from, t.pages->id));
    if (!get_writable_type(dst.page())) return Err{Errc::perm};
    if (from) memcpy(map_mfn(to), map_mfn(*from), page_size);
    else memset(map_mfn(to), 0, page_size);
    dirtied(to);
    put_writable_type(dst.page());
    return ok;
}

Status pin(Vcpu& v, Domain& d, Mfn m, PageType t) {
    const Status s = pin_table(d, m, t);
    if (s) return ok;
    if (s.error() != Errc::intr) return Err{s.error()};
    postpone_release(v, d, m);
    return Err{Errc::inval};
}

Status flush_many(Vcpu& v, const xen::MmuextOp& op, bool page) {
    const VcpuSet named = TRY(fetch_vcpu_set(v.domain, op.arg2.vcpumask.addr));
    flush_cpus(cpus_of(v.domain, named), {page, op.arg1.linear_addr});
    return ok;
}

Status one_op(Vcpu& v, MmuTarget& t, const xen::MmuextOp& op) {
    Domain& d = *t.pages;
    switch (op.cmd) {
        case xen::MMUEXT_PIN_L1_TABLE: return pin(v, d, Mfn(op.arg1.mfn), PageType::l1);
        case xen::MMUEXT_PIN_L2_TABLE: return pin(v, d, Mfn(op.arg1.mfn), PageType::l2);
        case xen::MMUEXT_PIN_L3_TABLE: return pin(v, d, Mfn(op.arg1.mfn), PageType::l3);
        case xen::MMUEXT_PIN_L4_TABLE: return pin(v, d, Mfn(op.arg1.mfn), PageType::l4);
        case xen::MMUEXT_UNPIN_TABLE: return unpin_table(d, Mfn(op.arg1.mfn));
        case xen::MMUEXT_NEW_BASEPTR: return set_kernel_root(v, Mfn(op.arg1.mfn));
        case xen::MMUEXT_NEW_USER_BASEPTR: return set_user_root(v, Mfn(op.arg1.mfn));
        case xen::MMUEXT_TLB_FLUSH_LOCAL: arch::flush_tlb_local(); return ok;
        case xen::MMUEXT_INVLPG_LOCAL: arch::flush_tlb_page_local(op.arg1.linear_addr); return ok;
        case xen::MMUEXT_TLB_FLUSH_MULTI: return flush_many(v, op, false);
        case xen::MMUEXT_INVLPG_MULTI: return flush_many(v, op, true);
        case xen::MMUEXT_TLB_FLUSH_ALL:
            // The domain builder flushes on behalf of its guest too.
            arch::flush_tlb(cpus_of(*t.pages).with(this_cpu().id));
            return ok;
        case xen::MMUEXT_INVLPG_ALL: flush_cpus(cpus_of(v.domain), {true, op.arg1.linear_addr}); return ok;
        case xen::MMUEXT_FLUSH_CACHE:
        case xen::MMUEXT_FLUSH_CACHE_GLOBAL: return flush_cache(v);
        case xen::MMUEXT_SET_LDT: return pv_set_ldt(v, op.arg1.linear_addr, op.arg2.nr_ents);
        case xen::MMUEXT_CLEAR_PAGE: return fill_page(t, Mfn(op.arg1.mfn), nullptr);
        case xen::MMUEXT_COPY_PAGE: {
            const Mfn from(op.arg2.src_mfn);
            return fill_page(t, Mfn(op.arg1.mfn), &from);
        }
        default: return Err{Errc::nosys};
    }
}

/// Operations that act on the calling vCPU make no sense for another domain.
bool own_only(uint32_t cmd) {
    return cmd == xen::MMUEXT_NEW_BASEPTR || cmd == xen::MMUEXT_NEW_USER_BASEPTR || cmd == xen::MMUEXT_SET_LDT;
}

}  // namespace

Result<uint64_t> hypercall_mmuext_op(Vcpu& v, const uint64_t (&args)[6]) {
    const auto list = GuestPtr<xen::MmuextOp>::from_reg(args[0]);
    const auto done_out = GuestPtr<uint32_t>::from_reg(args[2]);
    const uint64_t foreign = static_cast<uint16_t>(args[3]);
    const uint64_t count = args[1] & (preempted - 1);
    uint32_t done_before = 0;
    if ((args[1] & preempted) && !done_out.null()) done_before = TRY(done_out.fetch());
    TRY(finish_pending_put(v));
    MmuTarget t = TRY(mmu_target(v, foreign));
    if (!t.pages->pv) return Err{Errc::inval};

    Status s = ok;
    uint64_t i = 0;
    for (; i < count; ++i) {
        if (v.pv->pending_put || (i != 0 && arch::preempt_wanted())) {
            s = Err{Errc::restart};
        } else {
            auto op = list.fetch(i);
            if (!op) s = Err{op.error()};
            else if (own_only(op.value().cmd) && &*t.pages != &v.domain) s = Err{Errc::perm};
            else s = one_op(v, t, op.value());
            if (!s && s.error() != Errc::restart && op) log_refused_operation(v, t, op.value(), s.error());
        }
        if (!s) break;
    }
    if (!done_out.null()) TRY(done_out.store(done_before + static_cast<uint32_t>(i)));
    if (!s && s.error() == Errc::restart)
        return restart_with(v, (list + i).address(), (count - i) | preempted, done_out.address(), foreign);
    if (!s) return Err{s.error()};
    return uint64_t{0};
}

}  // namespace hv
