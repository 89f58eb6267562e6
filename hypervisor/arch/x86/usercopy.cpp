// SPDX-License-Identifier: Apache-2.0
/// Copies between the hypervisor and the guest's address space that is loaded, safe against any guest address.
#include "abi/xen/arch_x86.hpp"
#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/arch/x86/features.hpp"
#include "lib/base/bits.hpp"

namespace hv {

extern "C" uint64_t copy_bytes_fault_safe(void* dst, const void* src, uint64_t n);
extern "C" uint64_t clear_bytes_fault_safe(void* dst, uint64_t n);

namespace arch {
namespace {

/// Outside the hypervisor's part of the address space, without wrapping.
bool guest_range(uint64_t gva, size_t n) {
    const uint64_t end = gva + n;
    if (end < gva || !base::canonical(gva)) return false;
    return end <= xen::HYPERVISOR_VIRT_START || gva >= xen::HYPERVISOR_VIRT_END;
}

/// Opens the guest's memory to ring 0 for a scope, on CPUs with SMAP.
class GuestAccess {
public:
    GuestAccess() {
        if (cpu_features.smap) asm volatile("stac" : : : "memory");
    }
    ~GuestAccess() {
        if (cpu_features.smap) asm volatile("clac" : : : "memory");
    }
};

}  // namespace

bool copy_from_guest(void* dst, uint64_t gva, size_t n) {
    if (!guest_range(gva, n)) return false;
    GuestAccess open;
    return copy_bytes_fault_safe(dst, reinterpret_cast<const void*>(gva), n) == 0;
}

bool copy_to_guest(uint64_t gva, const void* src, size_t n) {
    if (!guest_range(gva, n)) return false;
    GuestAccess open;
    return copy_bytes_fault_safe(reinterpret_cast<void*>(gva), src, n) == 0;
}

bool clear_guest(uint64_t gva, size_t n) {
    if (!guest_range(gva, n)) return false;
    GuestAccess open;
    return clear_bytes_fault_safe(reinterpret_cast<void*>(gva), n) == 0;
}

}  // namespace arch
}  // namespace hv
