// SPDX-License-Identifier: Apache-2.0
/// HYPERVISOR_xen_version: what we are.
#include "abi/xen/version.hpp"

#include <cstring>

#include "abi/xen/arch_x86.hpp"
#include "abi/xen/features.hpp"
#include "hypervisor/hypercall/handlers.hpp"
#include "hypervisor/hypercall/machine_info.hpp"
#include "hypervisor/hypercall/row.hpp"
#include "hypervisor/hypercall/text.hpp"
#include "hypervisor/hypercall/version_info.hpp"

namespace hv {

namespace {

/// A space ends each name; tools look for "xen-3.0-x86_64 " as a word.
constexpr char capabilities[] = "xen-3.0-x86_64 ";

Status compile_info(Vcpu&, GuestPtr<xen::CompileInfo> p) {
    auto info = xen::zeroed<xen::CompileInfo>();
    copy_text(info.compiler, version_info::compiler);
    copy_text(info.compile_by, version_info::compile_by);
    copy_text(info.compile_domain, version_info::compile_domain);
    copy_text(info.compile_date, machine_info.build_date);
    return p.store(info);
}

constexpr uint32_t bit(uint32_t feature) { return 1u << feature; }

uint32_t features_of(const Domain& d) {
    uint32_t f = bit(xen::XENFEAT_memory_op_vnode_supported) | bit(xen::XENFEAT_mmu_pt_update_preserve_ad) |
                 bit(xen::XENFEAT_highmem_assist) | bit(xen::XENFEAT_gnttab_map_avail_bits) | bit(xen::XENFEAT_not_direct_mapped);
    if ((d.vm_assist >> xen::VMASST_TYPE_pae_extended_cr3) & 1) f |= bit(xen::XENFEAT_pae_pgdir_above_4gb);
    if (authorised(d, Who::control)) f |= bit(xen::XENFEAT_dom0);
    return f;
}

Status get_features(Vcpu& v, GuestPtr<xen::FeatureInfo> p) {
    xen::FeatureInfo f = TRY(p.fetch());
    if (f.submap_idx >= xen::XENFEAT_NR_SUBMAPS) return Err{Errc::inval};
    f.submap = features_of(v.domain);
    return p.store(f);
}

template <size_t N>
Status store_text(AnyGuestPtr to, const char (&text)[N]) {
    if (!arch::copy_to_guest(to.address(), text, N)) return Err{Errc::fault};
    return ok;
}

Answer version(Vcpu&, AnyGuestPtr) { return uint64_t{version_info::major_version} << 16 | version_info::minor_version; }
Status extra_version(Vcpu&, AnyGuestPtr to) { return store_text(to, version_info::extra); }
Status changeset_of(Vcpu&, AnyGuestPtr to) { return store_text(to, version_info::changeset); }

Status capabilities_of(Vcpu&, AnyGuestPtr to) {
    if (!arch::clear_guest(to.address(), xen::XEN_CAPABILITIES_INFO_LEN)) return Err{Errc::fault};
    return store_text(to, capabilities);
}

Status platform_parameters(Vcpu&, GuestPtr<xen::PlatformParameters> p) { return p.store({xen::HYPERVISOR_VIRT_START}); }

Answer size_of_page(Vcpu&, AnyGuestPtr arg) {
    if (!arg.null()) return Err{Errc::inval};
    return page_size;
}

Status guest_handle(Vcpu& v, GuestPtr<xen::DomainHandle> p) {
    return p.store(*reinterpret_cast<const xen::DomainHandle*>(v.domain.handle));
}

Status command_line(Vcpu& v, AnyGuestPtr to) {
    return authorised(v.domain, Who::control) ? store_text(to, machine_info.command_line) : store_text(to, "<denied>");
}

/// `refused`: the image carries no build id.
// clang-format off
using OnVersion = Operations<
    Op<xen::XENVER_version,             version>,
    Op<xen::XENVER_extraversion,        extra_version>,
    Op<xen::XENVER_compile_info,        compile_info>,
    Op<xen::XENVER_capabilities,        capabilities_of>,
    Op<xen::XENVER_changeset,           changeset_of>,
    Op<xen::XENVER_platform_parameters, platform_parameters>,
    Op<xen::XENVER_get_features,        get_features>,
    Op<xen::XENVER_pagesize,            size_of_page>,
    Op<xen::XENVER_guest_handle,        guest_handle>,
    Op<xen::XENVER_commandline,         command_line>,
    Op<xen::XENVER_build_id,            refused<Errc::nodata>>>;
// clang-format on

}  // namespace

Answer hypercall_xen_version(Vcpu& v, uint64_t cmd, AnyGuestPtr arg) { return OnVersion::run("xen_version", cmd, v, arg); }

}  // namespace hv
