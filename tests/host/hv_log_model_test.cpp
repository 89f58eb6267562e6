// SPDX-License-Identifier: Apache-2.0
// link: hvmodel
// The log of dirty pages under hostile guests: whatever they do, a copy of their memory that follows the log alone is right in the end,
// their own tables look as if nobody logged, and no mirror allows what they do not. HV_MODEL_SECONDS and HV_MODEL_SEED as for the model
// of pages.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <set>

#include "abi/xen/basic.hpp"
#include "abi/xen/grant_table.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/grant/grant.hpp"
#include "hypervisor/guest/pv/mirror.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/sync/spinlock.hpp"
#include "tests/machine/host.hpp"
#include "tests/machine/mmu.hpp"
#include "tests/model/log_model.hpp"
#include "tests/model/world.hpp"

namespace {

using namespace hvmodel;

uint64_t setting(const char* name, uint64_t otherwise) {
    const char* s = std::getenv(name);
    return s ? std::strtoull(s, nullptr, 0) : otherwise;
}

/// What CPUs do all the time, and hypercalls do not tell of: guests read and write, wherever something is mapped, and descriptors that
/// they load are marked.
void let_guests_work(Choice& c) {
    const unsigned self = this_cpu().id;
    for (unsigned cpu = 0; cpu < cpu_count; ++cpu) {
        host::become(cpu);
        if (current().idle) continue;
        for (uint64_t n = c.below(12); n > 0; --n) {
            // A few places more often: what is cached of them is used again.
            const uint64_t page = c.chance(60) ? c.below(6) : c.below(40);
            constexpr uint64_t l1_bytes = 512 * page_size;  // reached by one: the guests link new ones all the time
            const uint64_t va = c.chance(55)   ? RealGuest::data_address(static_cast<unsigned>(page))
                                : c.chance(50) ? scratch_base + page % 32 * page_size
                                               : linear_base + c.below(16) * l1_bytes + page % 8 * page_size;
            if (c.chance(70)) (void)arch::store_to_guest(va + c.below(512) * 8, c.word());
            else (void)host::mmu::touch(cpu, va, false);
        }
        const PvVcpu& pv = *current().pv;
        if (pv.gdt_entries && c.chance(30))
            map_mfn<uint64_t>(pv.gdt_frames[0])[c.below(std::min<uint64_t>(pv.gdt_entries, 512))] |= uint64_t{1} << 40;
        if (pv.ldt_entries && c.chance(30))
            map_mfn<uint64_t>(pv.ldt_frames[0])[c.below(std::min<uint64_t>(pv.ldt_entries, 512))] |= uint64_t{1} << 40;
    }
    host::become(self);
}

struct Counts {
    uint64_t worlds = 0, steps = 0, harvests = 0, ends = 0, refreshed = 0;
};

/// Reads the log of one of the guests, or of none.
class Reading {
    World& world_;
    Counts& counts_;
    std::unique_ptr<LogReader> reader_;
    bool few_ = false;
    uint64_t more_ = 0;

    /// Who reads a log is another domain: what runs here leaves its CPU before it is paused.
    static void make_room() {
        if (!current().idle && !current().domain.privileged) run_idle_here();
    }

    void begin(Choice& c) {
        make_room();
        RealGuest* g = world_.guest(static_cast<unsigned>(c.below(World::guest_count)));
        if (!g || !g->d || g->d->dying.load() != DyingState::alive || g->d->dirty_log.load()) return;
        reader_ = std::make_unique<LogReader>(*g);
        few_ = c.chance(60);
        more_ = c.below(2);
        RealGuest* other = world_.guest(g == world_.guest(0));
        if (other && c.chance(50)) grant_a_page(*g, *other, c);
    }

    /// So few that every few accesses all of them are left to themselves; never fewer than one access needs, with so many roots more.
    void allow_few_mirrors(unsigned roots_more) const {
        if (!reader_ || !few_ || !reader_->alive()) return;
        Domain& d = reader_->domain();
        Guard g(d.pv->lock);
        Mirrors& m = *d.pv->mirrors;
        std::set<uint64_t> roots;
        for (uint32_t i = 0; i < d.limits.max_vcpus; ++i)
            for (const Mfn root : {d.vcpus[i]->pv->kernel_root, d.vcpus[i]->pv->user_root}) roots.insert(root.raw);
        roots.erase(0);
        constexpr unsigned for_one_access = 3;
        m.most = static_cast<uint32_t>(roots.size() + roots_more + for_one_access + more_);
        while (m.pages > m.most && m.unused.first) {
            const uint32_t page = m.unused.first;
            m.unused.first = frame_table[page].next;
            (m.unused.first ? frame_table[m.unused.first].prev : m.unused.last) = 0;
            --m.pages;
            heap::free_page(map_mfn(Mfn(page)));
        }
    }

    /// The other guest maps a page of this one's, to write to it.
    void grant_a_page(RealGuest& owner, RealGuest& other, Choice& c) {
        if (owner->dying.load() != DyingState::alive || grants_version(*owner.d) != 1 || !other.vcpu().runnable()) return;
        const auto ref = static_cast<uint32_t>(c.below(16));
        auto& e = map_mfn<xen::GrantEntryV1>(must(get_grant_frame(*owner.d, 0)))[ref];
        e = {xen::GTF_permit_access, other->id.raw, static_cast<uint32_t>(owner.data[c.below(owner.data.size())].raw)};
        Vcpu& v = other.vcpu();
        if (v.running_on.load() >= 0) host::become(static_cast<unsigned>(v.running_on.load()));
        else run_here(v);
        auto op = xen::zeroed<xen::GnttabMapGrantRef>();
        op.flags = xen::GNTMAP_host_map;
        op.host_addr = scratch_base + c.below(6) * page_size;
        op.ref = ref;
        op.dom = owner->id.raw;
        world_.call(c, xen::HYPERVISOR_grant_table_op, xen::GNTTABOP_map_grant_ref, world_.put(c, op), 1);
    }

    void finish(Choice& c) {
        make_room();
        ++counts_.ends;
        counts_.refreshed += reader_->refreshed();
        domain_pause(reader_->domain());
        const std::string wrong = reader_->last();
        domain_unpause(reader_->domain());
        if (!wrong.empty()) {
            std::fprintf(stderr, "the model disagrees: %s\n", wrong.c_str());
            broken("a log of dirty pages");
        }
        if (c.chance(30)) return;  // it goes on after all
        host::preempt_every(c.chance(50) ? 2 : 0);
        Domain& d = reader_->domain();
        while (!dirty_log_stop(d)) {}
        host::preempt_every(0);
        reader_.reset();
    }

public:
    Reading(World& w, Counts& n) : world_(w), counts_(n) {}
    /// Before a step of the world, which may load two other roots, and behind it, where none comes.
    void before_calls() const { allow_few_mirrors(2); }
    void behind_calls() const { allow_few_mirrors(0); }
    void step(const Record& r) {
        Choice c(r);
        if (reader_ && !reader_->alive()) reader_.reset();
        if (!reader_ && c.chance(30)) begin(c);
        if (!reader_) return;
        if (c.chance(8)) return finish(c);
        if (!c.chance(50)) return;
        host::preempt_every(c.of<unsigned>({0, 1, 2}));
        counts_.harvests += reader_->part();
        host::preempt_every(0);
    }
};

TEST(LogModel, WhatFollowsTheLogIsTheGuestsMemory) {
    constexpr unsigned steps_each = 800;
    const uint64_t seed = setting("HV_MODEL_SEED", 1);
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(setting("HV_MODEL_SECONDS", 15));
    host::mmu::use_what_is_cached(true);
    Counts n;
    for (; std::chrono::steady_clock::now() < end; ++n.worlds) {
        Random random(seed << 32 | n.worlds);
        World w({n.worlds % 4 == 0 ? 1u : 16u, n.worlds % 3 == 0, nullptr, false});
        Reading reading(w, n);
        for (unsigned i = 0; i < steps_each; ++i, ++n.steps) {
            reading.before_calls();
            w.step(random.record());
            reading.behind_calls();
            const Record work = random.record();
            Choice c(work);
            let_guests_work(c);
            if (c.chance(30)) w.check();
            reading.step(random.record());
        }
    }
    host::mmu::use_what_is_cached(false);
    std::printf("log model: %lu steps in %lu worlds, %lu harvests, %lu ends, %lu pages copied, seed %lu\n", n.steps, n.worlds,
                n.harvests, n.ends, n.refreshed, seed);
    EXPECT_GT(n.ends, 3u);
}

}  // namespace
