// SPDX-License-Identifier: Apache-2.0
// What of a vCPU moves with it beside its context.
#include <algorithm>
#include <cstring>

#include "abi/xen/domctl.hpp"
#include "toolstack/xenctrl/call.hpp"

namespace xenctrl {

using base::Errc;
using base::Unit;

Outcome<std::vector<std::byte>> Control::vcpu_extended(DomId domain, VcpuId vcpu) {
    auto op = OTRY(domctl_buffer(domain, xen::XEN_DOMCTL_get_ext_vcpucontext));
    op->u.ext_vcpucontext.vcpu = vcpu.raw;
    OTRY(domctl(op, "read the callbacks of a CPU"));
    const auto all = std::as_bytes(std::span(&op->u.ext_vcpucontext, 1));
    const auto used = all.first(std::min<size_t>(op->u.ext_vcpucontext.size, all.size()));
    return std::vector<std::byte>(used.begin(), used.end());
}

Outcome<> Control::set_vcpu_extended(DomId domain, VcpuId vcpu, std::span<const std::byte> state) {
    auto op = OTRY(domctl_buffer(domain, xen::XEN_DOMCTL_set_ext_vcpucontext));
    if (state.size() > sizeof op->u.ext_vcpucontext)
        return base::fail(Errc::inval, "The callbacks of a CPU" + of_domain(domain) + " are too long");
    std::memcpy(&op->u.ext_vcpucontext, state.data(), state.size());
    op->u.ext_vcpucontext.vcpu = vcpu.raw;
    op->u.ext_vcpucontext.size = static_cast<uint32_t>(state.size());
    return domctl(op, "set the callbacks of a CPU");
}

Outcome<std::vector<std::byte>> Control::vcpu_xsave(DomId domain, VcpuId vcpu) {
    auto op = OTRY(domctl_buffer(domain, xen::XEN_DOMCTL_getvcpuextstate));
    auto& state = op->u.vcpuextstate;
    state.vcpu = vcpu.raw;
    OTRY(domctl(op, "size the vector registers of a CPU"));
    constexpr uint64_t most = 1U << 20U;
    auto area = OTRY(Buffer<std::byte>::make(backend_, std::min(state.size, most)));
    if (area.size() == 0) return std::vector<std::byte>();
    state.buffer.addr = area.address();
    OTRY(domctl(op, "read the vector registers of a CPU"));
    const auto used = area.values().first(std::min<size_t>(state.size, area.size()));
    return std::vector<std::byte>(used.begin(), used.end());
}

Outcome<> Control::set_vcpu_xsave(DomId domain, VcpuId vcpu, std::span<const std::byte> state) {
    auto area = OTRY(Buffer<std::byte>::copy_of(backend_, state));
    auto op = OTRY(domctl_buffer(domain, xen::XEN_DOMCTL_setvcpuextstate));
    op->u.vcpuextstate.vcpu = vcpu.raw;
    op->u.vcpuextstate.size = state.size();
    op->u.vcpuextstate.buffer.addr = area.address();
    return domctl(op, "set the vector registers of a CPU");
}

Outcome<std::vector<MsrEntry>> Control::vcpu_msrs(DomId domain, VcpuId vcpu) {
    auto op = OTRY(domctl_buffer(domain, xen::XEN_DOMCTL_get_vcpu_msrs));
    auto& state = op->u.vcpu_msrs;
    state.vcpu = vcpu.raw;
    OTRY(domctl(op, "count the MSRs of a CPU"));
    constexpr uint32_t most = 4096;
    auto list = OTRY(Buffer<xen::DomctlVcpuMsr>::make(backend_, std::min(state.msr_count, most)));
    std::vector<MsrEntry> out;
    if (list.size() == 0) return out;
    state.msrs.addr = list.address();
    OTRY(domctl(op, "read the MSRs of a CPU"));
    for (const xen::DomctlVcpuMsr& m : list.values().first(std::min<size_t>(state.msr_count, list.size())))
        out.push_back({m.index, m.value});
    return out;
}

Outcome<> Control::set_vcpu_msrs(DomId domain, VcpuId vcpu, std::span<const MsrEntry> msrs) {
    auto list = OTRY(Buffer<xen::DomctlVcpuMsr>::make(backend_, msrs.size()));
    std::ranges::transform(msrs, list.get(), [](const MsrEntry& m) { return xen::DomctlVcpuMsr{m.index, 0, m.value}; });
    auto op = OTRY(domctl_buffer(domain, xen::XEN_DOMCTL_set_vcpu_msrs));
    op->u.vcpu_msrs.vcpu = vcpu.raw;
    op->u.vcpu_msrs.msr_count = static_cast<uint32_t>(msrs.size());
    op->u.vcpu_msrs.msrs.addr = list.address();
    return domctl(op, "set the MSRs of a CPU");
}

}  // namespace xenctrl
