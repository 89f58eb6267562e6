// SPDX-License-Identifier: Apache-2.0
/// HYPERVISOR_grant_table_op: decode, authorise, act.
#include "abi/xen/grant_table.hpp"

#include "hypervisor/grant/grant.hpp"
#include "hypervisor/hypercall/handlers.hpp"
#include "hypervisor/hypercall/row.hpp"
#include "hypervisor/trace/trace.hpp"

namespace hv {

namespace {

/// Where an operation that is not a list goes on stands above the command, in bits that no command uses. A guest that
/// puts something there itself skips a part of its own request, no more.
constexpr unsigned progress_shift = 12;
constexpr uint32_t command_mask = (1u << progress_shift) - 1;

struct Call {
    Vcpu& v;
    uint32_t cmd;
    AnyGuestPtr arg;
    uint32_t count;
    uint32_t first;  ///< of a table's frames: those before it were done when the call was entered before

    /// The rest of a list goes on when the hypercall is entered again.
    template <class Element>
    Err rest_of(GuestPtr<Element> list, uint64_t done) const {
        return restart_with(v, cmd, list + done, count - done);
    }
    /// So does an operation on a table's frames, at frame `at`.
    Err go_on(uint64_t at) const { return restart_with(v, cmd | at << progress_shift, arg, uint32_t{1}); }
};

/// Runs `step(i)` for each of a list's elements; interrupted, it goes on with the next.
template <class Element, class Step>
Answer for_each_element(const Call& c, GuestPtr<Element> list, Step step) {
    return preemptible(0, c.count, step, [&](uint64_t i) -> Answer { return c.rest_of(list, i); });
}

/// What an operation has changed of its element is stored back: the end of it, in whole words.
template <auto first_changed, class Element>
[[gnu::always_inline]] inline Status store_from(GuestPtr<Element> p, const Element& op) {
    constexpr size_t from = first_changed / 8 * 8;
    static_assert(sizeof op % 8 == 0);
    const auto* bytes = reinterpret_cast<const uint8_t*>(&op);
    if (!arch::copy_words_to_guest<(sizeof op - from) / 8>(p.address() + from, bytes + from)) return Err{Errc::fault};
    return ok;
}
template <class Element>
Status store_results(GuestPtr<Element> p, const Element& op) {
    return p.store(op);
}
[[gnu::always_inline]] inline Status store_results(GuestPtr<xen::GnttabMapGrantRef> p, const xen::GnttabMapGrantRef& op) {
    return store_from<offsetof(xen::GnttabMapGrantRef, status)>(p, op);
}
[[gnu::always_inline]] inline Status store_results(GuestPtr<xen::GnttabUnmapGrantRef> p, const xen::GnttabUnmapGrantRef& op) {
    return store_from<offsetof(xen::GnttabUnmapGrantRef, status)>(p, op);
}

/// The same where `each` changes the element and it is stored back.
template <class Element, class F>
Answer for_each(const Call& c, F each) {
    const GuestPtr<Element> ops = c.arg;
    return for_each_element(c, ops, [&](uint64_t i) -> Status {
        Element op;
        TRY(ops.fetch_to(op, i));
        each(op);
        return store_results(ops + i, op);
    });
}

/// Lists are mapped and unmapped in groups: this many elements at once.
constexpr uint32_t group = 32;

/// The next elements of a list, at most a group. 0: the first of them cannot be read.
template <class Element>
[[gnu::always_inline]] inline uint32_t fetch_group(GuestPtr<Element> list, uint64_t left, Element (&ops)[group]) {
    const uint32_t n = left < group ? static_cast<uint32_t>(left) : group;
    if (list.fetch_many(ops, n)) [[likely]]
        return n;
    // Those before the first that cannot be read are done.
    uint32_t readable = 0;
    while (readable < n && list.fetch_to(ops[readable], readable)) ++readable;
    return readable;
}

HV_ASIDE void record_maps(const xen::GnttabMapGrantRef* ops, uint32_t n) {
    for (uint32_t i = 0; i < n; ++i)
        if (ops[i].status == gntst(xen::GNTST_okay)) trace::event(xen::TRC_MEM_PAGE_GRANT_MAP, uint32_t{ops[i].dom});
}

[[gnu::noinline]] Answer map_list(const Call& c) {
    const GuestPtr<xen::GnttabMapGrantRef> list = c.arg;
    xen::GnttabMapGrantRef ops[group];
    for (uint64_t i = 0; i < c.count;) {
        if (i && arch::preempt_wanted()) return c.rest_of(list, i);
        const uint32_t n = fetch_group(list + i, c.count - i, ops);
        if (n == 0) return Err{Errc::fault};
        grant_map(c.v, ops, n);
        if (trace::on()) [[unlikely]]
            record_maps(ops, n);
        TRY((list + i).store_many(ops, n));
        i += n;
    }
    return 0;
}

[[gnu::always_inline]] inline Answer map(const Call& c) {
    if (c.count != 1) return map_list(c);
    const GuestPtr<xen::GnttabMapGrantRef> list = c.arg;
    xen::GnttabMapGrantRef op;
    TRY(list.fetch_to(op));
    grant_map(c.v, &op, 1);
    if (trace::on()) [[unlikely]]
        record_maps(&op, 1);
    TRY(store_results(list, op));
    return 0;
}

/// Begins with the elements of a group. How many are pending.
[[gnu::always_inline]] inline uint32_t begin(Vcpu& v, xen::GnttabUnmapGrantRef* ops, uint32_t n, GrantUnmap* pending) {
    return grant_unmap_begin(v, ops, n, pending);
}
uint32_t begin(Vcpu& v, xen::GnttabUnmapAndReplace* ops, uint32_t n, GrantUnmap* pending) {
    uint32_t held = 0;
    for (uint32_t i = 0; i < n; ++i) {
        xen::GnttabUnmapAndReplace& op = ops[i];
        GrantUnmap& u = pending[held];
        u.done = 0;
        op.status =
            op.new_addr ? grant_unmap_begin(v, op.host_addr, 0, op.new_addr, op.handle, u) : gntst(xen::GNTST_bad_virt_addr);
        if (u.done) ++held;
    }
    return held;
}

void flush_cpus_of(const Domain& d) {
    const unsigned self = this_cpu().id;
    if (d.dirty_cpus.none_but(self)) arch::flush_tlb_local();
    else arch::flush_tlb(d.dirty_cpus.load().with(self));
}

HV_ASIDE void record_unmaps(const GrantUnmap* list, uint32_t n) {
    for (uint32_t i = 0; i < n; ++i) trace::event(xen::TRC_MEM_PAGE_GRANT_UNMAP, uint32_t{list[i].owner->id.raw});
}

/// What follows on cleared entries: their TLB flush, and only then their pages are given back.
[[gnu::always_inline]] inline void finish(Vcpu& v, const GrantUnmap* pending, uint32_t n) {
    bool flush = false;
    for (uint32_t i = 0; i < n; ++i) flush |= (pending[i].done & xen::GNTMAP_host_map) != 0;
    if (flush) flush_cpus_of(v.domain);
    if (trace::on()) [[unlikely]]
        record_unmaps(pending, n);
    if (n != 0) grant_unmap_finish(v.domain, pending, n);
}

/// Entries are cleared in groups, with one TLB flush for each. An element that is refused counts in its group like any other.
template <class Element>
[[gnu::noinline]] Answer unmap_list(const Call& c) {
    const GuestPtr<Element> list = c.arg;
    Element ops[group];
    GrantUnmap pending[group];
    for (uint64_t i = 0; i < c.count;) {
        if (i && arch::preempt_wanted()) return c.rest_of(list, i);
        const uint32_t n = fetch_group(list + i, c.count - i, ops);
        if (n == 0) return Err{Errc::fault};
        finish(c.v, pending, begin(c.v, ops, n, pending));
        TRY((list + i).store_many(ops, n));
        i += n;
    }
    return 0;
}

template <class Element>
[[gnu::always_inline]] inline Answer unmap(const Call& c) {
    if (c.count != 1) return unmap_list<Element>(c);
    const GuestPtr<Element> list = c.arg;
    Element op;
    TRY(list.fetch_to(op));
    GrantUnmap pending;
    if (begin(c.v, &op, 1, &pending)) finish(c.v, &pending, 1);
    TRY(store_results(list, op));
    return 0;
}

[[gnu::always_inline]] inline Status store_copied(GuestPtr<xen::GnttabCopy> op, GrantStatus status) {
    const uint64_t answer = op.address() + offsetof(xen::GnttabCopy, status);
    if (!arch::store_to_guest(answer, static_cast<uint16_t>(status))) return Err{Errc::fault};
    return ok;
}

[[gnu::noinline]] Answer copy_list(const Call& c) {
    GrantCopyEnd source(false), dest(true);
    const GuestPtr<xen::GnttabCopy> ops = c.arg;
    return for_each_element(c, ops, [&](uint64_t i) -> Status {
        xen::GnttabCopy op;
        TRY(ops.fetch_to(op, i));
        return store_copied(ops + i, grant_copy(c.v, op, source, dest));
    });
}

[[gnu::always_inline]] inline Answer copy(const Call& c) {
    if (c.count != 1) return copy_list(c);
    const GuestPtr<xen::GnttabCopy> list = c.arg;
    xen::GnttabCopy op;
    TRY(list.fetch_to(op));
    if (!grant_copy_usual(c.v, op)) [[unlikely]]
        return copy_list(c);
    TRY(store_copied(list, gntst(xen::GNTST_okay)));
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

/// Stores frame_of(i) for [c.first, n). Entries that cannot be written are a status. Errors: restart.
template <class F>
Result<GrantStatus> fill(const Call& c, GuestPtr<uint64_t> list, uint32_t n, F frame_of) {
    GrantStatus status = gntst(xen::GNTST_okay);
    const auto store = [&](uint64_t i) -> Status {
        const auto frame = frame_of(static_cast<uint32_t>(i));
        if (!frame) status = gntst(xen::GNTST_general_error);
        else if (!list.store(frame.value().raw, i)) status = gntst(xen::GNTST_bad_virt_addr);
        return ok;
    };
    TRY(preemptible(c.first, n, store, [&](uint64_t i) -> Answer { return c.go_on(i); }));
    return status;
}

Result<GrantStatus> table_frames(const Call& c, Domain& d, const xen::GnttabSetupTable& op) {
    if (auto grown = grants_grow(d, op.nr_frames); !grown) {
        if (grown.error() == Errc::restart) return c.go_on(c.first);
        return gntst(xen::GNTST_general_error);
    }
    return fill(c, GuestPtr<uint64_t>::of(op.frame_list), op.nr_frames, [&](uint32_t i) { return get_grant_frame(d, i); });
}

/// An operation on the table of the domain that the argument names: `act` is asked for its status when there is one.
template <class Op, class F>
Status on_table(const Call& c, F act) {
    if (c.count != 1) return Err{Errc::inval};
    const GuestPtr<Op> p = c.arg;
    Op op = TRY(p.fetch());
    const Target t = table_of(c.v, op.dom);
    op.status = t.status == gntst(xen::GNTST_okay) ? TRY(act(*t.domain, op)) : t.status;
    return p.store(op);
}

Status setup_table(const Call& c) {
    return on_table<xen::GnttabSetupTable>(c, [&](Domain& d, xen::GnttabSetupTable& op) { return table_frames(c, d, op); });
}

Status query_size(const Call& c) {
    return on_table<xen::GnttabQuerySize>(c, [](Domain& d, xen::GnttabQuerySize& op) -> Result<GrantStatus> {
        op.nr_frames = grant_frames(d);
        op.max_nr_frames = d.grants->max_frames;
        return gntst(xen::GNTST_okay);
    });
}

Answer dump_table(const Call& c) {
    const GuestPtr<xen::GnttabDumpTable> p = c.arg;
    auto op = TRY(p.fetch());
    Target t = table_of(c.v, op.dom);
    op.status = t.status;
    if (!authorised(c.v.domain, Who::control)) {
        op.status = gntst(xen::GNTST_permission_denied);
    } else if (t.status == gntst(xen::GNTST_okay)) {
        for (uint32_t frame = c.first; grant_dump(*t.domain, frame); ++frame)
            if (arch::preempt_wanted()) return c.go_on(frame + 1);
    }
    TRY(p.store(op));
    return 0;
}

/// The argument comes back with the version in use, changed or not.
Status set_version(const Call& c) {
    const GuestPtr<xen::GnttabSetVersion> p = c.arg;
    Domain& d = c.v.domain;
    auto op = TRY(p.fetch());
    const Status s = grants_set_version(d, op.version);
    if (!s && s.error() == Errc::restart) return restart_same(c.v);
    op.version = grants_version(d);
    TRY(p.store(op));
    return s;
}

Status version_of(const Call& c) {
    const GuestPtr<xen::GnttabGetVersion> p = c.arg;
    auto op = TRY(p.fetch());
    DomainRef d = TRY(target_domain(c.v, op.dom));
    if (!d->grants) return Err{Errc::inval};
    op.version = grants_version(*d);
    return p.store(op);
}

Status status_frames(const Call& c) {
    return on_table<xen::GnttabGetStatusFrames>(c, [&](Domain& d, xen::GnttabGetStatusFrames& op) -> Result<GrantStatus> {
        if (op.nr_frames > grant_status_frames(d)) return gntst(xen::GNTST_general_error);
        return fill(c, GuestPtr<uint64_t>::of(op.frame_list), op.nr_frames, [&](uint32_t i) { return get_status_frame(d, i); });
    });
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

Answer cache_flush(const Call& c) {
    const GuestPtr<xen::GnttabCacheFlush> ops = c.arg;
    return for_each_element(c, ops, [&](uint64_t i) -> Status { return check_flush(c.v, TRY(ops.fetch(i))); });
}

Answer swap(const Call& c) {
    return for_each<xen::GnttabSwapGrantRef>(
        c, [&](xen::GnttabSwapGrantRef& op) { op.status = grant_swap(c.v.domain, op.ref_a, op.ref_b); });
}

Answer refuse_transfer(const Call& c) {
    return for_each<xen::GnttabTransfer>(c, [](xen::GnttabTransfer& op) {
        op.status = gntst(xen::GNTST_permission_denied);  // pages change hands through memory_op exchange only
    });
}

/// An operation that wants its arguments together. Apart from the others, so that none saves the registers of another.
template <auto operation>
[[gnu::noinline]] auto on(Vcpu& v, uint32_t cmd, AnyGuestPtr arg, uint32_t count) {
    return operation(Call{v, cmd & command_mask, arg, count, cmd >> progress_shift});
}

// clang-format off
using Frequent = FrequentOperations<
    Op<xen::GNTTABOP_map_grant_ref,     on<map>,                               Who::anyone, Runs::in_parts>,
    Op<xen::GNTTABOP_unmap_grant_ref,   on<unmap<xen::GnttabUnmapGrantRef>>,   Who::anyone, Runs::in_parts>,
    Op<xen::GNTTABOP_copy,              on<copy>,                              Who::anyone, Runs::in_parts>>;

using Others = Operations<
    Op<xen::GNTTABOP_unmap_and_replace, on<unmap<xen::GnttabUnmapAndReplace>>, Who::anyone, Runs::in_parts>,
    Op<xen::GNTTABOP_transfer,          on<refuse_transfer>,                   Who::anyone, Runs::in_parts>,
    Op<xen::GNTTABOP_setup_table,       on<setup_table>,                       Who::anyone, Runs::in_parts>,
    Op<xen::GNTTABOP_query_size,        on<query_size>>,
    Op<xen::GNTTABOP_dump_table,        on<dump_table>,                        Who::anyone, Runs::in_parts>,
    Op<xen::GNTTABOP_set_version,       on<set_version>,                       Who::anyone, Runs::in_parts>,
    Op<xen::GNTTABOP_get_version,       on<version_of>>,
    Op<xen::GNTTABOP_get_status_frames, on<status_frames>,                     Who::anyone, Runs::in_parts>,
    Op<xen::GNTTABOP_swap_grant_ref,    on<swap>,                              Who::anyone, Runs::in_parts>,
    Op<xen::GNTTABOP_cache_flush,       on<cache_flush>,                       Who::anyone, Runs::in_parts>>;
// clang-format on

[[gnu::noinline]] Answer others(Vcpu& v, uint32_t cmd, AnyGuestPtr list, uint32_t count) {
    return Others::run("grant_table_op", cmd & command_mask, v, cmd, list, count);
}

}  // namespace

Answer hypercall_grant_table_op(Vcpu& v, uint32_t cmd, AnyGuestPtr list, uint32_t count) {
    if (!v.domain.grants) return Err{Errc::nosys};
    if (static_cast<int32_t>(count) < 0) return Err{Errc::inval};
    const auto rest = [&] { return others(v, cmd, list, count); };
    return Frequent::run_or("grant_table_op", cmd & command_mask, rest, v, cmd, list, count);
}

}  // namespace hv
