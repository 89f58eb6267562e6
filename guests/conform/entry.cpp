// SPDX-License-Identifier: Apache-2.0
/// Ways into the kernel and out of it: software interrupts, system calls, IRET, the hypercall page.
#include "abi/xen/callback.hpp"
#include "abi/xen/physdev.hpp"
#include "guests/conform/conform.hpp"
#include "guests/tiny/console.hpp"
#include "guests/tiny/paging.hpp"
#include "guests/tiny/user.hpp"

extern "C" {
uint64_t conform_cs_seen;
extern char conform_cs_probe[], conform_stepped[];
void conform_step();
void conform_user_int21(uint64_t), conform_user_int80(uint64_t), conform_user_int3(uint64_t);
}

// An entry for exception 6 that keeps its CS, and user code whose address matters.
asm(R"(
    .text
conform_cs_probe:
    popq %rcx
    popq %r11
    movw %cs, conform_cs_seen(%rip)
    addq $2, (%rsp)
    pushq $0
    jmp hypercall_page + 23 * 32
conform_step:
    movl $0x1b, %ecx
    pushfq
    orl $0x100, (%rsp)
    popfq
    rdmsr
conform_stepped:
    ret
conform_user_int21:
    int $0x21
    ret
conform_user_int80:
    int $0x80
    ret
conform_user_int3:
    int3
    ret
)");

namespace conform {

using namespace guest;

namespace {

constexpr uint64_t gp = 13, ud = 6;

/// Registers all handlers of the framework but one.
void register_all_but(unsigned left_out) {
    static xen::TrapInfo all[256], list[34];
    fill_trap_table(all);
    unsigned n = 0;
    for (const xen::TrapInfo& t : all)
        if (t.address && t.vector != left_out) list[n++] = t;
    list[n] = {};
    hypercall(xen::HYPERVISOR_set_trap_table, 0);
    hypercall(xen::HYPERVISOR_set_trap_table, addr(list));
}
void register_all() { register_all_but(256); }

bool refused(const Trap& t, uint64_t vector, void (*at)(uint64_t)) {
    return t == gp && t.error == vector * 8 + 2 && t.rip == addr(at);
}

void software_interrupts() {
    check("INT n without a handler is #GP at the instruction", refused(run_user(conform_user_int21), 0x21, conform_user_int21));
    check("INT 0x80 reaches its handler", run_user(conform_user_int80) == 0x80);
    register_all_but(0x80);
    check("INT 0x80 without a handler is #GP at the instruction",
          refused(run_user(conform_user_int80), 0x80, conform_user_int80));
    if (has_word("kinder")) {
        register_all_but(3);
        check("INT3 without a handler is #GP at the instruction", refused(run_user(conform_user_int3), 3, conform_user_int3));
    }
    register_all();
    check("INT3 reaches its handler", run_user(conform_user_int3) == 3);
}

void register_syscall(uint64_t target) {
    xen::CallbackRegister callback{xen::CALLBACKTYPE_syscall, xen::CALLBACKF_mask_events, 0, target};
    hypercall(xen::HYPERVISOR_callback_op, xen::CALLBACKOP_register, addr(&callback));
}

void user_syscall(uint64_t) { asm volatile("syscall" : : : "rcx", "r11"); }

void user_sysenter(uint64_t) { asm volatile("sysenter"); }

bool on_amd() {
    uint32_t a = 0, b = 0, c = 0, d = 0;
    asm volatile("ud2; .ascii \"xen\"; cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return b == 0x68747541;  // "Auth"
}

void system_calls() {
    const Trap sysenter = run_user(user_sysenter);
    // Not for long mode on AMD's CPUs, whatever the callback.
    if (on_amd()) check("SYSENTER is undefined", sysenter == ud);
    else check("SYSENTER reaches its callback", sysenter == vector_sysenter && sysenter.rip == 0 && sysenter.frame.rsp == 0);
    check("SYSCALL reaches its callback", run_user(user_syscall) == vector_syscall);
    register_syscall(0);
    check("SYSCALL without a callback is undefined", run_user(user_syscall) == ud);
    register_syscall(syscall_entry());
}

void handler_selector() {
    static Page gdt;
    constexpr uint64_t code64 = 0x00affb000000ffff, data = 0x00cff3000000ffff;
    auto* entries = reinterpret_cast<uint64_t*>(&gdt);
    entries[1] = code64;
    entries[2] = data;
    protect(&gdt, read_only);
    uint64_t frame = mfn_of(&gdt);
    equal("a GDT of the guest", 0, static_cast<uint64_t>(hypercall(xen::HYPERVISOR_set_gdt, addr(&frame), 3)));
    xen::TrapInfo probe[2] = {{6, 0, 0x0b, 0, addr(conform_cs_probe)}, {}};
    hypercall(xen::HYPERVISOR_set_trap_table, addr(probe));
    asm volatile("ud2");
    register_all();
    equal("a handler runs on the flat selector of the kernel", xen::FLAT_KERNEL_CS, conform_cs_seen);
}

void iret_in_multicall() {
    static xen::MulticallEntry list[3];
    for (auto& e : list) e = {};
    list[0].op = list[2].op = xen::HYPERVISOR_xen_version;
    list[1].op = xen::HYPERVISOR_iret;
    list[2].result = 0x5555;
    uint64_t rax = 0, rcx = 0;
    asm volatile(R"(
        movq %%rsp, %%rbx
        pushq $0xe02b
        pushq %%rbx
        pushq $0x202
        pushq $0xe030
        leaq 1f(%%rip), %%rcx
        pushq %%rcx
        pushq $0
        pushq $0x22
        pushq $0x33
        pushq $0x44
        movl $13, %%eax
        syscall
        ud2
1:      )"
                 : "=a"(rax), "=c"(rcx)
                 : "D"(list), "S"(3)
                 : "rbx", "rdx", "r8", "r9", "r10", "r11", "memory", "cc");
    equal("IRET in a multicall returns with its rax", 0x44, rax);
    equal("and its rcx", 0x22, rcx);
    equal("calls before it are made", 4, list[0].result >> 16);
    equal("calls after it are not", 0x5555, list[2].result);
    const long again = hypercall(xen::HYPERVISOR_multicall, addr(list), 1);
    equal("the next list is one again", 0, static_cast<uint64_t>(again));
}

void hypercall_page_by_msr() {
    static Page page;
    const uint64_t machine = mfn_of(&page) * page_bytes;
    const Trap t = caught([&] {
        asm volatile("wrmsr" : : "c"(0x40000000), "a"(static_cast<uint32_t>(machine)), "d"(static_cast<uint32_t>(machine >> 32)));
    });
    check("WRMSR fills a hypercall page", t == vector_none);
    if (!(t == vector_none)) return;
    long version = 0;
    uint64_t a = 0, b = 0;
    asm volatile("call *%[page]" : "=a"(version), "+D"(a), "+S"(b) : [page] "r"(page.bytes + 17 * 32) : "rcx", "r11", "memory");
    equal("which works", 4, static_cast<uint64_t>(version) >> 16);
    const Trap other = caught([] { asm volatile("wrmsr" : : "c"(0x40000000), "a"(0xfffff000), "d"(0xff)); });
    check("a page that is not the guest's is refused", other == gp);
}

void emulated_instructions() {
    const Trap step = caught(conform_step);
    check("a single step ends behind an instruction that the hypervisor executes",
          step == 1 && step.rip == addr(conform_stepped));
    xen::PhysdevSetIopl level{1};
    hypercall(xen::HYPERVISOR_physdev_op, xen::PHYSDEVOP_set_iopl, addr(&level));
    constexpr uint64_t nowhere = 0x1234;
    const Trap in = caught([] {
        uint64_t to = nowhere;
        asm volatile("insb" : "+D"(to) : "d"(0x21) : "memory");
    });
    check("INS to memory that is not there is a page fault", in == 14 && in.cr2 == nowhere && (in.error & 2));
    level.iopl = 0;
    hypercall(xen::HYPERVISOR_physdev_op, xen::PHYSDEVOP_set_iopl, addr(&level));
}

}  // namespace

void entry_checks() {
    software_interrupts();
    system_calls();
    handler_selector();
    iret_in_multicall();
    hypercall_page_by_msr();
    emulated_instructions();
}

}  // namespace conform
