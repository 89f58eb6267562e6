// SPDX-License-Identifier: Apache-2.0
/// A PV kernel that takes dom0's place and prints what operations of the hypervisor cost, in TSC ticks each. Under
/// `--icount` a tick is an instruction, which makes two hypervisors comparable (tests/system/bench does).
#include "abi/xen/vcpu.hpp"
#include "guests/bench/bench.hpp"
#include "guests/tiny/console.hpp"

namespace bench {

using namespace xen;

alignas(page_bytes) Windows windows;

void report(const char* name, uint64_t tenths) { print("bench: ", name, ": ", tenths / 10, ".", tenths % 10, "\n"); }

void expect(const char* what, bool right) {
    if (!right) print("bench: FAILED: ", what, "\n");
}

namespace {

void simple_calls() {
    measure("loop-empty", 10000, [] { asm volatile(""); });
    measure("null(xen_version)", 1000, [] { hypercall(HYPERVISOR_xen_version, 0); });
    measure("null(ENOSYS nr55)", 1000, [] { hypercall(HYPERVISOR_arch_7); });
    const char line_end = '\n';
    measure("console_io 1 char", 16, [&] { hypercall(HYPERVISOR_console_io, CONSOLEIO_write, 1, addr(&line_end)); });
}

}  // namespace

}  // namespace bench

int guest_main() {
    using namespace bench;
    simple_calls();
    hypercall(xen::HYPERVISOR_vcpu_op, xen::VCPUOP_stop_periodic_timer, 0);
    events();
    vcpus();
    batches();
    grants();
    traps();
    paging();
    memory();
    print("bench: done\n");
    return 0;
}
