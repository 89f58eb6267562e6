// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/guest/pv/descriptors.hpp"

#include "abi/xen/arch_x86.hpp"
#include "hypervisor/arch/x86/guest_state.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/guest/pv/pt_update.hpp"
#include "hypervisor/guest/pv/types.hpp"
#include "hypervisor/mm/dirty.hpp"

namespace hv {
namespace {

constexpr uint32_t descriptors_per_page = 512;
constexpr uint64_t window_flags = pte::present | pte::accessed | pte::rw | pte::dirty | pte::nx;

uint32_t pages_for(uint32_t entries) { return (entries + descriptors_per_page - 1) / descriptors_per_page; }

/// The vCPU's window holds what get_segdesc() took.
void put_segdesc(Domain& d, Mfn m) REQUIRES(d.pv->lock) {
    PageInfo& p = page_of(m);
    dirtied(m);                 // CPUs have marked the descriptors that they loaded
    (void)put_page_type(d, p);  // descriptor pages are released at once
    put_page(p);
}

/// Takes a reference on a descriptor page.
Status get_segdesc(Domain& d, Mfn m) REQUIRES(d.pv->lock) {
    if (!mfn_valid(m) || !get_page(page_of(m), d.id)) return Err{Errc::inval};
    const Status s = get_page_type(d, page_of(m), PageType::segdesc);
    if (!s) put_page(page_of(m));
    return s;
}

/// All of them, or none.
Status get_segdescs(Domain& d, const Mfn* frames, uint32_t n) REQUIRES(d.pv->lock) {
    for (uint32_t i = 0; i < n; ++i) {
        const Status s = get_segdesc(d, frames[i]);
        if (s) continue;
        while (i-- > 0) put_segdesc(d, frames[i]);
        return s;
    }
    return ok;
}

/// CPUs walk the window at any time.
void set_window(PvVcpu& pv, uint32_t i, uint64_t entry) { __atomic_store_n(pv.descriptor_l1 + i, entry, __ATOMIC_RELEASE); }

void drop_gdt(Vcpu& v) REQUIRES(v.domain.pv->lock) {
    PvVcpu& pv = *v.pv;
    for (uint32_t i = 0; i < pages_for(pv.gdt_entries); ++i) {
        set_window(pv, i, 0);
        put_segdesc(v.domain, pv.gdt_frames[i]);
    }
    pv.gdt_entries = 0;
}

void drop_ldt(Vcpu& v) REQUIRES(v.domain.pv->lock) {
    PvVcpu& pv = *v.pv;
    for (uint32_t i = 0; i < pages_for(pv.ldt_entries); ++i) {
        set_window(pv, 16 + i, 0);
        put_segdesc(v.domain, pv.ldt_frames[i]);
    }
    pv.ldt_entries = 0;
    pv.ldt_base = 0;
}

/// The window's translations changed under the CPU that uses them.
void reload(Vcpu& v) {
    if (&v != this_cpu().current) return;
    for (unsigned i = 0; i < 32; ++i) arch::flush_tlb_page_local(gdt_va(v.id) + i * page_size);
    arch::load_guest_ldt(v);
}

}  // namespace

Status pv_set_gdt(Vcpu& v, const Mfn* frames, uint32_t entries) {
    if (entries > xen::FIRST_RESERVED_GDT_ENTRY) return Err{Errc::inval};
    PvVcpu& pv = *v.pv;
    const uint32_t pages = pages_for(entries);
    Guard g(v.domain.pv->lock);
    TRY(get_segdescs(v.domain, frames, pages));
    drop_gdt(v);
    for (uint32_t i = 0; i < pages; ++i) {
        pv.gdt_frames[i] = frames[i];
        set_window(pv, i, frames[i].address() | window_flags);
    }
    pv.gdt_entries = entries;
    reload(v);
    return ok;
}

Status pv_set_ldt(Vcpu& v, uint64_t base, uint32_t entries) {
    if (entries > ldt_max_entries || (base & (page_size - 1))) return Err{Errc::inval};
    if (entries != 0 && base + uint64_t{entries} * 8 > xen::HYPERVISOR_VIRT_START && base < xen::HYPERVISOR_VIRT_END)
        return Err{Errc::inval};
    PvVcpu& pv = *v.pv;
    const uint32_t pages = pages_for(entries);
    Mfn frames[ldt_max_pages];
    Guard g(v.domain.pv->lock);
    for (uint32_t i = 0; i < pages; ++i) {
        const uint64_t* slot = find_l1_slot(pv.kernel_root, base + i * page_size);
        frames[i] = Mfn::of_address(slot && (*slot & pte::present) ? *slot & pte::frame_mask : 0);  // 0 is no guest's
    }
    TRY(get_segdescs(v.domain, frames, pages));
    drop_ldt(v);
    for (uint32_t i = 0; i < pages; ++i) {
        pv.ldt_frames[i] = frames[i];
        set_window(pv, 16 + i, frames[i].address() | window_flags);
    }
    pv.ldt_base = base;
    pv.ldt_entries = entries;
    reload(v);
    return ok;
}

void pv_clear_descriptors(Vcpu& v) {
    Guard g(v.domain.pv->lock);
    drop_gdt(v);
    drop_ldt(v);
}

Status pv_update_descriptor(Domain& d, uint64_t machine_address, uint64_t descriptor) {
    if (machine_address & 7) return Err{Errc::inval};
    TRY(check_descriptor(descriptor));
    PageRef ref = TRY(PageRef::acquire(Mfn::of_address(machine_address), d.id));
    PageInfo& p = ref.page();
    Guard g(d.pv->lock);
    const uint64_t x = p.type.load(std::memory_order_acquire);
    const bool descriptors = (x & page::users_mask) && type_of(x) == PageType::segdesc;
    uint64_t* slot = map_mfn<uint64_t>(ref.mfn()) + (machine_address & (page_size - 1)) / 8;
    WritableRef as_memory;
    if (!descriptors) as_memory = TRY(WritableRef::of(std::move(ref)));
    __atomic_store_n(slot, descriptor, __ATOMIC_RELEASE);
    dirtied(slot);
    return ok;
}

}  // namespace hv
