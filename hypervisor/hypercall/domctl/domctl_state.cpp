// SPDX-License-Identifier: Apache-2.0
/// vCPU state beyond VcpuGuestContext: extended registers, callbacks, MSRs, CPUID.
#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/cpu_policy/policy.hpp"
#include "hypervisor/cpu_policy/speculation.hpp"
#include "hypervisor/domain/guest_kind.hpp"
#include "hypervisor/hypercall/domctl/domctl.hpp"
#include "hypervisor/hypercall/sysctl/policy_copy.hpp"

namespace hv::domctl {

namespace {

// -- extended registers -----------------------------------------------------------------------------------------------

/// In front of the XSAVE area: XCR0, and all bits XCR0 ever had.
struct ExtendedHeader {
    uint64_t xcr0;
    uint64_t xcr0_accumulated;
};
constexpr uint64_t x87_sse = 3;
constexpr size_t legacy_bytes = 512;
constexpr size_t header_bytes = 64;

Status get_extended(const Call& c, Vcpu& v) {
    xen::DomctlVcpuExtState& e = c.op.u.vcpuextstate;
    const uint64_t size = sizeof(ExtendedHeader) + cpu_features.xsave_size;
    if (e.size == 0 && e.xfeature_mask == 0) {
        e.xfeature_mask = cpu_features.xcr0;
        e.size = size;
        return c.done();
    }
    if (e.size != size || e.xfeature_mask != cpu_features.xcr0) return Err{Errc::inval};
    Paused p(c);
    const ExtendedHeader h{v.state.xcr0, v.state.xcr0 | x87_sse};
    TRY(GuestPtr<ExtendedHeader>(e.buffer.addr).store(h));
    if (!arch::copy_to_guest(e.buffer.addr + sizeof h, v.state.fpu, cpu_features.xsave_size)) return Err{Errc::fault};
    return c.done();
}

/// XSETBV and XRSTOR will run on them, in ring 0. Errors: inval.
Status check_header(const ExtendedHeader& h) {
    if (!xcr0_allowed(h.xcr0) || !xcr0_allowed(h.xcr0_accumulated)) return Err{Errc::inval};
    if (h.xcr0 & ~h.xcr0_accumulated) return Err{Errc::inval};
    return ok;
}

/// An area that XRSTOR will take, of components that XCR0 once had. Errors: inval.
Status check_area(const uint8_t* area, uint64_t xcr0_accumulated) {
    uint64_t header[header_bytes / 8];
    memcpy(header, area + legacy_bytes, sizeof header);
    if (header[0] & ~xcr0_accumulated) return Err{Errc::inval};  // XSTATE_BV
    for (size_t i = 1; i < header_bytes / 8; ++i)
        if (header[i]) return Err{Errc::inval};  // XCOMP_BV: compacted form; the rest is reserved
    uint32_t mxcsr = 0;
    memcpy(&mxcsr, area + 24, sizeof mxcsr);
    if (mxcsr & ~0xffffu) return Err{Errc::inval};
    return ok;
}

Status set_extended(const Call& c, Vcpu& v) {
    const xen::DomctlVcpuExtState& e = c.op.u.vcpuextstate;
    const uint64_t area_size = cpu_features.xsave_size;
    if (area_size < legacy_bytes + header_bytes) return Err{Errc::opnotsupp};
    if (e.size == sizeof(ExtendedHeader)) return ok;  // a vCPU that never had any
    if (e.size < sizeof(ExtendedHeader) + legacy_bytes + header_bytes || e.size > sizeof(ExtendedHeader) + area_size)
        return Err{Errc::inval};
    const auto h = TRY(GuestPtr<ExtendedHeader>(e.buffer.addr).fetch());
    TRY(check_header(h));
    auto* area = static_cast<uint8_t*>(TRY(heap::alloc_bytes(area_size)));
    memset(area, 0, area_size);  // a shorter one has none of the last components
    Status s = ok;
    if (!arch::copy_from_guest(area, e.buffer.addr + sizeof h, e.size - sizeof h)) s = Err{Errc::fault};
    if (s) s = check_area(area, h.xcr0_accumulated);
    if (s) {
        Paused p(c);
        memcpy(v.state.fpu, area, area_size);
        v.state.xcr0 = h.xcr0;
    }
    heap::free_bytes(area, area_size);
    return s;
}

}  // namespace

Status vcpu_extended_state(const Call& c) {
    Vcpu& v = *TRY(c.vcpu(c.op.u.vcpuextstate.vcpu));
    return c.op.cmd == xen::XEN_DOMCTL_getvcpuextstate ? get_extended(c, v) : set_extended(c, v);
}

// -- callbacks beyond those of the context ----------------------------------------------------------------------------

Status extended_context(const Call& c) {
    xen::DomctlExtVcpuContext& e = c.op.u.ext_vcpucontext;
    Vcpu& v = *TRY(c.vcpu(e.vcpu));
    constexpr uint32_t size = offsetof(xen::DomctlExtVcpuContext, mcg_cap) + sizeof(xen::HvmVmceVcpu);
    Paused p(c);
    if (c.op.cmd == xen::XEN_DOMCTL_get_ext_vcpucontext) {
        const uint32_t id = e.vcpu;
        e = xen::zeroed<xen::DomctlExtVcpuContext>();
        e.vcpu = id;
        e.size = size;
        c.d.kind.get_callbacks(v, e);
        return c.done();
    }
    if (e.size < offsetof(xen::DomctlExtVcpuContext, mcg_cap)) return Err{Errc::inval};
    return c.d.kind.set_callbacks(v, e);
}

/// One MSR of a PV guest has to move with it, SPEC_CTRL, unless it is as in a new one. Without a list: how long it may get.
Status vcpu_msrs(const Call& c) {
    xen::DomctlVcpuMsrs& m = c.op.u.vcpu_msrs;
    Vcpu& v = *TRY(c.vcpu(m.vcpu));
    const auto list = GuestPtr<xen::DomctlVcpuMsr>::of(m.msrs);
    constexpr uint32_t spec_ctrl = 0x48;
    if (c.op.cmd == xen::XEN_DOMCTL_set_vcpu_msrs) {
        if (m.msr_count == 0) return ok;
        if (m.msr_count > 1) return Err{Errc::inval};
        const xen::DomctlVcpuMsr msr = TRY(list.fetch(0));
        Paused p(c);
        const bool taken = msr.index == spec_ctrl && !msr.reserved && write_speculation_msr(v, spec_ctrl, msr.value);
        return taken ? Status(ok) : Status(Err{Errc::inval});
    }
    const xen::DomctlVcpuMsr msr{spec_ctrl, 0, v.state.spec_ctrl};
    if (!m.msrs.is_null() && msr.value != 0 && m.msr_count == 0) return Err{Errc::nobufs};
    if (!m.msrs.is_null() && msr.value != 0) TRY(list.store(msr, 0));
    m.msr_count = msr.value != 0 ? 1 : 0;
    return c.done();
}

// -- CPUID ------------------------------------------------------------------------------------------------------------

namespace {

Status set_policy(const Call& c) {
    xen::DomctlCpuPolicy& p = c.op.u.cpu_policy;
    if (c.on_self()) return Err{Errc::inval};
    if (c.d.creation_finished.load(std::memory_order_acquire)) return Err{Errc::exist};
    if (p.nr_leaves > CpuPolicy::capacity || p.nr_msrs > policy_msr_capacity) return Err{Errc::toobig};
    if (p.nr_leaves == 0) return ok;
    const uint32_t n = p.nr_leaves;
    xen::CpuidLeaf* leaves = TRY(make_array<xen::CpuidLeaf>(n));
    Status s = GuestPtr<xen::CpuidLeaf>::of(p.leaves).fetch_many(leaves, n);
    const bool fetched = static_cast<bool>(s);
    const Status set = fetched ? set_domain_policy(c.d, {leaves, n}) : Status(Err{s.error()});
    destroy_array(leaves, n);
    constexpr uint32_t no_leaf = ~0u;
    p.err_leaf = p.err_subleaf = p.err_msr = no_leaf;
    TRY(c.arg.store(c.op));
    if (!set) return Err{set.error()};
    return ok;
}

}  // namespace

Status cpu_policy(const Call& c) {
    if (c.op.cmd == xen::XEN_DOMCTL_set_cpu_policy) return set_policy(c);
    xen::DomctlCpuPolicy& p = c.op.u.cpu_policy;
    TRY(copy_policy_out(domain_policy(c.d), p.leaves, p.nr_leaves, p.msrs, p.nr_msrs));
    return c.done();
}

}  // namespace hv::domctl
