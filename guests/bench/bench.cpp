// SPDX-License-Identifier: Apache-2.0
/// A PV kernel that takes dom0's place and prints what operations of the hypervisor cost, in TSC ticks each. Under
/// `--icount` a tick is an instruction, which makes two hypervisors comparable (performance numbers in docs/).
#include <cstddef>
#include <cstdint>

#include "abi/xen/basic.hpp"
#include "abi/xen/event_channel.hpp"
#include "abi/xen/grant_table.hpp"
#include "abi/xen/sched.hpp"
#include "abi/xen/vcpu.hpp"

extern "C" {
extern char hypercall_page[];
[[noreturn]] void bench_main(xen::StartInfo* start);
void* memset(void* p, int c, size_t n) {
    auto* b = static_cast<volatile char*>(p);
    while (n--) *b++ = static_cast<char>(c);
    return p;
}
}

namespace {

using namespace xen;

long hypercall(unsigned nr, uint64_t a = 0, uint64_t b = 0, uint64_t c = 0, uint64_t d = 0) {
    long result = 0;
    register uint64_t r10 asm("r10") = d;
    asm volatile("call *%[page]"
                 : "=a"(result), "+D"(a), "+S"(b), "+d"(c), "+r"(r10)
                 : [page] "r"(hypercall_page + nr * 32)
                 : "rcx", "r11", "r8", "r9", "memory");
    return result;
}

template <class T>
uint64_t addr(T* p) {
    return reinterpret_cast<uint64_t>(p);
}

uint64_t ticks() {
    uint32_t lo = 0, hi = 0;
    asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return uint64_t{hi} << 32 | lo;
}

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

/// Runs f `rounds` times and prints the ticks of one round with one decimal.
template <class F>
void measure(const char* name, unsigned rounds, F f) {
    for (unsigned i = 0; i < 8; ++i) f();
    const uint64_t begin = ticks();
    for (unsigned i = 0; i < rounds; ++i) f();
    const uint64_t tenths = (ticks() - begin) * 10 / rounds;
    print(name);
    print(": ");
    print_number(tenths / 10);
    print(".");
    print_number(tenths % 10);
    print("\n");
}

constexpr size_t page_bytes = 4096;
alignas(page_bytes) char shared_window[page_bytes];
alignas(page_bytes) char grant_window[page_bytes];
alignas(page_bytes) char map_window[16][page_bytes];
alignas(page_bytes) char granted[page_bytes];
alignas(page_bytes) char other[page_bytes];

StartInfo* info;

uint64_t mfn_of(const void* p) {
    const uint64_t pfn = (addr(p) - 0xffffffff80000000) / page_bytes;
    return reinterpret_cast<const uint64_t*>(info->mfn_list)[pfn];
}

long map_page(void* where, uint64_t machine) {
    return hypercall(HYPERVISOR_update_va_mapping, addr(where), machine | 0x67, UVMF_INVLPG);
}

void expect(const char* what, bool right) {
    if (right) return;
    print("FAILED: ");
    print(what);
    print("\n");
}

void events() {
    auto* shared = reinterpret_cast<SharedInfo*>(shared_window);
    EvtchnBindIpi ipi{0, 0};
    expect("bind_ipi", hypercall(HYPERVISOR_event_channel_op, EVTCHNOP_bind_ipi, addr(&ipi)) == 0);
    EvtchnSend send{ipi.port};
    measure("evtchn send self (pending)", 1000, [&] {
        shared->evtchn_pending[0] = 0;
        shared->vcpu_info[0].evtchn_pending_sel = 0;
        shared->vcpu_info[0].evtchn_upcall_pending = 0;
        hypercall(HYPERVISOR_event_channel_op, EVTCHNOP_send, addr(&send));
    });
    expect("pending", shared->evtchn_pending[0] >> ipi.port & 1);
    measure("evtchn send self (already)", 1000, [&] { hypercall(HYPERVISOR_event_channel_op, EVTCHNOP_send, addr(&send)); });
    auto status = zeroed<EvtchnStatus>();
    status.dom = DOMID_SELF;
    status.port = ipi.port;
    measure("evtchn status", 1000, [&] { hypercall(HYPERVISOR_event_channel_op, EVTCHNOP_status, addr(&status)); });
    measure("evtchn unmask", 1000, [&] { hypercall(HYPERVISOR_event_channel_op, EVTCHNOP_unmask, addr(&send)); });
    measure("evtchn alloc+close", 1000, [&] {
        EvtchnAllocUnbound a{DOMID_SELF, DOMID_SELF, 0};
        hypercall(HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, addr(&a));
        EvtchnClose c{a.port};
        hypercall(HYPERVISOR_event_channel_op, EVTCHNOP_close, addr(&c));
    });
    shared->vcpu_info[0].evtchn_upcall_pending = 0;
}

void vcpus() {
    const uint64_t far = uint64_t{1} << 45;
    measure("set_timer_op far", 1000, [&] { hypercall(HYPERVISOR_set_timer_op, far); });
    VcpuSetSingleshotTimer shot{far, 0, 0};
    measure("vcpu_op singleshot set", 1000,
            [&] { hypercall(HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 0, addr(&shot)); });
    measure("vcpu_op singleshot stop", 1000, [&] { hypercall(HYPERVISOR_vcpu_op, VCPUOP_stop_singleshot_timer, 0); });
    VcpuRunstateInfo runstate;
    measure("vcpu_op get_runstate", 1000,
            [&] { hypercall(HYPERVISOR_vcpu_op, VCPUOP_get_runstate_info, 0, addr(&runstate)); });
    measure("vcpu_op is_up", 1000, [&] { hypercall(HYPERVISOR_vcpu_op, VCPUOP_is_up, 0); });
    measure("sched yield (alone)", 1000, [&] { hypercall(HYPERVISOR_sched_op, SCHEDOP_yield); });
}

void grants() {
    uint64_t frame = 0;
    auto setup = zeroed<GnttabSetupTable>();
    setup.dom = DOMID_SELF;
    setup.nr_frames = 1;
    setup.frame_list = {addr(&frame)};
    hypercall(HYPERVISOR_grant_table_op, GNTTABOP_setup_table, addr(&setup), 1);
    expect("setup_table", setup.status == GNTST_okay);
    expect("map grant frame", map_page(grant_window, frame * page_bytes) == 0);
    auto* table = reinterpret_cast<GrantEntryV1*>(grant_window);
    table[8] = {GTF_permit_access, 0, static_cast<uint32_t>(mfn_of(granted))};

    static GnttabMapGrantRef map[16];
    static GnttabUnmapGrantRef unmap[16];
    auto map_unmap = [&](unsigned n) {
        for (unsigned i = 0; i < n; ++i) {
            map[i].host_addr = addr(map_window[i]);
            map[i].flags = GNTMAP_host_map;
            map[i].ref = 8;
            map[i].dom = 0;
        }
        hypercall(HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, addr(map), n);
        for (unsigned i = 0; i < n; ++i) {
            unmap[i].host_addr = map[i].host_addr;
            unmap[i].handle = map[i].handle;
        }
        hypercall(HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref, addr(unmap), n);
    };
    measure("grant map+unmap (host)", 1000, [&] { map_unmap(1); });
    expect("map", map[0].status == GNTST_okay && unmap[0].status == GNTST_okay);
    measure("grant map+unmap x16 batch", 200, [&] { map_unmap(16); });
    expect("map 16", map[15].status == GNTST_okay && unmap[15].status == GNTST_okay);

    static GnttabCopy copy;
    copy.source.u.ref = 8;
    copy.source.domid = 0;
    copy.dest.u.gmfn = mfn_of(other);
    copy.dest.domid = DOMID_SELF;
    copy.flags = GNTCOPY_source_gref;
    copy.len = 4096;
    measure("grant copy 4KiB", 1000, [&] { hypercall(HYPERVISOR_grant_table_op, GNTTABOP_copy, addr(&copy), 1); });
    copy.len = 64;
    measure("grant copy 64B", 1000, [&] { hypercall(HYPERVISOR_grant_table_op, GNTTABOP_copy, addr(&copy), 1); });
    expect("copy", copy.status == GNTST_okay);
}

}  // namespace

void bench_main(StartInfo* start) {
    info = start;
    print("bench: ticks for each operation\n");
    measure("loop-empty", 10000, [] { asm volatile(""); });
    measure("null(xen_version)", 1000, [] { hypercall(HYPERVISOR_xen_version, 0); });
    measure("null(ENOSYS nr55)", 1000, [] { hypercall(HYPERVISOR_arch_7); });
    expect("map shared info", map_page(shared_window, info->shared_info) == 0);
    hypercall(HYPERVISOR_vcpu_op, VCPUOP_stop_periodic_timer, 0);
    events();
    vcpus();
    grants();
    print("bench: done\n");
    SchedShutdown off{SHUTDOWN_poweroff};
    for (;;) hypercall(HYPERVISOR_sched_op, SCHEDOP_shutdown, addr(&off));
}
