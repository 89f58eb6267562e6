// SPDX-License-Identifier: Apache-2.0
/// HYPERVISOR_grant_table_op: decode, authorise, act.
#include "abi/xen/grant_table.hpp"

#include "hypervisor/grant/grant.hpp"
#include "hypervisor/hypercall/handlers.hpp"
#include "hypervisor/hypercall/hypercall.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv {

namespace {

using Answer = Result<uint64_t>;

/// Runs `each` on every element and stores it back; interrupted, it goes on with the next.
template <class Op, class F>
Answer for_each(Vcpu& v, uint64_t cmd, uint64_t uarg, uint32_t count, F each) {
    const GuestPtr<Op> ops(uarg);
    for (uint32_t i = 0; i < count; ++i) {
        if (i && arch::preempt_wanted()) return restart_with(v, cmd, uarg + i * sizeof(Op), count - i);
        auto op = TRY(ops.fetch(i));
        each(op);
        TRY(ops.store(op, i));
    }
    return 0;
}

Answer map(Vcpu& v, uint64_t cmd, uint64_t uarg, uint32_t count) {
    DomainRef peer;
    return for_each<xen::GnttabMapGrantRef>(v, cmd, uarg, count,
                                            [&](xen::GnttabMapGrantRef& op) { grant_map(v, op, peer); });
}

GrantStatus begin(Vcpu& v, const xen::GnttabUnmapGrantRef& op, GrantUnmap& u) {
    return grant_unmap_begin(v, op.host_addr, op.dev_bus_addr, 0, op.handle, u);
}
GrantStatus begin(Vcpu& v, const xen::GnttabUnmapAndReplace& op, GrantUnmap& u) {
    if (!op.new_addr) return gntst(xen::GNTST_bad_virt_addr);
    return grant_unmap_begin(v, op.host_addr, 0, op.new_addr, op.handle, u);
}

/// Entries are cleared in groups; one TLB flush for each group comes before its pages are given back.
template <class Op>
Answer unmap(Vcpu& v, uint64_t cmd, uint64_t uarg, uint32_t count) {
    constexpr uint32_t group = 32;
    const GuestPtr<Op> ops(uarg);
    for (uint32_t i = 0; i < count;) {
        if (i && arch::preempt_wanted()) return restart_with(v, cmd, uarg + i * sizeof(Op), count - i);
        GrantUnmap pending[group];
        uint32_t n = 0;
        bool flush = false;
        bool fault = false;
        for (; n < group && i < count && !fault; ++i) {
            auto op = ops.fetch(i);
            fault = !op;
            if (fault) break;
            GrantUnmap& u = pending[n];
            op.value().status = begin(v, op.value(), u);
            if (u.done) ++n;
            flush |= (u.done & xen::GNTMAP_host_map) != 0;
            fault = !ops.store(op.value(), i);
        }
        if (flush) arch::flush_tlb(v.domain.dirty_cpus.load() | uint64_t{1} << this_cpu().id);
        for (uint32_t k = 0; k < n; ++k) grant_unmap_finish(v.domain, pending[k]);
        if (fault) return Err{Errc::fault};
    }
    return 0;
}

Answer copy(Vcpu& v, uint64_t cmd, uint64_t uarg, uint32_t count) {
    GrantCopyEnd source(false), dest(true);
    const GuestPtr<xen::GnttabCopy> ops(uarg);
    for (uint32_t i = 0; i < count; ++i) {
        if (i && arch::preempt_wanted())
            return restart_with(v, cmd, uarg + i * sizeof(xen::GnttabCopy), count - i);
        const auto op = TRY(ops.fetch(i));
        const GrantStatus status = grant_copy(v, op, source, dest);
        TRY((ops + i).at<int16_t>(offsetof(xen::GnttabCopy, status)).store(status));
    }
    return 0;
}

struct Target {
    DomainRef domain;
    GrantStatus status;
};

/// The domain whose table an operation names. Anyone may name itself, the privileged anyone.
Target table_of(Vcpu& v, uint16_t domid) {
    auto d = target_domain(v, domid);
    if (!d) return {DomainRef(), gntst(d.error() == Errc::perm ? xen::GNTST_permission_denied : xen::GNTST_bad_domain)};
    Target t{std::move(d).take(), gntst(xen::GNTST_okay)};
    if (!t.domain->grants) t.status = gntst(xen::GNTST_bad_domain);
    return t;
}

Result<GrantStatus> list_frames(Domain& d, const xen::GnttabSetupTable& op) {
    if (op.nr_frames > d.grants->max_frames) return gntst(xen::GNTST_general_error);
    if (op.nr_frames && !get_grant_frame(d, op.nr_frames - 1)) return gntst(xen::GNTST_general_error);
    const auto list = GuestPtr<uint64_t>::of(op.frame_list);
    for (uint32_t i = 0; i < op.nr_frames; ++i) {
        const auto frame = get_grant_frame(d, i);
        if (!frame) return gntst(xen::GNTST_general_error);
        TRY(list.store(frame.value().raw, i));
    }
    return gntst(xen::GNTST_okay);
}

Answer setup_table(Vcpu& v, GuestPtr<xen::GnttabSetupTable> p) {
    auto op = TRY(p.fetch());
    Target t = table_of(v, op.dom);
    op.status = t.status;
    if (t.status == gntst(xen::GNTST_okay)) op.status = TRY(list_frames(*t.domain, op));
    TRY(p.store(op));
    return 0;
}

Answer query_size(Vcpu& v, GuestPtr<xen::GnttabQuerySize> p) {
    auto op = TRY(p.fetch());
    Target t = table_of(v, op.dom);
    op.status = t.status;
    if (t.status == gntst(xen::GNTST_okay)) {
        op.nr_frames = grant_frames(*t.domain);
        op.max_nr_frames = t.domain->grants->max_frames;
    }
    TRY(p.store(op));
    return 0;
}

Answer dump_table(Vcpu& v, GuestPtr<xen::GnttabDumpTable> p) {
    auto op = TRY(p.fetch());
    Target t = table_of(v, op.dom);
    op.status = t.status;
    if (!v.domain.privileged)
        op.status = gntst(xen::GNTST_permission_denied);
    else if (t.status == gntst(xen::GNTST_okay))
        grant_dump(*t.domain);
    TRY(p.store(op));
    return 0;
}

Answer set_version(GuestPtr<xen::GnttabSetVersion> p) {
    auto op = TRY(p.fetch());
    if (op.version != 1 && op.version != 2) return Err{Errc::inval};
    if (op.version == 2) return Err{Errc::nosys};  // guests then go on with version 1
    TRY(p.store(op));
    return 0;
}

Answer version_of(Vcpu& v, GuestPtr<xen::GnttabGetVersion> p) {
    auto op = TRY(p.fetch());
    DomainRef d = TRY(target_domain(v, op.dom));
    if (!d->grants) return Err{Errc::inval};
    op.version = 1;
    TRY(p.store(op));
    return 0;
}

Answer status_frames(Vcpu& v, GuestPtr<xen::GnttabGetStatusFrames> p) {
    auto op = TRY(p.fetch());
    const Target t = table_of(v, op.dom);
    op.status = t.status == gntst(xen::GNTST_okay) ? gntst(xen::GNTST_general_error) : t.status;  // version 2 only
    TRY(p.store(op));
    return 0;
}

/// x86 keeps caches coherent with devices: what is left is to check the request.
Answer cache_flush(Vcpu& v, GuestPtr<xen::GnttabCacheFlush> p, uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
        const auto op = TRY(p.fetch(i));
        if (uint32_t{op.offset} + op.length > page_size) return Err{Errc::inval};
        if (op.op & ~(xen::GNTTAB_CACHE_CLEAN | xen::GNTTAB_CACHE_INVAL | xen::GNTTAB_CACHE_SOURCE_GREF))
            return Err{Errc::inval};
        if (op.op & xen::GNTTAB_CACHE_SOURCE_GREF) return Err{Errc::opnotsupp};
        if (op.length == 0 || op.op == 0) continue;
        TRY(PageRef::acquire(Mfn::of_address(op.a.dev_bus_addr), v.domain.id));
    }
    return 0;
}

Answer refuse_transfer(Vcpu& v, uint64_t cmd, uint64_t uarg, uint32_t count) {
    return for_each<xen::GnttabTransfer>(v, cmd, uarg, count, [](xen::GnttabTransfer& op) {
        op.status = gntst(xen::GNTST_permission_denied);  // pages change hands through memory_op exchange only
    });
}

}  // namespace

Result<uint64_t> hypercall_grant_table_op(Vcpu& v, const uint64_t (&args)[6]) {
    const uint64_t cmd = args[0];
    const uint64_t uarg = args[1];
    const auto count = static_cast<uint32_t>(args[2]);
    if (!v.domain.grants) return Err{Errc::nosys};
    if (static_cast<int32_t>(count) < 0) return Err{Errc::inval};
    switch (cmd) {
        case xen::GNTTABOP_map_grant_ref:
            return map(v, cmd, uarg, count);
        case xen::GNTTABOP_unmap_grant_ref:
            return unmap<xen::GnttabUnmapGrantRef>(v, cmd, uarg, count);
        case xen::GNTTABOP_unmap_and_replace:
            return unmap<xen::GnttabUnmapAndReplace>(v, cmd, uarg, count);
        case xen::GNTTABOP_copy:
            return copy(v, cmd, uarg, count);
        case xen::GNTTABOP_transfer:
            return refuse_transfer(v, cmd, uarg, count);
        case xen::GNTTABOP_setup_table:
            if (count != 1) return Err{Errc::inval};
            return setup_table(v, GuestPtr<xen::GnttabSetupTable>(uarg));
        case xen::GNTTABOP_query_size:
            if (count != 1) return Err{Errc::inval};
            return query_size(v, GuestPtr<xen::GnttabQuerySize>(uarg));
        case xen::GNTTABOP_dump_table:
            return dump_table(v, GuestPtr<xen::GnttabDumpTable>(uarg));
        case xen::GNTTABOP_set_version:
            return set_version(GuestPtr<xen::GnttabSetVersion>(uarg));
        case xen::GNTTABOP_get_version:
            return version_of(v, GuestPtr<xen::GnttabGetVersion>(uarg));
        case xen::GNTTABOP_get_status_frames:
            return status_frames(v, GuestPtr<xen::GnttabGetStatusFrames>(uarg));
        case xen::GNTTABOP_swap_grant_ref:
            return for_each<xen::GnttabSwapGrantRef>(v, cmd, uarg, count, [&](xen::GnttabSwapGrantRef& op) {
                op.status = grant_swap(v.domain, op.ref_a, op.ref_b);
            });
        case xen::GNTTABOP_cache_flush:
            return cache_flush(v, GuestPtr<xen::GnttabCacheFlush>(uarg), count);
        default:
            guest_log(LogLevel::debug, "d%u: unknown grant_table_op %lu", unsigned{v.domain.id.raw}, cmd);
            return Err{Errc::nosys};
    }
}

}  // namespace hv
