// SPDX-License-Identifier: Apache-2.0
/// HYPERVISOR_xen_version: what we are. The interfaces are Xen 4.17's, so that is the version; the rest names ourselves.
#include "abi/xen/version.hpp"

#include <cstring>

#include "abi/xen/arch_x86.hpp"
#include "abi/xen/features.hpp"
#include "hypervisor/hypercall/handlers.hpp"
#include "hypervisor/hypercall/machine_info.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv {

namespace {

using Answer = Result<uint64_t>;

constexpr uint64_t version_major = 4;
constexpr uint64_t version_minor = 17;
constexpr char extraversion[xen::XEN_EXTRAVERSION_LEN] = ".0-xenolith";
/// A space ends each name; tools look for "xen-3.0-x86_64 " as a word.
constexpr char capabilities[] = "xen-3.0-x86_64 ";
constexpr char changeset[xen::XEN_CHANGESET_INFO_LEN] = "xenolith";

void copy_text(char* to, size_t size, const char* from) {
    size_t i = 0;
    for (; i + 1 < size && from[i]; ++i) to[i] = from[i];
    memset(to + i, 0, size - i);
}

Answer compile_info(uint64_t arg) {
    auto info = xen::zeroed<xen::CompileInfo>();
    copy_text(info.compiler, sizeof info.compiler, "C++ " __VERSION__);
    copy_text(info.compile_by, sizeof info.compile_by, "xenolith");
    copy_text(info.compile_domain, sizeof info.compile_domain, "localdomain");
    copy_text(info.compile_date, sizeof info.compile_date, machine_info.build_date);
    TRY(GuestPtr<xen::CompileInfo>(arg).store(info));
    return 0;
}

constexpr uint32_t bit(uint32_t feature) { return 1u << feature; }

uint32_t features_of(const Domain& d) {
    uint32_t f = bit(xen::XENFEAT_memory_op_vnode_supported) | bit(xen::XENFEAT_mmu_pt_update_preserve_ad) |
                 bit(xen::XENFEAT_highmem_assist) | bit(xen::XENFEAT_gnttab_map_avail_bits) | bit(xen::XENFEAT_not_direct_mapped);
    if ((d.vm_assist >> xen::VMASST_TYPE_pae_extended_cr3) & 1) f |= bit(xen::XENFEAT_pae_pgdir_above_4gb);
    if (d.privileged) f |= bit(xen::XENFEAT_dom0);
    return f;
}

Answer get_features(const Domain& d, uint64_t arg) {
    const auto p = GuestPtr<xen::FeatureInfo>(arg);
    xen::FeatureInfo f = TRY(p.fetch());
    if (f.submap_idx >= xen::XENFEAT_NR_SUBMAPS) return Err{Errc::inval};
    f.submap = features_of(d);
    TRY(p.store(f));
    return 0;
}

template <size_t N>
Answer store_text(uint64_t arg, const char (&text)[N]) {
    if (!arch::copy_to_guest(arg, text, N)) return Err{Errc::fault};
    return 0;
}

Answer store_capabilities(uint64_t arg) {
    if (!arch::clear_guest(arg, xen::XEN_CAPABILITIES_INFO_LEN)) return Err{Errc::fault};
    return store_text(arg, capabilities);
}

Answer store_parameters(uint64_t arg) {
    TRY(GuestPtr<xen::PlatformParameters>(arg).store({xen::HYPERVISOR_VIRT_START}));
    return 0;
}

}  // namespace

Result<uint64_t> hypercall_xen_version(Vcpu& v, const uint64_t (&args)[6]) {
    const uint64_t arg = args[1];
    switch (args[0]) {
        case xen::XENVER_version: return version_major << 16 | version_minor;
        case xen::XENVER_extraversion: return store_text(arg, extraversion);
        case xen::XENVER_compile_info: return compile_info(arg);
        case xen::XENVER_capabilities: return store_capabilities(arg);
        case xen::XENVER_changeset: return store_text(arg, changeset);
        case xen::XENVER_platform_parameters: return store_parameters(arg);
        case xen::XENVER_get_features: return get_features(v.domain, arg);
        case xen::XENVER_pagesize:
            if (arg != 0) return Err{Errc::inval};
            return page_size;
        case xen::XENVER_guest_handle:
            TRY(GuestPtr<xen::DomainHandle>(arg).store(*reinterpret_cast<const xen::DomainHandle*>(v.domain.handle)));
            return 0;
        case xen::XENVER_commandline:
            if (!v.domain.privileged) return store_text(arg, "<denied>");
            return store_text(arg, machine_info.command_line);
        case xen::XENVER_build_id: return Err{Errc::nodata};  // the image carries none
        default:
            guest_log(LogLevel::debug, "d%u: unknown xen_version %lu", unsigned{v.domain.id.raw}, args[0]);
            return Err{Errc::nosys};
    }
}

}  // namespace hv
