// SPDX-License-Identifier: Apache-2.0
/// Odd frames for IRET and SYSCALL, selectors that name nothing, stacks that are not there, handlers at addresses that are
/// none. What goes to user mode must come back; the last part enters the kernel so that the domain may die.
#include "abi/xen/callback.hpp"
#include "guests/hostile/hostile.hpp"
#include "guests/tiny/user.hpp"

extern "C" [[noreturn]] void user_entry(const xen::IretContext* context, uint64_t argument);

namespace {

using namespace hostile;
using namespace xen;

constexpr uint16_t selectors[] = {0,      1,      3,      4,      7,      0x33,        0x2b,       0x10,
                                  0x18,   0xe008, 0xe010, 0xe019, 0xe023, 0xe02b,      0xe033,     0xe03b,
                                  0xe040, 0xe078, 0xfff8, 0xfffb, 0xffff, 0xe033 & ~3, 0xe02b & ~3};
Page descriptors;

/// Into user mode with a frame that may be refused; either way we are back afterwards.
void odd_iret(Random& random) {
    (void)caught([&] {
        IretContext c{random.next(), random.next(), random.next(), random.one_in(2) ? 0 : random.odd(),
                      random.odd(),  FLAT_USER_CS,  0x202,         random.odd(),
                      FLAT_USER_SS};
        if (random.one_in(2)) c.cs = random.of(selectors) | 3u;
        if (random.one_in(2)) c.ss = random.of(selectors) | 3u;
        if (random.one_in(2)) c.rflags = random.odd() | 0x200;
        hypercall(HYPERVISOR_stack_switch, FLAT_KERNEL_SS, (addr(&c) & ~uint64_t{15}) - 512);
        user_entry(&c, 0);
    });
}

/// Segment registers with any selector; the kernel itself needs none of them.
void odd_selectors(Random& random) {
    const uint16_t s = random.one_in(4) ? static_cast<uint16_t>(random.next()) : random.of(selectors);
    switch (random.below(5)) {
        case 0: (void)caught([=] { asm volatile("mov %0, %%ds" : : "r"(s)); }); break;
        case 1: (void)caught([=] { asm volatile("mov %0, %%es" : : "r"(s)); }); break;
        case 2: (void)caught([=] { asm volatile("mov %0, %%fs" : : "r"(s)); }); break;
        case 3: (void)caught([=] { asm volatile("mov %0, %%gs" : : "r"(s)); }); break;
        default: hypercall(HYPERVISOR_set_segment_base, random.below(4), random.odd());
    }
}

/// Descriptors of every type, through the hypercall that checks them; then as GDT, as LDT, and away again.
void odd_descriptors(Random& random) {
    const uint64_t frame = mfn_of(&descriptors);
    if (random.one_in(16)) {
        protect(&descriptors, read_only);
        uint64_t frames[1] = {frame};
        hypercall(HYPERVISOR_set_gdt, addr(frames), 512);
        mmuext(MMUEXT_SET_LDT, addr(&descriptors), 512);
    }
    const uint64_t slot = random.below(512), type = random.below(32) << 40, dpl = random.below(4) << 45;
    const uint64_t value = (random.next() & 0xff9f00ffffffffff) | type | dpl | uint64_t{1} << 47;
    hypercall(HYPERVISOR_update_descriptor, frame * page_bytes + slot * 8, value);
    const auto s = static_cast<uint16_t>(slot * 8 + random.below(8));
    (void)caught([=] { asm volatile("mov %0, %%fs" : : "r"(s)); });
    (void)caught([=] { asm volatile("pushq %0; pushq $1f; lretq; 1:" : : "r"(uint64_t{s})); });
    struct [[gnu::packed]] {
        uint32_t offset;
        uint16_t selector;
    } far{0, s};
    (void)caught([&] { asm volatile("lcall *%0" : : "m"(far)); });
}

/// The stack is gone when something happens.
void without_stack(uint64_t n) {
    static TrapInfo bad[2] = {{6, 0, FLAT_KERNEL_CS, 0, 0x8000000000000000}, {0, 0, 0, 0, 0}};
    switch (n) {
        case 1: asm volatile("mov %0, %%rsp; ud2" : : "r"(uint64_t{0x8000000000000000})); break;
        case 2: asm volatile("mov %0, %%rsp; ud2" : : "r"(HYPERVISOR_VIRT_START + 0x100000)); break;
        case 3:
            hypercall(HYPERVISOR_set_trap_table, addr(bad));
            asm volatile("ud2");
            break;
        case 4: {
            CallbackRegister c{CALLBACKTYPE_syscall, 0, 0, 0x8000000000000000};
            hypercall(HYPERVISOR_callback_op, CALLBACKOP_register, addr(&c));
            (void)run_user([](uint64_t) {});
            break;
        }
        default: {
            IretContext c{0, 0, 0, 0, 0x8000000000000000, FLAT_KERNEL_CS & ~3u, 0x202, 0xffff800000000000, FLAT_KERNEL_SS};
            user_entry(&c, 0);
        }
    }
}

}  // namespace

int guest_main() {
    Random random(option("seed", 1));
    expect("user tables", make_user_tables());
    for (int i = 0; i < 4000; ++i) odd_iret(random);
    for (int i = 0; i < 4000; ++i) odd_selectors(random);
    for (int i = 0; i < 2000; ++i) odd_descriptors(random);
    if (failures) return failures;
    last_words("without a stack");
    drain_console();
    without_stack(option("end", 1));
    return failures;
}
