// SPDX-License-Identifier: Apache-2.0
// link: hvmodel
// tsan
// Four CPUs at once: two vCPUs of one guest fight over its pages, another guest and the control domain map them. Every so often all
// stand still, and every count and everything cached is looked at.
#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "abi/xen/basic.hpp"
#include "abi/xen/grant_table.hpp"
#include "abi/xen/memory.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/grant/grant.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/hypercall/table.hpp"
#include "tests/machine/host.hpp"
#include "tests/machine/mmu.hpp"
#include "tests/model/choice.hpp"
#include "tests/model/guest.hpp"
#include "tests/model/page_model.hpp"

namespace {

using namespace hvmodel;

constexpr unsigned cpus_used = 4;
constexpr unsigned shared_pages = 24;  ///< the first data pages of a guest: what is fought over
// Entries with their accessed and dirty bits, so that no walk writes to a table.
constexpr uint64_t read_only = pte::present | pte::user | pte::accessed | pte::dirty;
constexpr uint64_t read_write = read_only | pte::rw;

struct Party {
    RealGuest& guest;
    RealGuest& other;  ///< whose grants it maps; the control domain: whose pages
    Vcpu& vcpu;
    unsigned cpu;
};

/// What one CPU does; its arguments lie in a page that nobody else touches.
class Player {
    Party p_;
    Random random_;
    uint64_t buffer_;
    std::vector<uint32_t> handles_;

    uint64_t below(uint64_t n) { return random_.next() % n; }
    Mfn page(RealGuest& g) { return g.data[below(shared_pages)]; }

    int64_t call(Handler h, uint64_t a0, uint64_t a1 = 0, uint64_t a2 = 0, uint64_t a3 = xen::DOMID_SELF) {
        const uint64_t in[6] = {a0, a1, a2, a3, 0, 0};
        std::memcpy(p_.vcpu.hypercall.args, in, sizeof in);
        for (;;) {
            p_.vcpu.hypercall.rearmed = false;
            const auto r = h(p_.vcpu, p_.vcpu.hypercall.args);
            if (r) return static_cast<int64_t>(r.value());
            if (r.error() != Errc::restart || below(8) == 0) return -static_cast<int64_t>(r.error());
        }
    }
    template <class T>
    uint64_t put(const T& what) {
        (void)arch::copy_to_guest(buffer_, &what, sizeof what);
        return buffer_;
    }

    void remap() {
        const uint64_t n = below(shared_pages);
        const uint64_t bits = below(3) == 0 ? 0 : below(2) ? read_write : read_only;
        const uint64_t va = below(2) ? RealGuest::data_address(static_cast<unsigned>(n)) : scratch_base + below(8) * page_size;
        call(hypercall_handler(xen::HYPERVISOR_update_va_mapping), va, bits ? p_.guest.data[n].address() | bits : 0, below(3));
    }
    void store() {
        const uint64_t va = RealGuest::data_address(static_cast<unsigned>(below(shared_pages)));
        (void)arch::store_to_guest(va + below(512) * 8, below(3) ? uint64_t{0} : page(p_.guest).address() | read_only);
    }
    void pin() {
        auto op = xen::zeroed<xen::MmuextOp>();
        op.cmd = static_cast<uint32_t>(below(5));  // pin as one of the levels, or unpin
        op.arg1.mfn = page(p_.guest).raw;
        call(hypercall_handler(xen::HYPERVISOR_mmuext_op), put(op), 1);
    }
    void link() {
        const Mfn table = below(2) ? p_.guest.l2 : page(p_.guest);
        const xen::MmuUpdate u{table.address() + (2 + below(6)) * 8, below(3) ? page(p_.guest).address() | read_write : 0};
        call(hypercall_handler(xen::HYPERVISOR_mmu_update), put(u), 1);
    }
    void descriptors() {
        const uint64_t frame = page(p_.guest).raw;
        call(hypercall_handler(xen::HYPERVISOR_set_gdt), put(frame), below(2) * 512);
    }
    void reserve() {
        const uint64_t frame = page(p_.guest).raw;
        auto r = xen::zeroed<xen::MemoryReservation>();
        r.domid = xen::DOMID_SELF;
        r.nr_extents = 1;
        r.extent_start.addr = buffer_ + 2048;
        (void)arch::store_to_guest(buffer_ + 2048, frame);
        call(hypercall_handler(xen::HYPERVISOR_memory_op),
             below(4) ? xen::XENMEM_increase_reservation : xen::XENMEM_decrease_reservation, put(r));
    }
    void map_grant() {
        auto op = xen::zeroed<xen::GnttabMapGrantRef>();
        op.host_addr = scratch_base + (8 + below(8)) * page_size;
        op.flags = xen::GNTMAP_host_map | (below(2) ? xen::GNTMAP_readonly : 0);
        op.ref = static_cast<uint32_t>(8 + below(shared_pages));
        op.dom = p_.other->id.raw;
        call(hypercall_handler(xen::HYPERVISOR_grant_table_op), xen::GNTTABOP_map_grant_ref, put(op), 1);
        if (arch::copy_from_guest(&op, buffer_, sizeof op) && op.status == xen::GNTST_okay) handles_.push_back(op.handle);
    }
    void unmap_grant() {
        if (handles_.empty()) return;
        const size_t i = below(handles_.size());
        for (unsigned slot = 8; slot < 16; ++slot) {
            auto op = xen::zeroed<xen::GnttabUnmapGrantRef>();
            op.host_addr = scratch_base + slot * page_size;
            op.handle = handles_[i];
            call(hypercall_handler(xen::HYPERVISOR_grant_table_op), xen::GNTTABOP_unmap_grant_ref, put(op), 1);
            if (!arch::copy_from_guest(&op, buffer_, sizeof op) || op.status != xen::GNTST_okay) continue;
            handles_.erase(handles_.begin() + static_cast<std::ptrdiff_t>(i));
            return;
        }
    }
    void foreign() {
        if (!p_.vcpu.domain.privileged) return;
        const xen::MmuUpdate u{p_.guest.scratch_l1.address() + below(64) * 8,
                               below(3) ? page(p_.other).address() | (below(2) ? read_write : read_only) : 0};
        call(hypercall_handler(xen::HYPERVISOR_mmu_update), put(u), 1, 0, p_.other->id.raw);
    }

public:
    Player(Party p, uint64_t seed) : p_(p), random_(seed), buffer_(RealGuest::data_address(shared_pages + p.vcpu.id.raw)) {}

    void turn() {
        switch (below(16)) {
            case 0:
            case 1:
            case 2:
            case 3: return remap();
            case 4:
            case 5: return store();
            case 6:
            case 7: return pin();
            case 8:
            case 9: return link();
            case 10: return descriptors();
            case 11: return reserve();
            case 12: return map_grant();
            case 13: return unmap_grant();
            case 14: return foreign();
            default:
                (void)host::mmu::touch(p_.cpu, RealGuest::data_address(static_cast<unsigned>(below(shared_pages))),
                                       below(2) != 0);
        }
    }
};

/// Grants all shared pages to the other domain, some of them read-only.
void grant_all(RealGuest& g, DomId to) {
    const Mfn frame = must(get_grant_frame(g, 0));
    for (unsigned i = 0; i < shared_pages; ++i) {
        auto& e = map_mfn<xen::GrantEntryV1>(frame)[8 + i];
        e.domid = to.raw;
        e.frame = static_cast<uint32_t>(g.data[i].raw);
        e.flags = static_cast<uint16_t>(xen::GTF_permit_access | (i % 3 == 0 ? xen::GTF_readonly : 0));
    }
}

TEST(PageThreads, CountsAreWhatHoldsThem) {
    const char* s = std::getenv("HV_MODEL_SECONDS");
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(s ? std::atoi(s) : 8);
    host::power_on(cpus_used, 4096);
    host::guest_memory(host::GuestMemory::page_tables);
    host::mmu::cache_eagerly(true);
    constexpr unsigned pages = shared_pages + 2;
    RealGuest control(0, 1, pages), one(1, 2, pages), two(2, 1, pages);
    grant_all(one, two->id);
    grant_all(two, one->id);
    const Party parties[cpus_used] = {
        {one, two, one.vcpu(0), 0}, {one, two, one.vcpu(1), 1}, {two, one, two.vcpu(0), 2}, {control, one, control.vcpu(0), 3}};

    std::atomic<bool> stop{false};
    uint64_t rounds = 0;
    std::barrier gate(cpus_used);
    constexpr unsigned turns = 200;
    const auto play = [&](const Party& p) {
        host::become(p.cpu);
        run_here(p.vcpu);
        Player player(p, 77 + p.cpu);
        while (!stop) {
            for (unsigned i = 0; i < turns; ++i) player.turn();
            gate.arrive_and_wait();
            if (p.cpu == 0) {
                ++rounds;
                const std::string wrong = check_pages() + host::mmu::check();
                EXPECT_EQ(wrong, "") << "round " << rounds;
                stop = !wrong.empty() || std::chrono::steady_clock::now() > end;
            }
            gate.arrive_and_wait();
        }
        run_idle_here();
    };
    std::vector<std::thread> threads;
    for (const Party& p : parties) threads.emplace_back(play, p);
    for (std::thread& t : threads) t.join();
    host::become(0);
    host::mmu::cache_eagerly(false);
    std::printf("page threads: %lu turns on each of %u CPUs, %lu looks\n", rounds * turns, cpus_used, rounds);
    EXPECT_GT(rounds, 1u);
}

}  // namespace
