// SPDX-License-Identifier: Apache-2.0
// link: hvcore
// Hypercalls with any arguments, from two guests and from the control domain, over the hypervisor's core. What must hold:
// no sanitizer report, no broken invariant, and when the guests are gone every page, port and object is back.
//
// Input: calls of 64 bytes each: who and what (8), arguments (24), then 32 bytes that go into guest memory. An argument or a
// word in memory whose top byte is 0xa5 becomes an address in guest memory, 0xa6 the number of one of the guest's frames:
// without that almost every call would end at its first pointer.
#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "abi/xen/domctl.hpp"
#include "abi/xen/platform.hpp"
#include "abi/xen/sched.hpp"
#include "abi/xen/sysctl.hpp"
#include "hypervisor/domain/domain.hpp"
#include "hypervisor/event/event.hpp"
#include "hypervisor/guest/kinds.hpp"
#include "hypervisor/hypercall/table.hpp"
#include "hypervisor/irq/pci_device.hpp"
#include "tests/machine/host.hpp"

namespace {

using namespace hv;

constexpr uint64_t window = 0x10000000;
constexpr uint64_t window_bytes = 1 << 16;
constexpr unsigned guest_count = 2;
constexpr unsigned pages_each = 48;
constexpr unsigned most_turns = 20000;

[[noreturn]] void broken(const char* what) {
    std::fprintf(stderr, "invariant broken: %s\n", what);
    std::abort();
}

template <class T>
T must(Result<T> r) {
    if (!r) broken("setting up");
    return std::move(r).take();
}

void power_on() {
    static const bool once = [] {
        host::power_on(2, 8192);
        void* memory = mmap(reinterpret_cast<void*>(window), window_bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        if (memory == MAP_FAILED) broken("guest memory");
        host::guest_window(window, window_bytes);
        DomainLimits limits;
        DomainRef d0 = must(domain_create(DomId(0), pv_guest, limits, true));
        (void)must(vcpu_create(*d0, VcpuId(0)));
        d0->max_pages = 64;
        // As a real one it has some from its beginning: what they take stays.
        for (Rights* rights : {&d0->iomem, &d0->ioports, &d0->irqs})
            if (!rights->add(0, 0)) broken("setting up");
        d0->creation_finished.store(true);
        return true;
    }();
    (void)once;
    host::become(0);
}

struct Record {
    uint8_t who;
    uint8_t call;
    uint16_t at;  ///< where in guest memory the data goes
    uint8_t preempt;
    uint8_t pad[3];
    uint64_t args[3];
    uint64_t data[4];
};
static_assert(sizeof(Record) == 64);

class World {
public:
    World() {
        for (unsigned i = 0; i < guest_count; ++i) {
            DomainLimits limits;
            limits.max_vcpus = 2;
            limits.max_grant_frames = 4;
            guests_[i] = must(domain_create(DomId(static_cast<uint16_t>(i + 1)), pv_guest, limits, false));
            guests_[i]->max_pages = 200;
            for (unsigned v = 0; v < 2; ++v) must(vcpu_create(*guests_[i], VcpuId(v)))->initialised = true;
            for (unsigned p = 0; p < pages_each; ++p) frames_[i][p] = must(domain_alloc_pages(*guests_[i], 0, 64)).raw;
        }
    }
    ~World() {
        for (DomainRef& d : guests_) d = DomainRef();
        for (DomainRef d = next_domain(DomId(1)); d; d = next_domain(DomId::from_reg(d->id.raw + 1u))) {
            unsigned turns = 0;
            while (!domain_kill(*d))
                if (++turns > most_turns) broken("a domain does not die");
        }
        host::soft_interrupts();
        domains_reap();
        if (next_domain(DomId(1))) broken("a dead domain stays");
    }
    void play(const Record& r);

private:
    uint64_t word(uint64_t raw, unsigned guest) const {
        if (raw >> 56 == 0xa5) return window + (raw & (window_bytes - 1));
        if (raw >> 56 == 0xa6) return frames_[guest][(raw & 0xff) % pages_each] << ((raw >> 8 & 1) * 12) | (raw >> 16 & 0xfff);
        return raw;
    }
    DomainRef guests_[guest_count];
    uint64_t frames_[guest_count][pages_each] = {};
};

struct Call {
    Handler handler;
    bool control;  ///< from the control domain
};

const Call calls[] = {
    {hypercall_handler(xen::HYPERVISOR_memory_op), false},
    {hypercall_handler(xen::HYPERVISOR_memory_op), true},
    {hypercall_handler(xen::HYPERVISOR_mmu_update), false},
    {hypercall_handler(xen::HYPERVISOR_mmuext_op), false},
    {hypercall_handler(xen::HYPERVISOR_update_va_mapping), false},
    {hypercall_handler(xen::HYPERVISOR_set_gdt), false},
    {hypercall_handler(xen::HYPERVISOR_update_descriptor), false},
    {hypercall_handler(xen::HYPERVISOR_set_trap_table), false},
    {hypercall_handler(xen::HYPERVISOR_event_channel_op), false},
    {hypercall_handler(xen::HYPERVISOR_grant_table_op), false},
    {hypercall_handler(xen::HYPERVISOR_vcpu_op), false},
    {hypercall_handler(xen::HYPERVISOR_sched_op), false},
    {hypercall_handler(xen::HYPERVISOR_set_timer_op), false},
    {hypercall_handler(xen::HYPERVISOR_xen_version), false},
    {hypercall_handler(xen::HYPERVISOR_callback_op), false},
    {hypercall_handler(xen::HYPERVISOR_vm_assist), false},
    {hypercall_handler(xen::HYPERVISOR_set_segment_base), false},
    {hypercall_handler(xen::HYPERVISOR_set_debugreg), false},
    {hypercall_handler(xen::HYPERVISOR_multicall), false},
    {hypercall_handler(xen::HYPERVISOR_domctl), true},
    {hypercall_handler(xen::HYPERVISOR_domctl), true},
    {hypercall_handler(xen::HYPERVISOR_sysctl), true},
    {hypercall_handler(xen::HYPERVISOR_platform_op), true},
    {hypercall_handler(xen::HYPERVISOR_domctl), false},
    {hypercall_handler(xen::HYPERVISOR_sysctl), false},
    {hypercall_handler(xen::HYPERVISOR_platform_op), false},
    {hypercall_handler(xen::HYPERVISOR_console_io), false},
    {hypercall_handler(xen::HYPERVISOR_physdev_op), false},
    {hypercall_handler(xen::HYPERVISOR_event_channel_op_compat), false},
    {hypercall_handler(xen::HYPERVISOR_sched_op_compat), false},
};

bool in_window(uint64_t address, uint64_t bytes) { return address >= window && address <= window + window_bytes - bytes; }

/// Calls that end the process as they should end the machine.
bool ends_machine(const Call& c, uint64_t arg) {
    if (!c.control || !in_window(arg, sizeof(uint32_t))) return false;
    uint32_t cmd = 0;
    std::memcpy(&cmd, reinterpret_cast<const void*>(arg), sizeof cmd);
    if (c.handler == hypercall_handler(xen::HYPERVISOR_platform_op)) return cmd == xen::XENPF_enter_acpi_sleep;
    return c.handler == hypercall_handler(xen::HYPERVISOR_sysctl) && cmd == xen::XEN_SYSCTL_debug_keys;
}

/// The version words are right more often than chance would have it.
void stamp_version(const Call& c, uint64_t arg) {
    if (!in_window(arg, 2 * sizeof(uint32_t))) return;
    uint32_t version = 0;
    if (c.handler == hypercall_handler(xen::HYPERVISOR_domctl)) version = xen::XEN_DOMCTL_INTERFACE_VERSION;
    if (c.handler == hypercall_handler(xen::HYPERVISOR_sysctl)) version = xen::XEN_SYSCTL_INTERFACE_VERSION;
    if (c.handler == hypercall_handler(xen::HYPERVISOR_platform_op)) version = xen::XENPF_INTERFACE_VERSION;
    if (version) std::memcpy(reinterpret_cast<void*>(arg + sizeof(uint32_t)), &version, sizeof version);
}

void World::play(const Record& r) {
    const unsigned g = r.who % guest_count;
    const Call& c = calls[r.call % (sizeof calls / sizeof *calls)];
    Domain& caller = c.control ? *dom0 : *guests_[g];
    if (caller.dying.load() != DyingState::alive || caller.shutting_down.load()) return;
    Vcpu& v = *caller.vcpus[0];

    uint64_t data[4];
    for (unsigned i = 0; i < 4; ++i) data[i] = word(r.data[i], g);
    const uint64_t at = r.at & (window_bytes - 1) & ~uint64_t{7};
    if (at + sizeof data <= window_bytes) std::memcpy(reinterpret_cast<void*>(window + at), data, sizeof data);

    const uint64_t args[6] = {word(r.args[0], g), word(r.args[1], g), word(r.args[2], g), xen::DOMID_SELF, 0, 0};
    stamp_version(c, args[0]);
    if (ends_machine(c, args[0])) return;
    std::memcpy(v.hypercall.args, args, sizeof args);
    host::preempt_every(r.preempt % 8);
    Cpu& cpu = this_cpu();
    Vcpu* const idle = cpu.current;
    cpu.current = &v;  // as if it ran here
    for (unsigned turns = 0;; ++turns) {
        v.hypercall.rearmed = false;
        const auto result = c.handler(v, v.hypercall.args);
        if (result || result.error() != Errc::restart) break;
        if (!v.hypercall.rearmed) broken("restart without arguments");
        if (turns > most_turns) broken("a call does not end");
    }
    cpu.current = idle;
    host::preempt_every(0);
    domains_reap();
}

/// dom0 lives on: what it gathered is taken back.
void tidy_dom0() {
    while (!event_reset(*dom0)) {}
    pirqs_destroy(dom0->pirqs);
    pci_devices_forget();
    while (dom0->page_list_head) domain_release_page(frame_table[dom0->page_list_head]);
    dom0->max_pages = 64;
    (void)domain_claim(*dom0, 0);
    heap::free_bytes(dom0->memory_map, dom0->memory_map_entries * sizeof(parse::E820Entry));
    dom0->memory_map = nullptr;
    dom0->memory_map_entries = 0;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    power_on();
    static bool warm = false;
    static uint64_t free_pages = 0;
    static size_t bytes_in_use = 0;
    if (!warm) {
        // The first domain makes structures that stay.
        World first;
    }
    tidy_dom0();
    if (!warm) {
        warm = true;
        free_pages = heap::free_pages().n;
        bytes_in_use = heap::bytes_in_use();
    }
    std::memset(reinterpret_cast<void*>(window), 0, window_bytes);
    {
        World world;
        for (; size >= sizeof(Record); data += sizeof(Record), size -= sizeof(Record)) {
            Record r;
            std::memcpy(&r, data, sizeof r);
            world.play(r);
        }
    }
    tidy_dom0();
    if (heap::free_pages().n != free_pages) broken("pages are lost");
    if (heap::bytes_in_use() != bytes_in_use) broken("objects are lost");
    if (claimed_pages().n != 0) broken("a claim stays");
    return 0;
}
