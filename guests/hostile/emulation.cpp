// SPDX-License-Identifier: Apache-2.0
/// Instructions that the hypervisor executes for its guest, while another vCPU rewrites and unmaps their page.
#include "guests/hostile/hostile.hpp"
#include "guests/tiny/events.hpp"
#include "guests/tiny/vcpus.hpp"

namespace {

using namespace hostile;
using namespace xen;

struct Bytes {
    unsigned char length, bytes[12];
};
/// RDMSR, WRMSR, CPUID as is and behind the prefix, port I/O, control and debug registers, CLI, HLT, INVLPG, string I/O, XSETBV, LGDT.
constexpr Bytes instructions[] = {{2, {0x0f, 0x32}},
                                  {2, {0x0f, 0x30}},
                                  {2, {0x0f, 0xa2}},
                                  {7, {0x0f, 0x0b, 0x78, 0x65, 0x6e, 0x0f, 0xa2}},
                                  {2, {0xe4, 0x61}},
                                  {2, {0xe6, 0x80}},
                                  {1, {0xec}},
                                  {1, {0xef}},
                                  {3, {0x0f, 0x20, 0xc0}},
                                  {3, {0x0f, 0x20, 0xd8}},
                                  {3, {0x0f, 0x22, 0xd8}},
                                  {3, {0x0f, 0x22, 0xe0}},
                                  {3, {0x0f, 0x21, 0xf8}},
                                  {3, {0x0f, 0x23, 0xf8}},
                                  {1, {0xfa}},
                                  {2, {0x0f, 0x06}},
                                  {3, {0x0f, 0x01, 0x38}},
                                  {2, {0xf3, 0x6e}},
                                  {2, {0xf3, 0x6c}},
                                  {3, {0x0f, 0x01, 0xd1}},
                                  {3, {0x0f, 0x01, 0x10}},
                                  {5, {0x66, 0x2e, 0xf2, 0x0f, 0x32}},
                                  {2, {0x0f, 0x0b}}};

/// Two pages in a row: instructions lie across the edge.
Page code[2], view_tables[3];
uint64_t* view;
volatile bool go, stopped;

unsigned char* writable() { return at<unsigned char>(window); }

void rewrite(Random& random) {
    const Bytes& b = random.of(instructions);
    unsigned char* to = writable() + page_bytes - random.below(8);
    for (unsigned i = 0; i < b.length; ++i) const_cast<volatile unsigned char*>(to)[i] = b.bytes[i];
    const_cast<volatile unsigned char*>(to)[b.length] = 0xc3;
    if (random.one_in(8)) {
        set_entry(&code[1], 0);
        protect(&code[1], random.one_in(4) ? read_write | no_execute : read_write);
    }
}

void second() {
    Random random(9);
    while (!go) asm volatile("pause");
    while (go) rewrite(random);
    stopped = true;
    stop_this_vcpu();
}

void execute(Random& random) {
    const uint64_t from = addr(&code[1]) - random.below(8);
    const uint64_t rcx = random.one_in(2) ? 0xc0000080 + random.below(0x110) : random.odd(), rdx = random.odd();
    (void)caught([=] {
        uint64_t a = rcx, c = rcx, d = rdx, s = addr(&code[0]), t = addr(&code[0]);
        asm volatile("call *%[from]"
                     : "+a"(a), "+c"(c), "+d"(d), "+S"(s), "+D"(t)
                     : [from] "r"(from)
                     : "rbx", "r8", "r9", "r10", "r11", "memory");
    });
    mask_upcalls();
    hypercall(HYPERVISOR_set_debugreg, 7, 0);
    hypercall(HYPERVISOR_fpu_taskswitch, 0);
}

}  // namespace

int guest_main() {
    Random random(option("seed", 1));
    set_trap_handler([](TrapFrame&) {});  // a breakpoint that a random debug register set
    view = make_tables(window, view_tables);
    expect("a second view of the code", view != nullptr);
    for (unsigned i = 0; i < 2; ++i)
        expect("mapped", write_entry(machine_address(view + i), mfn_of(&code[i]) * page_bytes | read_write) == 0);
    last_words("code that changes");
    drain_console();
    for (int i = 0; i < 3000; ++i) rewrite(random), execute(random);
    expect("a second vCPU", start_vcpu(1, second) == 0);
    go = true;
    for (const uint64_t end = now() + 4'000'000'000; now() < end;) execute(random);
    go = false;
    while (!stopped) sleep(1'000'000);
    return failures;
}
