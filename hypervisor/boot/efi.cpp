// SPDX-License-Identifier: Apache-2.0
/// The firmware's services run with every page of theirs at its machine address: SetVirtualAddressMap() can be called once and by one
/// system only, and who is started after us (by kexec) may want it. So they have tables of their own: the lower half is theirs, the upper ours.
#include "hypervisor/boot/efi.hpp"

#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/arch/x86/direct_map.hpp"
#include "hypervisor/arch/x86/firmware.hpp"
#include "hypervisor/arch/x86/hw.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/domain/domain.hpp"
#include "hypervisor/guest/entry/switch.hpp"
#include "hypervisor/guest/kinds.hpp"
#include "hypervisor/mm/heap.hpp"
#include "hypervisor/rt/log.hpp"
#include "lib/base/radix.hpp"

namespace hv {

parse::EfiFirmware efi_firmware;

namespace {

uint64_t firmware_root = 0;  ///< CR3 of the services; 0: none are called

/// Never given back: the services live as long as the machine.
struct FirmwareTables : MappedTables {
    Result<uint64_t> alloc_zeroed() const { return mfn_of(TRY(heap::alloc_page_zeroed())).address(); }
    static void free(uint64_t at) { heap::free(Mfn::of_address(at), 0); }
};

struct FirmwareFormat {
    static bool present(uint64_t e) { return e & pte::present; }
    static bool leaf(uint64_t e, unsigned level) { return level == 1 || (e & pte::pse); }
    static uint64_t table(uint64_t at, unsigned) { return at | pte::present | pte::rw | pte::accessed; }
    static uint64_t part(uint64_t e, unsigned level, unsigned i) {
        return (level == 2 ? e & ~pte::pse : e) + i * base::radix::span_of(level - 1);
    }
};

/// Firmware before UEFI 2.6 does not say which of its pages are code and which data: all may be executed and written.
Status map_region(const parse::EfiRegion& r) {
    FirmwareTables mem;
    const bool device = r.type == parse::EfiRegion::memory_mapped_io || r.type == parse::EfiRegion::memory_mapped_ports;
    const uint64_t flags = pte::present | pte::rw | pte::accessed | pte::dirty | (device ? pte::pcd | pte::pwt : 0);
    constexpr uint64_t large = base::radix::span_of(2);
    for (uint64_t done = 0; done < r.size;) {
        const uint64_t at = r.start + done;
        const unsigned level = at % large == 0 && r.size - done >= large ? 2 : 1;
        const uint64_t slot = TRY(base::radix::reach(mem, FirmwareFormat{}, firmware_root, 4, level, at));
        mem.write(slot, at | flags | (level == 2 ? pte::pse : 0));
        done += base::radix::span_of(level);
    }
    return ok;
}

Status make_tables() {
    firmware_root = TRY(FirmwareTables{}.alloc_zeroed());
    for (unsigned s = l4_slot_m2p; s < l4_slot_end; ++s) MappedTables::entry(firmware_root)[s] = idle_l4[s];
    for (const parse::EfiRegion& r : efi_firmware.regions)
        if (r.at_run_time()) TRY(map_region(r));
    return ok;
}

/// A state of the floating-point registers as UEFI 2.10, 2.3.4 promises it to services.
void init_fpu() {
    constexpr uint32_t mxcsr = 0x1f80;
    asm volatile("fninit; ldmxcsr %0" ::"m"(mxcsr));
}

/// By Microsoft's calling convention: four words in registers, room for them on the stack, the fifth above.
uint64_t call(uint64_t function, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e) {
    register uint64_t r8 asm("r8") = c;
    register uint64_t r9 asm("r9") = d;
    asm volatile(
        "mov %%rsp, %%rbx\n\t"
        "and $-16, %%rsp\n\t"
        "sub $48, %%rsp\n\t"
        "mov %[fifth], 32(%%rsp)\n\t"
        "call __x86_indirect_thunk_rax\n\t"
        "mov %%rbx, %%rsp"
        : "+a"(function), "+c"(a), "+d"(b), "+r"(r8), "+r"(r9)
        : [fifth] "r"(e)
        : "rbx", "r10", "r11", "memory", "cc");
    return function;
}

}  // namespace

uint64_t arch::efi_call(parse::EfiService s, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e) {
    Cpu& cpu = this_cpu();
    Vcpu& v = *cpu.current;
    guest_switch_out(v);
    enter_idle(cpu);  // its descriptor tables are there without a guest's page tables
    init_fpu();
    hw::write_cr3(firmware_root);
    const uint64_t status = call(efi_firmware.services[static_cast<size_t>(s)], a, b, c, d, e);
    hw::write_cr3(idle_cr3());
    guest_switch_in(v);
    return status;
}

void efi_discover(const parse::BootRecord& record, const parse::PhysicalWindow& memory, bool services) {
    if (record.efi_system_table == 0) return;
    if (auto s = parse::read_efi(record.efi_system_table, record.efi_map, record.efi_descriptor, memory, efi_firmware); !s) {
        log(LogLevel::warning, "UEFI's system table is not usable (error %u)", static_cast<unsigned>(s.error()));
        return;
    }
    const bool offered = efi_firmware.has_services();
    if (!services || !offered || !make_tables()) efi_firmware.services[0] = 0;
    log(LogLevel::info, "UEFI %u.%u, %u tables, run-time services %s", efi_firmware.revision >> 16,
        (efi_firmware.revision & 0xffff) / 10, efi_firmware.table_count,
        efi_firmware.has_services() ? "in use"
        : !services                 ? "off (efi=no-rs)"
        : offered                   ? "off: no memory"
                                    : "not usable");
}

}  // namespace hv
