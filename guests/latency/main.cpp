// SPDX-License-Identifier: Apache-2.0
/// The longest stretch for which an operation keeps interrupts off: a timer is due again 20 us after each time it came, so it is
/// due within every stretch of an operation that stops for interrupts and starts again; how late it comes, and those 20 us, are
/// the stretch. Under `--icount` a nanosecond is an instruction. Operations run at the largest counts that memory holds.
#include "abi/xen/event_channel.hpp"
#include "abi/xen/grant_table.hpp"
#include "abi/xen/memory.hpp"
#include "abi/xen/vcpu.hpp"
#include "guests/tiny/boot.hpp"
#include "guests/tiny/console.hpp"
#include "guests/tiny/events.hpp"
#include "guests/tiny/grants.hpp"
#include "guests/tiny/paging.hpp"

namespace {

using namespace guest;
using namespace xen;

constexpr uint64_t interval_ns = 20'000, settle_ticks = 5'000'000;
constexpr uint64_t window = 0x400000000000;      // 2 MiB: one page of arguments again and again
constexpr uint64_t lists = window + (2 << 20);   // frame lists: pages of their own
constexpr uint64_t scratch = lists + (1 << 20);  // whatever page is being filled
constexpr unsigned list_pages = 64, entries = 512;
constexpr uint64_t repeated_bytes = 2 << 20;

Page tables[3], second_table, arguments, shared, target, places[8];
uint64_t due, worst, worst_at, came, began;
int failures;

/// Ticks are what is counted: under --icount one for each instruction, whatever the hypervisor's clock does.
void arm() {
    due = ticks() + interval_ns;
    VcpuSetSingleshotTimer shot{now() + interval_ns, 0, 0};
    hypercall(HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 0, addr(&shot));
}

void on_event(uint32_t) {
    const uint64_t t = ticks();
    const uint64_t stretch = t + interval_ns - due;
    if (stretch > worst) worst = stretch, worst_at = t - began;
    ++came;
    arm();
}

/// Runs f, one operation that stops for interrupts or is short.
template <class F>
void measure(const char* name, F f) {
    allow_upcalls();
    arm();
    // First some idle time: the clock may just have been corrected, which makes one timer early or late.
    for (const uint64_t settled = ticks() + settle_ticks; ticks() < settled;) asm volatile("pause");
    worst = came = 0;
    const uint64_t begin = began = ticks();
    const long result = f();
    const uint64_t end = ticks() + 3 * interval_ns;
    while (ticks() < end) asm volatile("pause");
    mask_upcalls();
    print("latency: ", name, ": ", worst, " at ", worst_at, " of ", end - begin, ", ", came, " times, result ", result, "\n");
}

void expect(const char* what, bool right) {
    if (right) return;
    ++failures;
    print("guest: FAILED: ", what, "\n");
}

// -- memory to work with -----------------------------------------------------------------------------------------------

/// A page that nothing maps, from the top of memory down.
uint64_t take_pfn() {
    static uint64_t next = info->nr_pages;
    return --next;
}

void map_at(uint64_t va, uint64_t mfn, uint64_t rights) {
    uint64_t* table = reinterpret_cast<uint64_t*>(va < lists ? &tables[2] : &second_table);
    write_entry(machine_address(&table[va >> 12 & (entries - 1)]), mfn * page_bytes | rights);
}

void make_window() {
    expect("tables", make_tables(window, tables) != nullptr && protect(&second_table, read_only) == 0);
    const uint64_t second_slot = (lists >> 21 & (entries - 1)) * 8;
    expect("a second table",
           write_entry(mfn_of(&tables[1]) * page_bytes + second_slot, mfn_of(&second_table) * page_bytes | read_write) == 0);
    for (uint64_t at = 0; at < repeated_bytes; at += page_bytes) map_at(window + at, mfn_of(&arguments), read_write);
    for (unsigned i = 0; i < list_pages; ++i) map_at(lists + i * page_bytes, mfn_of_pfn(take_pfn()), read_write);
}

/// A new page with 512 entries made by `entry`.
template <class F>
uint64_t make_table(F entry) {
    const uint64_t mfn = mfn_of_pfn(take_pfn());
    map_at(scratch, mfn, read_write);
    mmuext(MMUEXT_INVLPG_LOCAL, scratch);
    for (unsigned i = 0; i < entries; ++i) at<volatile uint64_t>(scratch)[i] = entry(i);
    map_at(scratch, 0, 0);
    mmuext(MMUEXT_INVLPG_LOCAL, scratch);
    return mfn;
}

/// The arguments' page as an array of T.
template <class T>
T* argument_array() {
    return reinterpret_cast<T*>(&arguments);
}
template <class T>
uint64_t most() {
    return repeated_bytes / sizeof(T);
}
template <class T, class F>
void fill(F f) {
    static_assert(page_bytes % sizeof(T) == 0 || sizeof(T) == 40 || sizeof(T) == 24);
    for (size_t i = 0; i < page_bytes / sizeof(T); ++i) argument_array<T>()[i] = f();
}

// -- the operations ----------------------------------------------------------------------------------------------------

void page_tables() {
    const uint64_t value = mfn_of(&target) * page_bytes | read_write;
    const uint64_t slot = mfn_of(&second_table) * page_bytes + (entries - 1) * 8;
    fill<MmuUpdate>([&] { return MmuUpdate{slot, value}; });
    measure("mmu_update", [] { return hypercall(HYPERVISOR_mmu_update, window, most<MmuUpdate>(), 0, DOMID_SELF); });
    fill<MmuUpdate>([&] {
        return MmuUpdate{mfn_of(&target) * page_bytes | MMU_MACHPHYS_UPDATE, (addr(&target) - kernel_base) / page_bytes};
    });
    measure("mmu_update, M2P", [] { return hypercall(HYPERVISOR_mmu_update, window, most<MmuUpdate>(), 0, DOMID_SELF); });

    const uint64_t l1 = make_table([&](unsigned) { return value; });
    measure("pin a full L1", [&] { return mmuext(MMUEXT_PIN_L1_TABLE, l1); });
    measure("unpin it", [&] { return mmuext(MMUEXT_UNPIN_TABLE, l1); });
    static uint64_t below[entries];
    for (uint64_t& mfn : below) mfn = make_table([&](unsigned) { return value; });
    const uint64_t l2 = make_table([&](unsigned i) { return below[i] * page_bytes | read_write; });
    measure("pin an L2 of 512 full L1", [&] { return mmuext(MMUEXT_PIN_L2_TABLE, l2); });
    measure("unpin it", [&] { return mmuext(MMUEXT_UNPIN_TABLE, l2); });
    const uint64_t l3 = make_table([&](unsigned) { return l2 * page_bytes | read_write; });
    const uint64_t l4 = make_table([&](unsigned i) { return i < 256 || i >= 272 ? l3 * page_bytes | read_write : 0; });
    measure("pin a full L4", [&] { return mmuext(MMUEXT_PIN_L4_TABLE, l4); });
    measure("unpin it", [&] { return mmuext(MMUEXT_UNPIN_TABLE, l4); });
}

void extended(const char* name, uint32_t cmd, uint64_t first, uint64_t second) {
    // 24 bytes do not divide a page, so one page is all.
    auto* ops = argument_array<MmuextOp>();
    const unsigned n = page_bytes / sizeof(MmuextOp);
    for (unsigned i = 0; i < n; ++i) {
        ops[i] = zeroed<MmuextOp>();
        ops[i].cmd = cmd;
        ops[i].arg1.linear_addr = first;
        ops[i].arg2.src_mfn = second;
    }
    measure(name, [&] { return hypercall(HYPERVISOR_mmuext_op, addr(&arguments), n, 0, DOMID_SELF); });
}

void flushes() {
    extended("tlb_flush_all", MMUEXT_TLB_FLUSH_ALL, 0, 0);
    extended("invlpg_all", MMUEXT_INVLPG_ALL, addr(&target), 0);
    extended("flush_cache", MMUEXT_FLUSH_CACHE, 0, 0);
    extended("clear_page", MMUEXT_CLEAR_PAGE, mfn_of(&target), 0);
    extended("copy_page", MMUEXT_COPY_PAGE, mfn_of(&target), mfn_of(&shared));
}

void batches() {
    fill<MulticallEntry>([] {
        auto e = zeroed<MulticallEntry>();
        e.op = HYPERVISOR_xen_version;
        return e;
    });
    measure("multicall", [] { return hypercall(HYPERVISOR_multicall, window, most<MulticallEntry>()); });
    // A batch inside a batch is refused; one of long calls is not.
    fill<MulticallEntry>([] {
        auto e = zeroed<MulticallEntry>();
        e.op = HYPERVISOR_set_trap_table;
        e.args[0] = window + repeated_bytes - page_bytes;
        return e;
    });
    measure("multicall of set_trap_table", [] { return hypercall(HYPERVISOR_multicall, window, 1000); });
}

void grants() {
    expect("a grant table", grant_table() != nullptr);
    grant(8, 0, &shared);
    fill<GnttabMapGrantRef>([] { return GnttabMapGrantRef{addr(&places[0]), GNTMAP_host_map, 8, 0, 0, 0, 0}; });
    measure("grant map", [] { return hypercall(HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, window, 20000); });
    uint32_t handle = 0;
    fill<GnttabCacheFlush>([] { return zeroed<GnttabCacheFlush>(); });
    measure("grant cache_flush of nothing",
            [] { return hypercall(HYPERVISOR_grant_table_op, GNTTABOP_cache_flush, window, most<GnttabCacheFlush>()); });
    for (size_t i = 0; i < page_bytes / 32; ++i) {
        auto* p = argument_array<char>() + i * 32;
        *reinterpret_cast<GnttabUnmapGrantRef*>(p) = {addr(&places[0]), 0, handle++, 0, 0};
    }
    static GnttabUnmapGrantRef back[4096];
    for (uint32_t base = 0; base < 20480; base += 4096) {
        for (uint32_t i = 0; i < 4096; ++i) back[i] = {addr(&places[0]), 0, base + i, 0, 0};
        measure("grant unmap", [] { return hypercall(HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref, addr(back), 4096); });
    }
    static GnttabCopy copies[1024];
    for (GnttabCopy& c : copies) {
        c = zeroed<GnttabCopy>();
        c.source.u.ref = 8;
        c.source.domid = c.dest.domid = DOMID_SELF;
        c.dest.u.gmfn = mfn_of(&target);
        c.flags = GNTCOPY_source_gref;
        c.len = page_bytes;
    }
    measure("grant copy", [] { return hypercall(HYPERVISOR_grant_table_op, GNTTABOP_copy, addr(copies), 1024); });
    auto setup = zeroed<GnttabSetupTable>();
    setup.dom = DOMID_SELF;
    setup.nr_frames = 64;
    setup.frame_list = {lists};
    measure("grant setup_table of 64 frames", [&] { return grant_op(GNTTABOP_setup_table, setup); });
}

void events() {
    measure("event ports, 1000", [] {
        long last = 0;
        for (int i = 0; i < 1000; ++i) last = alloc_unbound(DOMID_SELF);
        return last;
    });
}

void memory() {
    constexpr uint64_t n = list_pages * entries;
    auto* list = at<uint64_t>(lists);
    static uint64_t first = 0;
    for (uint64_t i = 0; i < n; ++i) first = take_pfn(), list[i] = mfn_of_pfn(first);
    MemoryReservation r{{lists}, n, 0, 0, DOMID_SELF, {}};
    measure("decrease_reservation", [&] { return hypercall(HYPERVISOR_memory_op, XENMEM_decrease_reservation, addr(&r)); });
    for (uint64_t i = 0; i < n; ++i) list[i] = first + i;
    measure("populate_physmap", [&] { return hypercall(HYPERVISOR_memory_op, XENMEM_populate_physmap, addr(&r)); });
}

}  // namespace

int guest_main() {
    hypercall(HYPERVISOR_vcpu_op, VCPUOP_stop_periodic_timer, 0);
    expect("the timer", bind_virq(VIRQ_TIMER, 0) > 0);
    set_event_handler(on_event);
    make_window();
    measure("nothing", [] {
        for (const uint64_t end = now() + 1'000'000; now() < end;) asm volatile("pause");
        return 0L;
    });
    page_tables();
    flushes();
    batches();
    grants();
    memory();
    events();
    print("latency: done\n");
    return failures;
}
