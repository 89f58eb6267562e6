// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/boot/dom0.hpp"

#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/boot/memory.hpp"
#include "hypervisor/boot/options.hpp"
#include "hypervisor/boot/platform.hpp"
#include "hypervisor/boot/screen.hpp"
#include "hypervisor/dev/serial.hpp"
#include "hypervisor/domain/guest_kind.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv {
namespace {

/// As what dom0 runs: a choice among the builders, once there are more.
constexpr const Dom0Builder& builder = pv_dom0_builder;

constexpr uint64_t mib = uint64_t{1} << 20;

// -- how much memory ---------------------------------------------------------------------------------------------------

uint64_t amount(const x86::MemoryAmount& a, uint64_t available, uint64_t otherwise) {
    if (!a.given) return otherwise;
    const uint64_t pages = a.bytes >> page_shift;
    return a.negative ? (available > pages ? available - pages : 0) : pages;
}

/// dom0_mem=, or all but a sixteenth (at most 128 MiB) of what is free.
uint64_t choose_pages() {
    const uint64_t available = heap::free_pages().n;
    const uint64_t reserve = available / 16 < (128 * mib >> page_shift) ? available / 16 : 128 * mib >> page_shift;
    uint64_t pages = amount(options.dom0_mem, available, available - reserve);
    const uint64_t min = amount(options.dom0_min, available, 0);
    const uint64_t max = amount(options.dom0_max, available, ~uint64_t{0});
    if (pages < min) pages = min;
    if (pages > max) pages = max;
    // The hypervisor keeps a little for what dom0 makes it allocate at once.
    const uint64_t floor = 4 * mib >> page_shift;
    if (pages + floor > available) pages = available > floor ? available - floor : 0;
    return pages;
}

// -- what it is made of -------------------------------------------------------------------------------------------------

/// The whole port space and all frames outside RAM, less what the hypervisor drives itself.
void grant_rights(Domain& d) {
    const auto set = [](const Status& s) {
        if (!s) panic("dom0's rights do not fit their table");
    };
    set(d.ioports.add(0, 0xffff));
    set(d.ioports.remove(0x20, 0x21));  // interrupt controllers
    set(d.ioports.remove(0xa0, 0xa1));
    set(d.ioports.remove(0x40, 0x43));    // timer
    set(d.ioports.remove(0xcf8, 0xcff));  // PCI configuration is carried out by us
    uint16_t first = 0, last = 0;
    if (serial_ports(first, last)) set(d.ioports.remove(first, last));
    set(d.iomem.add(0, ~uint64_t{0} >> page_shift));
    const uint64_t apic = platform.madt.local_apic ? platform.madt.local_apic : 0xfee00000;
    set(d.iomem.remove(apic >> page_shift, apic >> page_shift));
    for (const parse::AcpiIoApic& io : platform.madt.io_apics)
        set(d.iomem.remove(io.address >> page_shift, io.address >> page_shift));
}

Domain& make_domain() {
    DomainLimits limits;
    limits.max_vcpus = options.dom0_max_vcpus ? options.dom0_max_vcpus : cpu_count;
    limits.max_grant_frames = 64;
    auto created = domain_create(DomId(0), builder.kind, limits, true);
    if (!created) panic("Creating dom0 failed: error %u", static_cast<unsigned>(created.error()));
    Domain& d = *created.value();
    for (uint32_t i = 0; i < limits.max_vcpus; ++i)
        if (!vcpu_create(d, VcpuId(i))) panic("Creating dom0's vCPU %u failed", i);
    return d;
}

parse::Bytes bytes_of(const parse::BootModule& m) { return {map_mfn<std::byte>(Mfn(0)) + m.start, m.size()}; }

/// The module's string starts with the file's name.
std::string_view arguments_of(std::string_view line) {
    size_t i = 0;
    while (i < line.size() && line[i] != ' ') ++i;
    while (i < line.size() && line[i] == ' ') ++i;
    return {line.data() + i, line.size() - i};
}

}  // namespace

unsigned dom0_most_vcpus() { return builder.kind.max_vcpus; }

void dom0_build(const parse::BootRecord& record) {
    if (record.modules.empty()) give_up("No dom0 kernel: the boot loader passed no module");
    const parse::BootModule& kernel = record.modules[0];
    Dom0Parts parts{.kernel = dom0_open_kernel(bytes_of(kernel)), .command_line = arguments_of(kernel.command_line)};
    if (record.modules.size() > 1) parts.initrd = bytes_of(record.modules[1]);
    parts.screen = screen_for_dom0(record);

    Domain& d = make_domain();
    grant_rights(d);
    parts.pages = choose_pages();
    {
        Guard g(d.page_list_lock);
        d.max_pages =
            options.dom0_max.given ? amount(options.dom0_max, heap::free_pages().n, parts.pages) : ~uint64_t{0} >> page_shift;
    }
    builder.build(d, parts);
    log(LogLevel::info, "Dom0: %lu MiB, %u vCPUs, initrd %lu KiB", parts.pages >> 8, d.limits.max_vcpus,
        parts.initrd.size() >> 10);
    dom0_release_kernel(parts.kernel);
    memory_free_boot_range(kernel.start, kernel.end);
    if (!parts.initrd.empty()) memory_free_boot_range(record.modules[1].start, record.modules[1].end);
}

void dom0_start() {
    log(LogLevel::info, "Hypervisor done: %lu MiB free. Starting dom0.", heap::free_pages().bytes() >> 20);
    dom0->creation_finished.store(true, std::memory_order_release);
    (void)domain_unpause_by_controller(*dom0);
}

}  // namespace hv
