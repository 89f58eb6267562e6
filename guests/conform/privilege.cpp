// SPDX-License-Identifier: Apache-2.0
/// Virtual I/O privilege level, port bitmaps, CR4 and the segment-base instructions.
#include "abi/xen/physdev.hpp"
#include "guests/conform/conform.hpp"
#include "guests/tiny/user.hpp"

namespace conform {

using namespace guest;

namespace {

constexpr uint64_t gp = 13, ud = 6, iopl_mask = 0x3000;
constexpr long einval = -22;

void cli() { asm volatile("cli; sti"); }
void user_cli(uint64_t) { asm volatile("cli; sti"); }
void user_in(uint64_t port) {
    uint8_t v = 0;
    asm volatile("inb %1, %0" : "=a"(v) : "d"(static_cast<uint16_t>(port)));
}
void user_in4(uint64_t port) {
    uint32_t v = 0;
    asm volatile("inl %1, %0" : "=a"(v) : "d"(static_cast<uint16_t>(port)));
}

long set_iopl(uint32_t level) {
    xen::PhysdevSetIopl s{level};
    return hypercall(xen::HYPERVISOR_physdev_op, xen::PHYSDEVOP_set_iopl, addr(&s));
}

long set_bitmap(const void* bitmap, uint32_t ports) {
    xen::PhysdevSetIobitmap s{{addr(bitmap)}, ports, 0};
    return hypercall(xen::HYPERVISOR_physdev_op, xen::PHYSDEVOP_set_iobitmap, addr(&s));
}

/// The flags that an exception of the kernel finds in its frame.
uint64_t flags_in_frame() {
    return caught([] { asm volatile("ud2"); }).frame.rflags;
}

void levels() {
    check("at level 0 CLI of the kernel is #GP", caught(cli) == gp);
    check("at level 0 IN of the kernel is #GP", caught([] { user_in(0x21); }) == gp);
    equal("set_iopl 4 is refused", static_cast<uint64_t>(einval), static_cast<uint64_t>(set_iopl(4)));
    set_iopl(1);
    check("at level 1 the kernel may CLI", caught(cli) == vector_none);
    check("at level 1 the kernel may IN", caught([] { user_in(0x21); }) == vector_none);
    check("at level 1 user code may not CLI", run_user(user_cli) == gp);
    check("at level 1 user code may not IN", run_user(user_in, 0x21) == gp);
    set_iopl(3);
    check("at level 3 user code may CLI", run_user(user_cli) == vector_syscall);
    check("at level 3 user code may IN", run_user(user_in, 0x21) == vector_syscall);
    equal("frames do not show the level", 0, flags_in_frame() & iopl_mask);
    set_iopl(1);
}

alignas(16) char user_stack[4096];

/// What brings `fn` back when IRET took it to user mode with these flags.
Trap user_with_flags(void (*fn)(uint64_t), uint64_t rflags) {
    // fn ends by an exception or by returning into address 0.
    auto* top = reinterpret_cast<uint64_t*>(user_stack + sizeof user_stack) - 1;
    *top = 0;
    return run_user(addr(fn), 0, addr(top), rflags);
}

void levels_in_frames() {
    const uint64_t assist = xen::VMASST_TYPE_architectural_iopl;
    check("IRET does not set the level", user_with_flags(user_cli, 0x3202) == gp);
    equal("architectural_iopl is known", 0,
          static_cast<uint64_t>(hypercall(xen::HYPERVISOR_vm_assist, xen::VMASST_CMD_enable, assist)));
    set_iopl(2);
    equal("with architectural_iopl frames show the level", 0x2000, flags_in_frame() & iopl_mask);
    check("and IRET sets it", user_with_flags(user_cli, 0x3202) == 14);
    check("to a lower one too", user_with_flags(user_cli, 0x202) == gp);
    set_iopl(0);
    check("and the kernel is at level 0", caught(cli) == vector_none);
    hypercall(xen::HYPERVISOR_vm_assist, xen::VMASST_CMD_disable, assist);
    check("without it at level 1 again", caught(cli) == gp);
}

void bitmaps() {
    static uint8_t bitmap[16];
    for (uint8_t& b : bitmap) b = 0xff;
    bitmap[0x60 / 8] = 0xfe;  // 0x60
    bitmap[0x68 / 8] = 0x7f;  // 0x6f, and with the next 0x70 to 0x72
    bitmap[0x70 / 8] = 0xf8;
    set_iopl(1);
    check("user code without a bitmap has no port", run_user(user_in, 0x60) == gp);
    equal("set_iobitmap", 0, static_cast<uint64_t>(set_bitmap(bitmap, 0x73)));
    check("a clear bit opens a port", run_user(user_in, 0x60) == vector_syscall);
    check("a set bit closes it", run_user(user_in, 0x61) == gp);
    check("an access needs all its ports", run_user(user_in4, 0x60) == gp);
    check("over a byte of the bitmap too", run_user(user_in4, 0x6f) == vector_syscall);
    check("ports beyond the bitmap are closed", run_user(user_in4, 0x70) == gp);
    check("the bitmap does not open CLI", run_user(user_cli) == gp);
    equal("a bitmap of more than 65536 ports is refused", static_cast<uint64_t>(einval),
          static_cast<uint64_t>(set_bitmap(bitmap, 65537)));
    set_bitmap(nullptr, 0);
}

uint64_t read_cr4() {
    uint64_t v = 0;
    asm volatile("mov %%cr4, %0" : "=r"(v));
    return v;
}
void write_cr4(uint64_t v) { asm volatile("mov %0, %%cr4" : : "r"(v)); }

constexpr uint64_t cr4_fsgsbase = 1u << 16, cr4_tsd = 1u << 2, cr4_vmxe = 1u << 13;

void read_fs_base() { asm volatile("rdfsbase %%rax" : : : "rax"); }
void user_write_gs_base(uint64_t base) { asm volatile("wrgsbase %0" : : "r"(base)); }
void user_rdtsc(uint64_t) { asm volatile("rdtsc" : : : "rax", "rdx"); }

uint64_t read_msr(uint32_t msr) {
    uint32_t low = 0, high = 0;
    asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return uint64_t{high} << 32 | low;
}

void segment_bases() {
    constexpr uint32_t msr_gs_base = 0xc0000101, msr_user_gs_base = 0xc0000102;
    uint32_t a = 7, b = 0, c = 0, d = 0;
    asm volatile("ud2; .ascii \"xen\"; cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    check("FSGSBASE is offered", b & 1);
    const uint64_t before = read_cr4();
    check("but off at first", !(before & cr4_fsgsbase));
    check("then the instructions are undefined in the kernel", caught(read_fs_base) == ud);
    check("and in user code", run_user(user_write_gs_base, 0x1000) == ud);
    write_cr4(before | cr4_fsgsbase);
    check("the kernel can turn it on", read_cr4() & cr4_fsgsbase);
    check("then the instructions work", caught(read_fs_base) == vector_none);
    const uint64_t kernel_base_before = read_msr(msr_gs_base);
    check("in user code too", run_user(user_write_gs_base, 0x123000) == vector_syscall);
    equal("user code changes its own base", 0x123000, read_msr(msr_user_gs_base));
    equal("and not its kernel's", kernel_base_before, read_msr(msr_gs_base));
    write_cr4(before);
    check("and off again", caught(read_fs_base) == ud);
}

void control_register() {
    const uint64_t before = read_cr4();
    write_cr4(before | cr4_vmxe);
    equal("other bits of CR4 are not the guest's", before, read_cr4());
    write_cr4(before | cr4_tsd);
    check("with TSD user code may not read the time", run_user(user_rdtsc) == gp);
    write_cr4(before);
    check("without it may", run_user(user_rdtsc) == vector_syscall);
}

}  // namespace

void privilege_checks() {
    levels();
    levels_in_frames();
    bitmaps();
    segment_bases();
    control_register();
}

}  // namespace conform
