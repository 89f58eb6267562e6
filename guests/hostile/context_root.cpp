// SPDX-License-Identifier: Apache-2.0
/// vCPU contexts without a page-table root, and 10,000 random ones; those that are accepted run.
#include "abi/xen/sched.hpp"
#include "abi/xen/vcpu.hpp"
#include "guests/hostile/hostile.hpp"
#include "guests/tiny/vcpus.hpp"

namespace {

using namespace hostile;
using namespace xen;

VcpuGuestContext context;
volatile unsigned entered;

void spin() {
    entered = entered + 1;
    stop_this_vcpu();
}

/// Starts vCPU `id` with the context and gives it time to do its worst.
bool run(unsigned id) {
    if (hypercall(HYPERVISOR_vcpu_op, VCPUOP_initialise, id, addr(&context)) != 0) return false;
    hypercall(HYPERVISOR_vcpu_op, VCPUOP_up, id);
    for (int i = 0; i < 50; ++i) hypercall(HYPERVISOR_sched_op, SCHEDOP_yield);
    return true;
}

void no_root(unsigned& id) {
    fill_context(context, id, spin);
    context.ctrlreg[3] = 0;
    const bool refused = !run(id);
    expect("a context without a root is refused", refused);
    fill_context(context, id, spin);
    context.flags = 0;  // user mode
    context.ctrlreg[3] = 0;
    expect("in user mode too", !run(id));
    fill_context(context, id, spin);
    context.flags = 0;
    context.ctrlreg[1] = 0;
    if (run(id)) ++id;
}

void spoil(Random& random) {
    auto* words = reinterpret_cast<uint64_t*>(&context);
    constexpr size_t n = sizeof context / sizeof *words;
    switch (random.below(8)) {
        case 0: context.ctrlreg[3] = random.one_in(2) ? random.odd() : random.below(info->nr_pages) * page_bytes; break;
        case 1: context.ctrlreg[random.below(8)] = random.odd(); break;
        case 2: context.flags = random.odd(); break;
        case 3: context.gdt_ents = random.odd(), context.gdt_frames[random.below(16)] = random.odd(); break;
        case 4: context.ldt_base = random.odd(), context.ldt_ents = random.odd(); break;
        case 5: reinterpret_cast<uint64_t*>(&context.user_regs)[random.below(sizeof(CpuUserRegs) / 8)] = random.odd(); break;
        case 6: context.trap_ctxt[random.below(256)].address = random.odd(); break;
        default: words[random.below(n)] = random.odd();
    }
}

void random_ones(unsigned id) {
    Random random(option("seed", 1));
    unsigned accepted = 0;
    const unsigned end = static_cast<unsigned>(option("cpus", 2));
    for (int i = 0; i < 10000 && id < end; ++i) {
        fill_context(context, id, spin);
        // What a vCPU that was made could not be tried with again: most are to be refused.
        context.debugreg[7] = ~uint64_t{0} << 40;
        context.gdt_ents = 8193 + random.below(1000);
        for (auto n = 1 + random.below(6); n; --n) spoil(random);
        if (run(id)) ++id, ++accepted;
    }
    print("guest: ", accepted, " contexts were accepted, ", entered, " of them came back\n");
}

}  // namespace

int guest_main() {
    unsigned id = 1;
    no_root(id);
    last_words("random contexts");
    random_ones(id);
    return failures;
}
