// SPDX-License-Identifier: Apache-2.0
#include "guests/tiny/traps.hpp"

#include "abi/xen/callback.hpp"
#include "guests/tiny/boot.hpp"
#include "guests/tiny/console.hpp"
#include "guests/tiny/events.hpp"
#include "guests/tiny/vcpus.hpp"

extern "C" {
// trap_entry.S
extern char exception_entries[], int80_target[], syscall_target[], sysenter_target[], syscall32_target[], nmi_target[],
    event_target[], failsafe_target[];
bool guarded_call(void (*fn)(void*), void* argument, uint64_t* stack);
[[noreturn]] void guarded_escape(uint64_t stack);

void guest_trap(guest::TrapFrame* frame);
}

namespace guest {

using namespace xen;

namespace {

constexpr uint64_t vector_event = 261, page_fault = 14;
constexpr size_t entry_bytes = 32;
constexpr uint16_t kernel_cs = FLAT_KERNEL_CS;

TrapHandler handler;

uint8_t least_ring(unsigned vector) { return vector == 3 || vector == 4 ? 3 : 0; }

[[noreturn]] void unexpected(const TrapFrame& f) {
    print("guest: unexpected exception ", f.vector, " error ", Hex{f.error}, " rip ", Hex{f.rip}, " cs ", Hex{f.cs}, " rsp ",
          Hex{f.rsp}, " rflags ", Hex{f.rflags}, " cr2 ", Hex{this_vcpu().info->arch.cr2}, "\n");
    print("guest: rax ", Hex{f.rax}, " rbx ", Hex{f.rbx}, " rcx ", Hex{f.rcx}, " rdx ", Hex{f.rdx}, " rsi ", Hex{f.rsi}, " rdi ",
          Hex{f.rdi}, " rbp ", Hex{f.rbp}, "\n");
    power_off(99);
}

void register_callback(uint16_t type, const char* target) {
    CallbackRegister callback{type, CALLBACKF_mask_events, 0, addr(target)};
    if (type == CALLBACKTYPE_nmi) callback.flags = 0;
    hypercall(HYPERVISOR_callback_op, CALLBACKOP_register, addr(&callback));
}

}  // namespace

uint64_t event_entry() { return addr(event_target); }
uint64_t failsafe_entry() { return addr(failsafe_target); }
uint64_t syscall_entry() { return addr(syscall_target); }

void fill_trap_table(TrapInfo (&table)[256]) {
    for (unsigned v = 0; v < 256; ++v) table[v] = {static_cast<uint8_t>(v), 0, 0, 0, 0};
    for (unsigned v = 0; v < 32; ++v) {
        table[v].flags = least_ring(v);
        table[v].cs = kernel_cs;
        table[v].address = addr(exception_entries + v * entry_bytes);
    }
    table[0x80].flags = 3;
    table[0x80].cs = kernel_cs;
    table[0x80].address = addr(int80_target);
}

void install_traps() {
    static TrapInfo all[256], list[34];
    fill_trap_table(all);
    unsigned n = 0;
    for (const TrapInfo& t : all)
        if (t.address) list[n++] = t;
    hypercall(HYPERVISOR_set_trap_table, addr(list));
    register_callback(CALLBACKTYPE_event, event_target);
    register_callback(CALLBACKTYPE_failsafe, failsafe_target);
    register_callback(CALLBACKTYPE_syscall, syscall_target);
    register_callback(CALLBACKTYPE_sysenter, sysenter_target);
    register_callback(CALLBACKTYPE_syscall32, syscall32_target);
    register_callback(CALLBACKTYPE_nmi, nmi_target);
}

void set_trap_handler(TrapHandler h) { handler = h; }

Trap run_caught(void (*fn)(void*), void* argument) {
    ThisVcpu& vcpu = this_vcpu();
    auto trap = zeroed<Trap>();
    trap.vector = vector_none;
    Guard guard{vcpu.guard, 0, &trap};
    vcpu.guard = &guard;
    guarded_call(fn, argument, &guard.stack);
    vcpu.guard = guard.outer;
    return trap;
}

}  // namespace guest

void guest_trap(guest::TrapFrame* frame) {
    using namespace guest;
    ThisVcpu& vcpu = this_vcpu();
    if (frame->vector == vector_event) return dispatch_events();
    if (Guard* guard = vcpu.guard) {
        *guard->trap = {frame->vector, frame->error, frame->rip, frame->vector == page_fault ? vcpu.info->arch.cr2 : 0, *frame};
        guarded_escape(guard->stack);
    }
    if (!handler) unexpected(*frame);
    handler(*frame);
}
