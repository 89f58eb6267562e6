// SPDX-License-Identifier: Apache-2.0
/// Arguments across the edge of a page behind which nothing is mapped, or only readable, or at addresses that are none.
#include "abi/xen/callback.hpp"
#include "abi/xen/event_channel.hpp"
#include "abi/xen/grant_table.hpp"
#include "abi/xen/memory.hpp"
#include "abi/xen/sched.hpp"
#include "abi/xen/vcpu.hpp"
#include "guests/hostile/hostile.hpp"

namespace {

using namespace hostile;
using namespace xen;

constexpr long efault = -14;
Page argument[2];

/// Calls that take a pointer in the register of that index, and the other registers.
struct Call {
    unsigned number;
    unsigned pointer;
    uint64_t registers[4];
    bool reads;  ///< it must read what the pointer names, so that it fails where it cannot
};
constexpr Call calls[] = {
    {HYPERVISOR_set_trap_table, 0, {}, true},
    {HYPERVISOR_mmu_update, 0, {0, 4, 0, DOMID_SELF}, true},
    {HYPERVISOR_mmuext_op, 0, {0, 4, 0, DOMID_SELF}, true},
    {HYPERVISOR_multicall, 0, {0, 2}, true},
    {HYPERVISOR_set_gdt, 0, {0, 512}, true},
    // These three say how many extents they have done: none.
    {HYPERVISOR_memory_op, 1, {XENMEM_increase_reservation}, false},
    {HYPERVISOR_memory_op, 1, {XENMEM_decrease_reservation}, false},
    {HYPERVISOR_memory_op, 1, {XENMEM_populate_physmap}, false},
    {HYPERVISOR_memory_op, 1, {XENMEM_exchange}, true},
    {HYPERVISOR_memory_op, 1, {XENMEM_memory_map}, false},
    {HYPERVISOR_memory_op, 1, {XENMEM_machphys_mfn_list}, true},
    {HYPERVISOR_event_channel_op, 1, {EVTCHNOP_alloc_unbound}, true},
    {HYPERVISOR_event_channel_op, 1, {EVTCHNOP_bind_virq}, true},
    {HYPERVISOR_event_channel_op, 1, {EVTCHNOP_status}, true},
    {HYPERVISOR_event_channel_op, 1, {EVTCHNOP_init_control}, true},
    {HYPERVISOR_grant_table_op, 1, {GNTTABOP_map_grant_ref, 0, 2}, true},
    {HYPERVISOR_grant_table_op, 1, {GNTTABOP_unmap_grant_ref, 0, 2}, true},
    {HYPERVISOR_grant_table_op, 1, {GNTTABOP_copy, 0, 2}, true},
    {HYPERVISOR_grant_table_op, 1, {GNTTABOP_setup_table, 0, 1}, true},
    {HYPERVISOR_sched_op, 1, {SCHEDOP_poll}, true},
    {HYPERVISOR_callback_op, 1, {CALLBACKOP_register}, true},
    {HYPERVISOR_vcpu_op, 2, {VCPUOP_initialise, 1}, true},
    {HYPERVISOR_vcpu_op, 2, {VCPUOP_get_runstate_info, 0}, false},
    {HYPERVISOR_vcpu_op, 2, {VCPUOP_set_singleshot_timer, 0}, true},
    {HYPERVISOR_vcpu_op, 2, {VCPUOP_register_runstate_memory_area, 0}, true},
    {HYPERVISOR_xen_version, 1, {3}, false},
    {HYPERVISOR_physdev_op, 1, {6}, true},
    {HYPERVISOR_domctl, 0, {}, false},
    {HYPERVISOR_sysctl, 0, {}, false},
    {HYPERVISOR_platform_op, 0, {}, false},
    {HYPERVISOR_hvm_op, 1, {0}, false},
    {HYPERVISOR_xenpmu_op, 1, {0}, false},
};

long make(const Call& c, uint64_t pointer) {
    uint64_t r[4] = {c.registers[0], c.registers[1], c.registers[2], c.registers[3]};
    r[c.pointer] = pointer;
    return hypercall(c.number, r[0], r[1], r[2], r[3]);
}

void at_the_edge() {
    const uint64_t distances[] = {1, 2, 3, 4, 7};
    for (const Call& c : calls) {
        for (const uint64_t before : distances) {
            const long result = make(c, addr(&argument[1]) - before);
            if (!c.reads || result == efault || (c.number == HYPERVISOR_callback_op && before > 4) ||
                (c.number == HYPERVISOR_physdev_op && before >= 4))  // its argument is all there
                continue;
            ++failures;
            print("guest: FAILED: call ", c.number, ".", c.registers[0], ", ", before, " bytes before the edge: ", result, "\n");
        }
    }
}

}  // namespace

int guest_main() {
    expect("an edge", set_entry(&argument[1], 0) == 0);
    at_the_edge();
    for (const Call& c : calls)
        for (const uint64_t nowhere : forbidden) {
            if (nowhere == 0 && c.number == HYPERVISOR_set_trap_table) continue;  // says: none
            const long result = make(c, nowhere);
            if (!c.reads || result < 0) continue;
            ++failures;
            print("guest: FAILED: call ", c.number, ".", c.registers[0], " at ", Hex{nowhere}, ": ", result, "\n");
        }
    expect("a page that is only readable", protect(&argument[1], read_only) == 0);
    // A poll for no port without an end would be one.
    for (const Call& c : calls)
        if (c.number != HYPERVISOR_set_trap_table && c.number != HYPERVISOR_sched_op) make(c, addr(&argument[1]) - 4);
    install_traps();
    return failures;
}
