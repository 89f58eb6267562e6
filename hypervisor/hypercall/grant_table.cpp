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

/// Where an operation that is not a list goes on stands above the command, in bits that no command uses. A guest that
/// puts something there itself skips a part of its own request, no more.
constexpr unsigned progress_shift = 12;

/// Runs `step(i)` for each of a list's elements; interrupted, it goes on with the next.
template <class Op, class Step>
Answer for_each_element(Vcpu& v, uint64_t cmd, uint64_t uarg, uint32_t count, Step step) {
    return preemptible(0, count, step,
                       [&](uint64_t i) -> Answer { return restart_with(v, cmd, uarg + i * sizeof(Op), count - i); });
}

/// The same where `each` changes the element and it is stored back.
template <class Op, class F>
Answer for_each(Vcpu& v, uint64_t cmd, uint64_t uarg, uint32_t count, F each) {
    const GuestPtr<Op> ops(uarg);
    return for_each_element<Op>(v, cmd, uarg, count, [&](uint64_t i) -> Status {
        Op op;
        TRY((ops + i).fetch_many(&op, 1));
        each(op);
        return ops.store(op, i);
    });
}

Answer map(Vcpu& v, uint64_t cmd, uint64_t uarg, uint32_t count) {
    DomainRef peer;
    return for_each<xen::GnttabMapGrantRef>(v, cmd, uarg, count, [&](xen::GnttabMapGrantRef& op) { grant_map(v, op, peer); });
}

GrantStatus begin(Vcpu& v, const xen::GnttabUnmapGrantRef& op, GrantUnmap& u) {
    return grant_unmap_begin(v, op.host_addr, op.dev_bus_addr, 0, op.handle, u);
}
GrantStatus begin(Vcpu& v, const xen::GnttabUnmapAndReplace& op, GrantUnmap& u) {
    if (!op.new_addr) return gntst(xen::GNTST_bad_virt_addr);
    return grant_unmap_begin(v, op.host_addr, 0, op.new_addr, op.handle, u);
}

/// Entries are cleared in groups; one TLB flush for each group comes before its pages are given back. An element that is
/// refused counts in its group like any other.
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
        const uint32_t end = count - i < group ? count : i + group;
        for (; i < end && !fault; ++i) {
            Op op;
            fault = !(ops + i).fetch_many(&op, 1);
            if (fault) break;
            GrantUnmap& u = pending[n];
            op.status = begin(v, op, u);
            if (u.done) ++n;
            flush |= (u.done & xen::GNTMAP_host_map) != 0;
            fault = !ops.store(op, i);
        }
        if (flush) arch::flush_tlb(v.domain.dirty_cpus.load().with(this_cpu().id));
        for (uint32_t k = 0; k < n; ++k) grant_unmap_finish(v.domain, pending[k]);
        if (fault) return Err{Errc::fault};
    }
    return 0;
}

Answer copy(Vcpu& v, uint64_t cmd, uint64_t uarg, uint32_t count) {
    GrantCopyEnd source(false), dest(true);
    const GuestPtr<xen::GnttabCopy> ops(uarg);
    return for_each_element<xen::GnttabCopy>(v, cmd, uarg, count, [&](uint64_t i) -> Status {
        xen::GnttabCopy op;
        TRY((ops + i).fetch_many(&op, 1));
        const GrantStatus status = grant_copy(v, op, source, dest);
        const uint64_t answer = (ops + i).address() + offsetof(xen::GnttabCopy, status);
        if (!arch::store_to_guest(answer, static_cast<uint16_t>(status))) return Err{Errc::fault};
        return ok;
    });
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

/// An operation on a table's frames one after the other: where it begins, and how it goes on.
struct Resumable {
    Vcpu& v;
    uint32_t cmd;
    uint64_t uarg;
    uint32_t first;  ///< the frames before it were done when the call was entered before

    Err go_on(uint64_t at) const { return restart_with(v, cmd | at << progress_shift, uarg, 1); }
    /// Stores frame_of(i) for [first, n). Entries that cannot be written are a status. Errors: restart.
    template <class F>
    Result<GrantStatus> fill(GuestPtr<uint64_t> list, uint32_t n, F frame_of) const {
        GrantStatus status = gntst(xen::GNTST_okay);
        const auto store = [&](uint64_t i) -> Status {
            const auto frame = frame_of(static_cast<uint32_t>(i));
            if (!frame) status = gntst(xen::GNTST_general_error);
            else if (!list.store(frame.value().raw, i)) status = gntst(xen::GNTST_bad_virt_addr);
            return ok;
        };
        TRY(preemptible(first, n, store, [&](uint64_t i) -> Answer { return go_on(i); }));
        return status;
    }
};

Result<GrantStatus> table_frames(const Resumable& out, Domain& d, const xen::GnttabSetupTable& op) {
    if (auto grown = grants_grow(d, op.nr_frames); !grown) {
        if (grown.error() == Errc::restart) return out.go_on(out.first);
        return gntst(xen::GNTST_general_error);
    }
    return out.fill(GuestPtr<uint64_t>::of(op.frame_list), op.nr_frames, [&](uint32_t i) { return get_grant_frame(d, i); });
}

Answer setup_table(const Resumable& out) {
    const GuestPtr<xen::GnttabSetupTable> p(out.uarg);
    auto op = TRY(p.fetch());
    Target t = table_of(out.v, op.dom);
    op.status = t.status;
    if (t.status == gntst(xen::GNTST_okay)) op.status = TRY(table_frames(out, *t.domain, op));
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

Answer dump_table(const Resumable& at) {
    const GuestPtr<xen::GnttabDumpTable> p(at.uarg);
    auto op = TRY(p.fetch());
    Target t = table_of(at.v, op.dom);
    op.status = t.status;
    if (!at.v.domain.privileged) {
        op.status = gntst(xen::GNTST_permission_denied);
    } else if (t.status == gntst(xen::GNTST_okay)) {
        for (uint32_t frame = at.first; grant_dump(*t.domain, frame); ++frame)
            if (arch::preempt_wanted()) return at.go_on(frame + 1);
    }
    TRY(p.store(op));
    return 0;
}

/// The argument comes back with the version in use, changed or not.
Answer set_version(Vcpu& v, GuestPtr<xen::GnttabSetVersion> p) {
    auto op = TRY(p.fetch());
    const Status s = grants_set_version(v.domain, op.version);
    if (!s && s.error() == Errc::restart) return restart_same(v);
    op.version = grants_version(v.domain);
    TRY(p.store(op));
    if (!s) return Err{s.error()};
    return 0;
}

Answer version_of(Vcpu& v, GuestPtr<xen::GnttabGetVersion> p) {
    auto op = TRY(p.fetch());
    DomainRef d = TRY(target_domain(v, op.dom));
    if (!d->grants) return Err{Errc::inval};
    op.version = grants_version(*d);
    TRY(p.store(op));
    return 0;
}

Answer status_frames(const Resumable& out) {
    const GuestPtr<xen::GnttabGetStatusFrames> p(out.uarg);
    auto op = TRY(p.fetch());
    const Target t = table_of(out.v, op.dom);
    op.status = t.status;
    if (t.status == gntst(xen::GNTST_okay) && op.nr_frames > grant_status_frames(*t.domain))
        op.status = gntst(xen::GNTST_general_error);
    else if (t.status == gntst(xen::GNTST_okay))
        op.status = TRY(out.fill(GuestPtr<uint64_t>::of(op.frame_list), op.nr_frames,
                                 [&](uint32_t i) { return get_status_frame(*t.domain, i); }));
    TRY(p.store(op));
    return 0;
}

/// x86 keeps caches coherent with devices: what is left is to check the request.
Status check_flush(Vcpu& v, const xen::GnttabCacheFlush& op) {
    if (uint32_t{op.offset} + op.length > page_size) return Err{Errc::inval};
    if (op.op & ~(xen::GNTTAB_CACHE_CLEAN | xen::GNTTAB_CACHE_INVAL | xen::GNTTAB_CACHE_SOURCE_GREF)) return Err{Errc::inval};
    if (op.op & xen::GNTTAB_CACHE_SOURCE_GREF) return Err{Errc::opnotsupp};
    if (op.length == 0 || op.op == 0) return ok;
    TRY(PageRef::acquire(Mfn::of_address(op.a.dev_bus_addr), v.domain.id));
    return ok;
}

Answer cache_flush(Vcpu& v, uint64_t cmd, uint64_t uarg, uint32_t count) {
    const GuestPtr<xen::GnttabCacheFlush> ops(uarg);
    return for_each_element<xen::GnttabCacheFlush>(v, cmd, uarg, count,
                                                   [&](uint64_t i) -> Status { return check_flush(v, TRY(ops.fetch(i))); });
}

Answer refuse_transfer(Vcpu& v, uint64_t cmd, uint64_t uarg, uint32_t count) {
    return for_each<xen::GnttabTransfer>(v, cmd, uarg, count, [](xen::GnttabTransfer& op) {
        op.status = gntst(xen::GNTST_permission_denied);  // pages change hands through memory_op exchange only
    });
}

}  // namespace

Result<uint64_t> hypercall_grant_table_op(Vcpu& v, const uint64_t (&args)[6]) {
    const uint32_t cmd = args[0] & ((1u << progress_shift) - 1);
    const uint32_t progress = static_cast<uint32_t>(args[0]) >> progress_shift;
    const uint64_t uarg = args[1];
    const auto count = static_cast<uint32_t>(args[2]);
    if (!v.domain.grants) return Err{Errc::nosys};
    if (static_cast<int32_t>(count) < 0) return Err{Errc::inval};
    switch (cmd) {
        case xen::GNTTABOP_map_grant_ref: return map(v, cmd, uarg, count);
        case xen::GNTTABOP_unmap_grant_ref: return unmap<xen::GnttabUnmapGrantRef>(v, cmd, uarg, count);
        case xen::GNTTABOP_unmap_and_replace: return unmap<xen::GnttabUnmapAndReplace>(v, cmd, uarg, count);
        case xen::GNTTABOP_copy: return copy(v, cmd, uarg, count);
        case xen::GNTTABOP_transfer: return refuse_transfer(v, cmd, uarg, count);
        case xen::GNTTABOP_setup_table:
            if (count != 1) return Err{Errc::inval};
            return setup_table({v, cmd, uarg, progress});
        case xen::GNTTABOP_query_size:
            if (count != 1) return Err{Errc::inval};
            return query_size(v, GuestPtr<xen::GnttabQuerySize>(uarg));
        case xen::GNTTABOP_dump_table: return dump_table({v, cmd, uarg, progress});
        case xen::GNTTABOP_set_version: return set_version(v, GuestPtr<xen::GnttabSetVersion>(uarg));
        case xen::GNTTABOP_get_version: return version_of(v, GuestPtr<xen::GnttabGetVersion>(uarg));
        case xen::GNTTABOP_get_status_frames:
            if (count != 1) return Err{Errc::inval};
            return status_frames({v, cmd, uarg, progress});
        case xen::GNTTABOP_swap_grant_ref:
            return for_each<xen::GnttabSwapGrantRef>(
                v, cmd, uarg, count, [&](xen::GnttabSwapGrantRef& op) { op.status = grant_swap(v.domain, op.ref_a, op.ref_b); });
        case xen::GNTTABOP_cache_flush: return cache_flush(v, cmd, uarg, count);
        default:
            guest_log(LogLevel::debug, "d%u: unknown grant_table_op %u", unsigned{v.domain.id.raw}, cmd);
            return Err{Errc::nosys};
    }
}

}  // namespace hv
