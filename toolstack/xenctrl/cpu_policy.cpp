// SPDX-License-Identifier: Apache-2.0
// Which CPU a domain sees: its policy, and its time-stamp counter.
#include <algorithm>

#include "abi/xen/domctl.hpp"
#include "abi/xen/sysctl.hpp"
#include "toolstack/xenctrl/call.hpp"

namespace xenctrl {

using base::Unit;

/// Room for any policy of this machine.
Outcome<Control::PolicyRoom> Control::policy_room() {
    auto op = OTRY(sysctl_buffer(xen::XEN_SYSCTL_get_cpu_policy));
    op->u.cpu_policy.index = static_cast<uint32_t>(PolicyKind::host);
    OTRY(sysctl(op, "size the CPU features"));
    constexpr uint32_t most = 4096;
    auto leaves = OTRY(Buffer<xen::CpuidLeaf>::make(backend_, std::min(op->u.cpu_policy.nr_leaves, most)));
    auto msrs = OTRY(Buffer<xen::MsrEntry>::make(backend_, std::min(op->u.cpu_policy.nr_msrs, most)));
    return PolicyRoom{std::move(leaves), std::move(msrs)};
}

namespace {

/// Points the operation to the room.
template <class Op, class Room>
void offer(Op& op, const Room& room) {
    op.nr_leaves = static_cast<uint32_t>(room.leaves.size());
    op.nr_msrs = static_cast<uint32_t>(room.msrs.size());
    op.leaves.addr = room.leaves.address();
    op.msrs.addr = room.msrs.address();
}

/// What the operation left there.
template <class Op, class Room>
CpuPolicy taken(const Op& op, const Room& room) {
    CpuPolicy policy;
    for (const xen::CpuidLeaf& l : room.leaves.values().first(std::min<size_t>(op.nr_leaves, room.leaves.size())))
        policy.leaves.push_back({l.leaf, l.subleaf, l.a, l.b, l.c, l.d});
    for (const xen::MsrEntry& m : room.msrs.values().first(std::min<size_t>(op.nr_msrs, room.msrs.size())))
        policy.msrs.push_back({m.idx, m.val});
    return policy;
}

}  // namespace

Outcome<CpuPolicy> Control::system_cpu_policy(PolicyKind kind) {
    const PolicyRoom room = OTRY(policy_room());
    auto op = OTRY(sysctl_buffer(xen::XEN_SYSCTL_get_cpu_policy));
    op->u.cpu_policy.index = static_cast<uint32_t>(kind);
    offer(op->u.cpu_policy, room);
    OTRY(sysctl(op, "read the CPU features"));
    return taken(op->u.cpu_policy, room);
}

Outcome<CpuPolicy> Control::cpu_policy(DomId domain) {
    const PolicyRoom room = OTRY(policy_room());
    auto op = OTRY(domctl_buffer(domain, xen::XEN_DOMCTL_get_cpu_policy));
    offer(op->u.cpu_policy, room);
    OTRY(domctl(op, "read the CPU features"));
    return taken(op->u.cpu_policy, room);
}

Outcome<> Control::set_cpu_policy(DomId domain, const CpuPolicy& policy) {
    auto leaves = OTRY(Buffer<xen::CpuidLeaf>::make(backend_, policy.leaves.size()));
    auto msrs = OTRY(Buffer<xen::MsrEntry>::make(backend_, policy.msrs.size()));
    std::ranges::transform(policy.leaves, leaves.get(),
                           [](const CpuidLeaf& l) { return xen::CpuidLeaf{l.leaf, l.subleaf, l.a, l.b, l.c, l.d}; });
    std::ranges::transform(policy.msrs, msrs.get(), [](const MsrEntry& m) { return xen::MsrEntry{m.index, 0, m.value}; });
    auto op = OTRY(domctl_buffer(domain, xen::XEN_DOMCTL_set_cpu_policy));
    auto& p = op->u.cpu_policy;
    p.nr_leaves = static_cast<uint32_t>(policy.leaves.size());
    p.nr_msrs = static_cast<uint32_t>(policy.msrs.size());
    p.leaves.addr = leaves.address();
    p.msrs.addr = msrs.address();
    p.err_leaf = p.err_subleaf = p.err_msr = ~0U;
    auto set = domctl(op, "set the CPU features");
    if (set || p.err_leaf == ~0U) return set;
    return std::move(set).take_failure().with("CPUID leaf " + std::to_string(p.err_leaf) + " is refused");
}

Outcome<TscInfo> Control::tsc_info(DomId domain) {
    auto op = OTRY(domctl_buffer(domain, xen::XEN_DOMCTL_gettscinfo));
    OTRY(domctl(op, "read the time stamp counter"));
    const xen::DomctlTscInfo& t = op->u.tsc_info;
    return TscInfo{t.tsc_mode, t.gtsc_khz, t.incarnation, t.elapsed_nsec};
}

Outcome<> Control::set_tsc_info(DomId domain, const TscInfo& info) {
    auto op = OTRY(domctl_buffer(domain, xen::XEN_DOMCTL_settscinfo));
    op->u.tsc_info = {info.mode, info.khz, info.incarnation, 0, info.elapsed_ns};
    return domctl(op, "set the time stamp counter");
}

}  // namespace xenctrl
