// SPDX-License-Identifier: Apache-2.0
/// Tables that name themselves or others of their level: read-only they may, and what is behind them stays harmless.
#include "abi/xen/version.hpp"
#include "guests/hostile/hostile.hpp"

namespace {

using namespace hostile;
using namespace xen;

/// An L4 slot that nobody uses, and those of the hypervisor: its own, and the direct map.
constexpr uint64_t slot = 130, first_hypervisor_slot = 256, end_hypervisor_slot = 272;
constexpr long efault = -14;

Page one, two, three;

uint64_t va_of(uint64_t i4, uint64_t i3, uint64_t i2, uint64_t i1) { return i4 << 39 | i3 << 30 | i2 << 21 | i1 << 12; }
/// Where the linear entry shows the last-level entry of `va`.
volatile uint64_t* shown(uint64_t va) { return at<volatile uint64_t>(va_of(slot, 0, 0, 0) + ((va & 0xffffffffffff) >> 12) * 8); }

long link(const void* table, uint64_t index, const void* to, uint64_t rights) {
    return write_entry(machine_address(static_cast<const char*>(table) + index * 8), mfn_of(to) * page_bytes | rights);
}

void self_reference(uint64_t* root) {
    expect("a root that names itself, writable, is refused", link(root, slot, root, read_write) != 0);
    expect("a root may name itself", link(root, slot, root, read_only) == 0);
    const uint64_t was = root[slot];
    expect("it does not become writable", link(root, slot, root, read_write) != 0);
    expect("nor by another way", write_entry(machine_address(root + slot) | MMU_PT_UPDATE_PRESERVE_AD, was | 2) != 0);
    expect("and is as it was", ((root[slot] ^ was) & ~uint64_t{0x60}) == 0);
    expect("the tables are seen through it", *shown(addr(&one)) == *entry_of(&one));
    expect("the root is", (at<volatile uint64_t>(va_of(slot, slot, slot, slot))[slot] & frame_mask) == (was & frame_mask));
}

void writes() {
    const uint64_t entry = *entry_of(&one);
    // Xen looks at the entry that maps the table, here one of level 2 with its write bit, and passes the fault on.
    const uint64_t vector = caught([&] { *shown(addr(&one)) = entry | 1u << 9; }).vector;
    expect("a last-level entry is written with a check, or not at all",
           *entry_of(&one) == (vector == vector_none ? entry | 1u << 9 : entry));
    expect("and else it is a page fault", vector == vector_none || vector == 14);
    volatile uint64_t* root = at<volatile uint64_t>(va_of(slot, slot, slot, slot));
    expect("the root is not written", caught([&] { root[slot] = 0; }) == 14);
    expect("nor a slot of it given to update_va_mapping",
           hypercall(HYPERVISOR_update_va_mapping, va_of(slot, slot, slot, slot), mfn_of(&one) * page_bytes | read_write, 0) < 0);
}

/// Neither the guest nor a hypercall on its behalf gets through the hypervisor's slots.
void hypervisor_slots() {
    unsigned readable = 0;
    for (uint64_t s = first_hypervisor_slot + 1; s < end_hypervisor_slot; ++s) {
        const uint64_t behind[] = {va_of(slot, s, 0, 0),    va_of(slot, s, 3, 0),    va_of(slot, s, 0, 1),
                                   va_of(slot, slot, s, 0), va_of(slot, slot, s, 3), va_of(slot, slot, slot, s)};
        for (const uint64_t va : behind) {
            expect("the guest faults", caught([&] { (void)*at<volatile uint64_t>(va); }) == 14);
            if (hypercall(HYPERVISOR_set_trap_table, va) != efault) ++readable;
            install_traps();  // Xen keeps what it read before it could read no more
            if (hypercall(HYPERVISOR_mmu_update, va, 1, 0, DOMID_SELF) != efault) ++readable;
            if (hypercall(HYPERVISOR_xen_version, XENVER_get_features, va) != efault) ++readable;
        }
    }
    if (readable) print("guest: ", readable, " hypercalls read what is not the guest's\n");
    // Xen reads its own tables there for a guest that asks so.
    expect("a hypercall reads nothing there", readable == 0 || has_word("on_xen"));
    MmuUpdate* list = at<MmuUpdate>(va_of(slot, slot, slot, slot));
    expect("it reads the guest's own tables", hypercall(HYPERVISOR_mmu_update, addr(list), 1, 0, DOMID_SELF) != efault);
}

/// The depth rule, with three tables of level 3.
void others() {
    Page* const all[] = {&one, &two, &three};
    for (Page* p : all) {
        expect("read-only", protect(p, read_only | no_execute) == 0);
        expect("pinned", mmuext(MMUEXT_PIN_L3_TABLE, mfn_of(p)) == 0);
    }
    expect("another table, writable", link(&one, 1, &two, read_write) != 0);
    expect("another table", link(&one, 1, &two, read_only) == 0);
    expect("a chain behind it", link(&two, 1, &three, read_only) != 0);
    expect("a chain in front of it", link(&three, 1, &one, read_only) != 0);
    expect("itself at the end", link(&two, 2, &two, read_only) == 0);
    expect("the pin may go", mmuext(MMUEXT_UNPIN_TABLE, mfn_of(&two)) == 0);
    expect("it is still a table", protect(&two, read_write | no_execute) != 0);
    expect("the first goes", mmuext(MMUEXT_UNPIN_TABLE, mfn_of(&one)) == 0);
    expect("and it with it", protect(&two, read_write | no_execute) == 0);
    // The third stays pinned, and the root names itself, when the domain ends.
}

}  // namespace

int guest_main() {
    uint64_t* root = table_of(kernel_base, 4);
    self_reference(root);
    writes();
    hypervisor_slots();
    others();
    return failures;
}
