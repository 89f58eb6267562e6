// SPDX-License-Identifier: Apache-2.0
/// The composition root: from the loader's registers to the first guest.
#include <algorithm>
#include <bit>
#include <cstring>

#include "hypervisor/arch/x86/apic.hpp"
#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/arch/x86/descriptors.hpp"
#include "hypervisor/arch/x86/features.hpp"
#include "hypervisor/arch/x86/guarded.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/arch/x86/smp.hpp"
#include "hypervisor/arch/x86/speculation_setup.hpp"
#include "hypervisor/arch/x86/tsc.hpp"
#include "hypervisor/boot/dom0.hpp"
#include "hypervisor/boot/efi.hpp"
#include "hypervisor/boot/memory.hpp"
#include "hypervisor/boot/options.hpp"
#include "hypervisor/boot/platform.hpp"
#include "hypervisor/boot/screen.hpp"
#include "hypervisor/cpu_policy/policy.hpp"
#include "hypervisor/dev/serial.hpp"
#include "hypervisor/domain/idle.hpp"
#include "hypervisor/domain/trace_buffers.hpp"
#include "hypervisor/guest/entry/switch.hpp"
#include "hypervisor/hypercall/machine_info.hpp"
#include "hypervisor/hypercall/trace_control.hpp"
#include "hypervisor/mm/heap.hpp"
#include "hypervisor/mm/host_map.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/rt/log_ring.hpp"
#include "hypervisor/rt/run_time_options.hpp"
#include "hypervisor/sched/scheduler.hpp"
#include "hypervisor/time/timer.hpp"
#include "lib/parse/multiboot.hpp"

namespace hv {

using Constructor = void (*)();
extern const Constructor constructors_start[] asm("init_array_start");
extern const Constructor constructors_end[] asm("init_array_end");

namespace {

constexpr uint64_t mapped_at_start = uint64_t{4} << 30;  ///< the first page tables reach this far

parse::BootRecord record;

parse::PhysicalWindow physical_memory() { return {reinterpret_cast<const std::byte*>(directmap_base), 0, mapped_at_start}; }

void run_constructors() {
    for (const Constructor* c = constructors_start; c < constructors_end; ++c) (*c)();
}

void start_consoles() {
    apply_run_time_options(options);
    if (options.console_serial) serial_start(options.com1);
    if (options.console_vga) vga_start();
    log(LogLevel::info, "Xenolith 4.17 on %s", cpu_features.brand[0] ? cpu_features.brand : "an x86-64 CPU");
    log(LogLevel::info, "Loaded by %.*s", static_cast<int>(record.loader.size()), record.loader.data());
    report_options();
}

void size_log_ring() {
    if (options.ring_size == log_ring_size) return;
    auto memory = heap::alloc(static_cast<unsigned>(std::countr_zero(options.ring_size)) - page_shift);
    if (memory) log_ring_move(map_mfn<char>(memory.value()), options.ring_size);
    else log(LogLevel::warning, "No memory for a log of %u KiB: it stays at %u", options.ring_size >> 10, log_ring_size >> 10);
}

/// A GDT and a stack, once. False: no memory.
bool equip_cpu(unsigned cpu) {
    if (has_gdt_page(cpu)) return true;
    cpus[cpu].id = cpu;
    auto gdt = heap::alloc_page_zeroed();
    if (!gdt) return false;
    if (cpu != 0) {  // whose stack is part of the image
        constexpr auto stack_order = static_cast<unsigned>(std::countr_zero(cpu_stack_size)) - page_shift;
        auto stack = heap::alloc(stack_order);
        if (!stack) return false;
        map_cpu_stack(cpu, stack.value(), [] {
            auto page = heap::alloc(0);
            if (!page) panic("No memory for the page tables of a stack");
            return page.value();
        });
    }
    set_gdt_page(cpu, gdt.value());
    return true;
}

/// False: no memory.
bool prepare_cpu(unsigned cpu) {
    if (!equip_cpu(cpu)) return false;
    if (!prepare_for_guests(cpu)) return false;
    timer::init_cpu(cpu);
    auto idle = idle_vcpu_create(cpu);
    if (!idle) return false;
    sched::init_cpu(cpu, *idle.value());
    return true;
}

/// The local APICs are in xAPIC mode, where one ID of eight bits means all.
constexpr uint32_t apic_ids = 255;

/// What firmware lists and can be started, the boot CPU among them; others do not make sets of CPUs larger.
unsigned usable_cpus() {
    unsigned n = 0;
    for (const parse::AcpiProcessor& p : platform.madt.processors) n += p.enabled && p.apic_id < apic_ids;
    return n;
}

/// Not the first thread of its core.
bool is_sibling(uint32_t apic_id) { return (apic_id & ((1u << cpu_features.topology.thread_bits) - 1)) != 0; }

/// A CPU to start, if it is not this one.
bool is_reachable(const parse::AcpiProcessor& p) { return p.enabled && p.apic_id < apic_ids && p.apic_id != cpus[0].apic_id; }

/// smt=no: every thread but the first of its core stays halted. Parked CPUs are numbered from the top.
void park_siblings() {
    unsigned parked = 0;
    for (const parse::AcpiProcessor& p : platform.madt.processors) {
        if (!is_reachable(p) || !is_sibling(p.apic_id) || parked == max_cpus / 2) continue;
        const unsigned number = max_cpus - 1 - parked;
        if (!equip_cpu(number)) panic("No memory to park a hyper-thread");
        // One that does not answer is off as well.
        if (smp_park_cpu(number, p.apic_id)) ++parked;
    }
    log(LogLevel::info, "smt=no: %u hyper-threads are parked", parked);
}

void start_cpus() {
    cpus[0].apic_id = apic::id();
    cpus[0].online = true;
    if (!speculation.smt) park_siblings();
    // As many numbers are left as no parked CPU has; more than half are parked nowhere.
    const unsigned most = std::min({options.max_cpus, speculation.smt ? max_cpus : max_cpus / 2, cpu_words * 64});
    unsigned unreachable = 0;
    for (const parse::AcpiProcessor& p : platform.madt.processors) {
        unreachable += p.enabled && p.apic_id >= apic_ids;
        if (!is_reachable(p) || (!speculation.smt && is_sibling(p.apic_id)) || cpu_count >= most) continue;
        if (!prepare_cpu(cpu_count)) {
            log(LogLevel::error, "No memory for CPU%u: it stays off", cpu_count);
            break;
        }
        if (smp_start_cpu(cpu_count, p.apic_id)) {
            set_cpu_count(cpu_count + 1);
            continue;
        }
        sched::remove_cpu(cpu_count);
        log(LogLevel::error, "CPU with APIC id %u does not answer: it stays off", p.apic_id);
    }
    if (unreachable) log(LogLevel::warning, "%u CPUs have APIC ids of 255 and above: they stay off", unreachable);
    log(LogLevel::info, "Brought up %u CPUs", cpu_count);
}

void start_clock() {
    calibrate_tsc(platform.has_fadt ? &platform.fadt : nullptr, platform.has_hpet ? &platform.hpet : nullptr);
    clock::set_wallclock(read_cmos_seconds(), 0, clock::now());
}

/// What hypercalls tell of the machine.
void describe_machine() {
    for (const parse::MemoryRange& r : host_memory_map.ranges()) {
        if (machine_info.memory_map_entries == MachineInfo::max_ranges) break;
        machine_info.memory_map[machine_info.memory_map_entries++] = {r.start, r.size(), static_cast<uint32_t>(r.type)};
    }
    machine_info.options = options;
    static_assert(sizeof XENOLITH_BUILD_DATE <= sizeof machine_info.build_date);
    memcpy(machine_info.build_date, XENOLITH_BUILD_DATE, sizeof XENOLITH_BUILD_DATE);
    memcpy(machine_info.command_line, options.words, strlen(options.words) + 1);
}

/// tbuf_size= and tevt_mask=
void start_tracing() {
    if (options.trace_pages == 0) return;
    base::Status made = base::ok;
    do made = make_trace_buffers(options.trace_pages);
    while (!made && made.error() == base::Errc::restart);
    if (!made) {
        log(LogLevel::warning, "No memory for trace buffers of %u pages", options.trace_pages);
        return;
    }
    log(LogLevel::info, "xentrace: initialised");
    if (options.trace_events == 0) return;
    log(LogLevel::info, "xentrace: Starting tracing, enabling mask %x", options.trace_events);
    trace_events(options.trace_events);
    (void)trace_begin();
}

void must(const base::Status& s, const char* what) {
    if (!s) panic("%s failed: error %u", what, static_cast<unsigned>(s.error()));
}

}  // namespace

extern "C" [[noreturn]] void boot_main(uint32_t magic, uint32_t info) {
    cpu_attach(0);
    run_constructors();
    detect_features();
    const base::Status read = parse::read_multiboot(magic, info, physical_memory(), record);
    parse_options(record.command_line);
    options.console_vga &= screen_has_text(record);
    start_consoles();
    if (!read) give_up("The boot loader's record is not usable: error %u", static_cast<unsigned>(read.error()));

    patch_smap_sites();
    speculation_init(options.speculation);  // its jumps lie over some of those sites
    memory_init(record);
    size_log_ring();
    cpus[0].loaded_cr3 = hw::read_cr3();
    enable_features();
    cpus[0].loaded_cr4 = cpu_features.cr4;
    if (!equip_cpu(0)) panic("No memory for the first CPU");
    load_descriptors(cpus[0]);
    speculation_init_cpu();
    speculation_report();

    describe_machine();
    platform_discover(record, physical_memory());
    efi_discover(record, physical_memory(), options.efi_services);
    cpu_words = cpu_words_for(std::min(options.max_cpus, usable_cpus()));
    set_cpu_count(1);
    start_clock();
    platform_init_interrupts();
    timer::init_cpu(0);
    must(system_domains_create(), "Creating the system domains");
    auto idle = idle_vcpu_create(0);
    if (!idle) panic("No memory for the idle vCPU");
    must(prepare_for_guests(0), "Preparing the first CPU for guests");
    sched::init(options.scheduler, {options.ratelimit_us, options.tslice_ms});
    sched::init_cpu(0, *idle.value());
    cpu_policies_init([](uint32_t leaf, uint32_t subleaf) { return hw::cpuid(leaf, subleaf); });
    start_cpus();
    start_tracing();

    dom0_build(record);
    if (options.console_vga && !options.vga_keep) vga_leave();
    serial_enable_interrupts(isa_gsi(serial_irq()), options.sync_console);
    dom0_start();
    arch::enter_guest_loop();
}

}  // namespace hv
