// SPDX-License-Identifier: Apache-2.0
/// A PV kernel that takes dom0's place and prints what operations of the hypervisor cost, in TSC ticks each. Under
/// `--icount` a tick is an instruction, which makes two hypervisors comparable (tests/system/bench does).
#include "abi/xen/sched.hpp"
#include "abi/xen/vcpu.hpp"
#include "guests/bench/bench.hpp"

extern "C" {
[[noreturn]] void bench_main(xen::StartInfo* start);
void* memset(void* p, int c, size_t n) {
    auto* b = static_cast<volatile char*>(p);
    while (n--) *b++ = static_cast<char>(c);
    return p;
}
}

namespace bench {

using namespace xen;

namespace {

void print(const char* s) {
    size_t n = 0;
    while (s[n]) ++n;
    hypercall(HYPERVISOR_console_io, CONSOLEIO_write, n, addr(s));
}

void print_number(uint64_t v) {
    char text[24];
    char* p = text + sizeof text;
    *--p = 0;
    do *--p = static_cast<char>('0' + v % 10);
    while (v /= 10);
    print(p);
}

}  // namespace

const StartInfo* info;
alignas(page_bytes) Windows windows;

void report(const char* name, uint64_t tenths) {
    print("bench: ");
    print(name);
    print(": ");
    print_number(tenths / 10);
    print(".");
    print_number(tenths % 10);
    print("\n");
}

void expect(const char* what, bool right) {
    if (right) return;
    print("bench: FAILED: ");
    print(what);
    print("\n");
}

uint64_t mfn_of(const void* p) {
    const uint64_t pfn = (addr(p) - kernel_base) / page_bytes;
    return reinterpret_cast<const uint64_t*>(info->mfn_list)[pfn];
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

void bench_main(xen::StartInfo* start) {
    using namespace bench;
    info = start;
    simple_calls();
    expect("map shared info", set_entry(windows.shared, info->shared_info | read_write, xen::UVMF_INVLPG) == 0);
    hypercall(xen::HYPERVISOR_vcpu_op, xen::VCPUOP_stop_periodic_timer, 0);
    events();
    vcpus();
    batches();
    grants();
    traps();
    paging();
    memory();
    print("bench: done\n");
    xen::SchedShutdown off{xen::SHUTDOWN_reboot};
    for (;;) hypercall(xen::HYPERVISOR_sched_op, xen::SCHEDOP_shutdown, addr(&off));
}
