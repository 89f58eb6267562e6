// SPDX-License-Identifier: Apache-2.0
#include "tests/model/world.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "abi/xen/basic.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/domain/guest_kind.hpp"
#include "hypervisor/domain/run.hpp"
#include "hypervisor/guest/kinds.hpp"
#include "hypervisor/guest/pv/pt_update.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/guest/pv/traps.hpp"
#include "hypervisor/guest/pv/types.hpp"
#include "hypervisor/irq/pci_device.hpp"
#include "tests/machine/host.hpp"
#include "tests/machine/mmu.hpp"
#include "tests/model/log_model.hpp"
#include "tests/model/page_model.hpp"

namespace hvmodel {

namespace {

constexpr unsigned machine_cpus = 3;
constexpr uint64_t machine_frames = 4096;
constexpr unsigned most_turns = 20000;
constexpr uint16_t most_domains = 10;
constexpr uint64_t handler_address = 0x4000'0000;

/// A CPU that should leave a vCPU does so, as it would at its next interrupt.
void leave_what_may_not_run() {
    const unsigned self = this_cpu().id;
    for (unsigned c = 0; c < cpu_count; ++c) {
        host::become(c);
        Vcpu& v = current();
        if (c != self && !v.idle && !v.runnable()) run_idle_here();
    }
    host::become(self);
}

void power_on() {
    static const bool once = [] {
        host::power_on(machine_cpus, machine_frames);
        host::on_spin = leave_what_may_not_run;
        host::guest_memory(host::GuestMemory::page_tables);
        return true;
    }();
    (void)once;
    host::become(0);
}

struct Resources {
    uint64_t pages = heap::free_pages().n;
    size_t bytes = heap::bytes_in_use();
};

DomainLimits small_limits() {
    DomainLimits l;
    l.max_grant_frames = 2;
    l.max_maptrack_frames = 2;
    return l;
}

}  // namespace

// -- life and death ---------------------------------------------------------------------------------------------------

void World::prepare(RealGuest& g) {
    for (unsigned i = 0; i < vcpus_each; ++i) {
        PvVcpu& pv = *g.vcpu(i).pv;
        for (uint64_t& address : pv.traps.address) address = handler_address;
        pv.traps.flags[3] = 3;
        pv.event = pv.failsafe = pv.syscall = pv.syscall32 = pv.sysenter = {handler_address, true};
        pv.kernel_sp = RealGuest::data_address(data_pages - 1 - i) + page_size;
    }
}

World::World(Oracle oracle) : oracle_(std::move(oracle)) {
    power_on();
    host::mmu::reset();
    host::mmu::cache_eagerly(oracle_.eager_caches);
    control_ = std::make_unique<RealGuest>(0, vcpus_each, data_pages, small_limits());
    prepare(*control_);
    for (Slot& s : guests_) s.stuck = ~0u;
    replace_stuck();
}

World::~World() {
    static bool warm = false;
    static Resources baseline;
    check();
    host::preempt_every(0);
    for (Slot& s : guests_) s.guest.reset();
    for (DomainRef d = next_domain(DomId(1)); d; d = next_domain(DomId::from_reg(d->id.raw + 1u)))
        while (!domain_kill(*d)) {}
    domains_reap();
    control_.reset();
    pci_devices_forget();
    domains_reap();
    host::become(0);
    if (next_domain(DomId(0))) broken("a dead domain stays");
    host::mmu::cache_eagerly(false);
    const Resources now;
    // The first domains make structures that stay.
    if (warm && now.pages != baseline.pages) broken("pages are lost");
    if (warm && now.bytes != baseline.bytes) broken("objects are lost");
    if (claimed_pages().n != 0) broken("a claim stays");
    baseline = now;
    warm = true;
}

/// A guest that has crashed, been paused or shut down for a while makes room for another.
void World::replace_stuck() {
    constexpr unsigned patience = 40;
    for (Slot& s : guests_) {
        bool can_run = false;
        if (s.guest)
            for (unsigned i = 0; i < vcpus_each; ++i) can_run |= s.guest->vcpu(i).runnable();
        s.stuck = can_run ? 0 : s.stuck == ~0u ? patience + 1 : s.stuck + 1;
        if (s.stuck <= patience) continue;
        s.guest.reset();
        for (uint16_t id = 1; id < most_domains && !s.guest; ++id)
            if (!page_owner(id) && heap::free_pages().n > 512)
                s.guest = std::make_unique<RealGuest>(id, vcpus_each, data_pages, small_limits());
        if (s.guest) prepare(*s.guest);
        s.stuck = 0;
    }
}

/// Another vCPU for this CPU, of those that are on none.
void World::give_vcpu(Choice& c) {
    RealGuest* const all[] = {control_.get(), guests_[0].guest.get(), guests_[1].guest.get()};
    const uint64_t first = c.below(std::size(all) * vcpus_each);
    for (uint64_t n = 0; n < std::size(all) * vcpus_each; ++n) {
        const uint64_t k = (first + n) % (std::size(all) * vcpus_each);
        RealGuest* g = all[k / vcpus_each];
        if (!g || g->d->dying.load() != DyingState::alive) continue;
        Vcpu& v = g->vcpu(static_cast<unsigned>(k % vcpus_each));
        hv::vcpu_unblock(v);
        if (!v.runnable() || v.running_on.load() >= 0 || !v.initialised || v.pv->root() == 0) continue;
        run_here(v);
        guest_write_runstate(v);
        return;
    }
}

void World::settle() {
    const unsigned self = this_cpu().id;
    for (unsigned n = 0; n < cpu_count; ++n) {
        host::become(n);
        if (!current().idle && !current().runnable()) run_idle_here();
        this_cpu().pending.store(0);
    }
    host::become(self);
    domains_reap();
    replace_stuck();
    frames_owner_ = no_owner;
}

// -- the oracle -------------------------------------------------------------------------------------------------------

void World::check() {
    domains_reap();
    std::string wrong = check_pages();
    if (wrong.empty()) wrong = host::mmu::check();
    if (wrong.empty()) wrong = check_mirrors();
    if (wrong.empty()) wrong = host::mmu::mirrors_complaint();
    if (wrong.empty()) return;
    std::fprintf(stderr, "the model disagrees in step %zu (%s): %s\n", played_.size(), playing_, wrong.c_str());
    if (const char* to = std::getenv("HV_WORLD_DUMP")) {
        if (std::FILE* f = std::fopen(to, "wb")) {
            std::fwrite(played_.data(), sizeof(Record), played_.size(), f);
            std::fclose(f);
        }
    }
    broken("pages, or what is cached of them");
}

void World::part_done() {
    ++parts_;
    if (oracle_.every && parts_ % oracle_.every == 0) check();
    if (oracle_.also) oracle_.also();
}

// -- calls ------------------------------------------------------------------------------------------------------------

int64_t World::call(Choice& c, uint64_t number, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3) {
    Vcpu& v = current();
    if (v.idle || !v.runnable() || !v.pv->in_kernel) return -1;
    constexpr uint64_t syscall_length = 2;
    Regs& r = arch::guest_regs();
    uint64_t* const registers[] = {&r.rdi, &r.rsi, &r.rdx, &r.r10};
    const uint64_t in[] = {a0, a1, a2, a3};
    for (unsigned i = 0; i < 4; ++i) *registers[i] = in[i];
    for (unsigned turns = 0;; ++turns) {
        r.rax = number;
        const uint64_t rip = r.rip;
        hypercall_dispatch(v, r);
        part_done();
        const bool again = r.rip == rip - syscall_length && number != xen::HYPERVISOR_iret;
        if (!again) return static_cast<int64_t>(r.rax);
        r.rip = rip;
        if (turns > most_turns) broken("a call does not end");
        if (&current() != &v || !v.runnable() || c.chance(8)) return -1;  // abandoned
        if (c.chance(6)) *registers[c.below(4)] = word(c);                // goes on as another
        if (turns > 200) host::preempt_every(0);
    }
}

void World::step(const Record& r) {
    played_.push_back(r);
    Choice c(r);
    const Step* kind = nullptr;
    static const uint64_t total = [] {
        uint64_t sum = 0;
        for (size_t i = 0; i < paging_step_count; ++i) sum += paging_steps[i].weight;
        for (size_t i = 0; i < other_step_count; ++i) sum += other_steps[i].weight;
        return sum;
    }();
    uint64_t at = c.below(total);
    for (size_t i = 0; i < paging_step_count && !kind; ++i) {
        if (at < paging_steps[i].weight) kind = &paging_steps[i];
        else at -= paging_steps[i].weight;
    }
    for (size_t i = 0; i < other_step_count && !kind; ++i) {
        if (at < other_steps[i].weight) kind = &other_steps[i];
        else at -= other_steps[i].weight;
    }
    host::become(static_cast<unsigned>(c.below(machine_cpus)));
    if (current().idle || c.chance(12)) give_vcpu(c);
    if (!current().idle) {
        hv::vcpu_unblock(current());
        host::preempt_every(c.of<unsigned>({0, 0, 0, 1, 2, 3, 5, 17}));
        playing_ = kind->name;
        kind->play(*this, c);
        host::preempt_every(0);
        part_done();
    }
    settle();
    if (oracle_.also) oracle_.also();
}

bool World::may_trap(uint64_t vector) const {
    if (!control()) return true;
    const PvVcpu& pv = *current().pv;
    return pv.in_kernel && pv.traps.address[vector] && pv.traps.address[trap_gp] && pv.traps.address[trap_page_fault] &&
           pv.traps.address[trap_invalid_opcode];
}

// -- values -----------------------------------------------------------------------------------------------------------

const std::vector<uint64_t>& World::frames_of(Domain& d) {
    if (frames_owner_ == d.id.raw) return frames_;
    frames_.clear();
    for (uint32_t f = d.page_list_head; f; f = frame_table[f].next) frames_.push_back(f);
    frames_owner_ = d.id.raw;
    return frames_;
}

uint64_t World::own_frame(Choice& c) {
    const auto& all = frames_of(current().domain);
    return all.empty() ? 0 : all[c.below(all.size())];
}

uint64_t World::own_table(Choice& c, unsigned level) {
    const auto& all = frames_of(current().domain);
    if (all.empty()) return 0;
    const uint64_t first = c.below(all.size());
    for (size_t n = 0; n < all.size(); ++n) {
        const uint64_t f = all[(first + n) % all.size()];
        const uint64_t x = frame_table[f].type.load();
        if ((x & page::users_mask) && type_of(x) == static_cast<PageType>(level)) return f;
    }
    return all[first];
}

uint64_t World::frame(Choice& c) {
    switch (c.below(16)) {
        case 0: {  // another's
            const DomainRef d = next_domain(DomId::from_reg(c.below(most_domains)));
            if (!d || !d->page_list_head) return 0;
            frames_owner_ = no_owner;
            const auto& all = frames_of(*d);
            const uint64_t f = all[c.below(all.size())];
            frames_owner_ = no_owner;
            return f;
        }
        case 1: return mfn_of(current().domain.shared).raw;
        case 2: return c.below(max_frame + 2);
        case 3: return c.word();
        case 4:
        case 5:
        case 6: return own_table(c, static_cast<unsigned>(1 + c.below(4)));
        default: return own_frame(c);
    }
}

uint64_t World::entry(Choice& c, unsigned level) {
    constexpr uint64_t table = pte::present | pte::rw | pte::user | pte::accessed | pte::dirty;
    if (level <= 1) {
        const uint64_t bits = c.of<uint64_t>({table, table, table, table & ~pte::rw, table & ~pte::rw, pte::present | pte::user,
                                              0, table | pte::pse | pte::global | pte::avail | pte::nx, pte::present | pte::rw});
        return frame(c) << page_shift | bits;
    }
    const uint64_t bits =
        c.of<uint64_t>({table, table, table, table, table & ~pte::rw, 0, table | pte::pse, table | pte::global, pte::present});
    const uint64_t f = c.chance(70) ? own_table(c, level - 1) : c.chance(50) ? own_table(c, level) : frame(c);
    return f << page_shift | bits;
}

uint64_t World::address(Choice& c) {
    switch (c.below(8)) {
        case 0: return scratch_base + c.below(512) * page_size;
        case 1: return c.word();
        case 2:
            return c.of<uint64_t>({0, gdt_va(VcpuId(0)), 0xffff'8000'0000'0000, 0xffff'8300'0000'1000, 0x7fff'ffff'f000,
                                   0x8000'0000'0000, 0xffff'ffff'ffff'f000});
        case 3: return linear_base + c.below(512) * page_size;
        default: return linear_address(c.below(RealGuest::table_pages + data_pages)) + (c.chance(20) ? c.below(page_size) : 0);
    }
}

uint16_t World::domid(Choice& c) {
    return c.of<uint16_t>({xen::DOMID_SELF, xen::DOMID_SELF, current().domain.id.raw, 0, 1, 2, 3, 4, xen::DOMID_IO,
                           xen::DOMID_XEN, xen::DOMID_INVALID, static_cast<uint16_t>(c.word())});
}

uint64_t World::word(Choice& c) {
    switch (c.below(12)) {
        case 0: return c.word();
        case 1: return frame(c);
        case 2: return frame(c) << page_shift | c.below(page_size);
        case 3: return address(c);
        case 4: return domid(c);
        case 5: return handles.pick(c);
        case 6: return ports.pick(c);
        case 7: return entry(c, static_cast<unsigned>(1 + c.below(4)));
        case 8: return writable_page(c);
        case 9: return c.of<uint64_t>({~uint64_t{0}, uint64_t{1} << 31, uint64_t{1} << 32, 0x7fffffff, 0xffffffff, 4096, 512});
        default: return c.below(8);
    }
}

uint64_t World::writable_page(Choice& c) {
    const uint64_t first = c.below(data_pages);
    for (unsigned n = 0; n < data_pages; ++n) {
        const uint64_t va = RealGuest::data_address(static_cast<unsigned>((first + n) % data_pages));
        const auto t = host::mmu::walk(this_cpu().id, va);
        if (t && t->writable) return va;
    }
    return 0;
}

uint64_t World::put(Choice& c, const void* what, size_t n) {
    const uint64_t va = writable_page(c);
    if (va) (void)arch::copy_to_guest(va, what, n);
    return va;
}

}  // namespace hvmodel
