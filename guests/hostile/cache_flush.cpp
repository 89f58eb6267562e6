// SPDX-License-Identifier: Apache-2.0
/// Millions of cache_flush elements that ask for nothing: the call must let the vCPU's timer through all the time.
#include "abi/xen/vcpu.hpp"
#include "guests/hostile/hostile.hpp"
#include "guests/tiny/events.hpp"
#include "guests/tiny/grants.hpp"

namespace {

using namespace hostile;
using namespace xen;

Page tables[3], elements;
volatile unsigned upcalls;

/// One page of elements again and again: 1 GiB of address space.
bool map_elements() {
    const uint64_t* last = make_tables(window, tables);
    if (!last) return false;
    const uint64_t page = mfn_of(&elements) * page_bytes, table = mfn_of(last) * page_bytes;
    for (unsigned i = 0; i < 512; ++i) {
        if (write_entry(machine_address(last + i), page | read_write) != 0) return false;
        if (write_entry(mfn_of(&tables[1]) * page_bytes + i * 8, table | read_write) != 0) return false;
    }
    return true;
}

}  // namespace

int guest_main() {
    expect("a gigabyte of elements", map_elements());
    expect("the timer", bind_virq(VIRQ_TIMER, 0) > 0);
    set_event_handler([](uint32_t) {
        upcalls = upcalls + 1;
        VcpuSetSingleshotTimer next{now() + 2'000'000, 0, 0};
        hypercall(HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 0, addr(&next));
    });
    allow_upcalls();
    sleep(20'000'000);
    const unsigned before = upcalls;
    hypercall(HYPERVISOR_grant_table_op, GNTTABOP_cache_flush, window, option("elements", 1 << 19));
    const unsigned during = upcalls - before;
    print("guest: ", during, " timer events during the call\n");
    expect("the timer goes on during the call", before > 0 && during > 5);
    return failures;
}
