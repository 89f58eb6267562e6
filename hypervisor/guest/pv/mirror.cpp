// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/guest/pv/mirror.hpp"

#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/domain/dirty_log.hpp"
#include "hypervisor/guest/pv/present.hpp"
#include "hypervisor/guest/pv/types.hpp"
#include "hypervisor/guest/pv/view.hpp"
#include "hypervisor/mm/heap.hpp"
#include "hypervisor/mm/tlb.hpp"

namespace hv {
namespace {

constexpr unsigned entries_per_table = 512;
constexpr uint8_t level_mask = 7, generation_bit = 0x80;

PageInfo& info(uint32_t mirror) { return frame_table[mirror]; }
uint64_t* entries_of(uint32_t mirror) { return map_mfn<uint64_t>(Mfn(mirror)); }
unsigned level_of(uint32_t mirror) { return info(mirror).progress_flags & level_mask; }
/// The table's next mirror, of another level.
uint32_t sibling(uint32_t mirror) { return static_cast<uint32_t>(info(mirror).type.load(std::memory_order_relaxed)); }
void set_sibling(uint32_t mirror, uint32_t next) { info(mirror).type.store(next, std::memory_order_relaxed); }
bool is_current(const Mirrors& m, uint32_t mirror) { return (info(mirror).progress_flags & generation_bit) == m.generation; }
uint32_t first_of(const PageInfo& table) { return table.stamp.load(std::memory_order_relaxed); }
Mfn frame_in(uint64_t e) { return Mfn::of_address(e & pte::frame_mask); }

// -- lists ------------------------------------------------------------------------------------------------------------

void append(Mirrors::List& l, uint32_t mirror) {
    info(mirror).next = 0;
    info(mirror).prev = l.last;
    (l.last ? info(l.last).next : l.first) = mirror;
    l.last = mirror;
}

void remove(Mirrors::List& l, uint32_t mirror) {
    const PageInfo& p = info(mirror);
    (p.prev ? info(p.prev).next : l.first) = p.next;
    (p.next ? info(p.next).prev : l.last) = p.prev;
}

/// Puts one list behind another; it is empty then.
void move_all(Mirrors::List& to, Mirrors::List& from) {
    if (!from.first) return;
    (to.last ? info(to.last).next : to.first) = from.first;
    info(from.first).prev = to.last;
    to.last = from.last;
    from = {};
}

Mirrors::List& list_of(Mirrors& m, uint32_t mirror) {
    if (!is_current(m, mirror)) return m.left;
    return level_of(mirror) == 1 ? m.leaves : m.inner;
}

void leave_list(Mirrors& m, uint32_t mirror) {
    if (m.cursor == mirror) m.cursor = info(mirror).next;
    remove(list_of(m, mirror), mirror);
}

// -- entries ----------------------------------------------------------------------------------------------------------

/// Of level 1.
uint64_t leaf(uint64_t e) {
    constexpr uint64_t used = pte::present | pte::accessed;
    if ((e & used) != used) return 0;
    return e & (e & pte::dirty ? ~pte::dirty : ~pte::rw);
}

/// Makes entry `i` of a mirror what the table's entry asks for. A page whose entry goes was written if that says so.
void follow(Domain& d, const PageInfo& table, uint32_t mirror, unsigned i) REQUIRES(d.pv->lock) {
    const Mirrors& m = *d.pv->mirrors;
    const unsigned level = level_of(mirror);
    uint64_t* slot = entries_of(mirror) + i;
    const uint64_t e = __atomic_load_n(map_mfn<uint64_t>(mfn_of(table)) + i, __ATOMIC_RELAXED);
    const uint64_t want = is_current(m, mirror) ? mirrored_entry(d, table, level, i, e) : 0;
    const uint64_t seen = __atomic_load_n(slot, __ATOMIC_RELAXED);
    if ((level == 1 ? seen & ~pte::dirty : seen) == want) return;
    const uint64_t old = __atomic_exchange_n(slot, want, __ATOMIC_SEQ_CST);
    if (level == 1 && (old & pte::dirty)) log_page(frame_in(old));
    if (level == 4) pv_root_changed(d, slot);
}

/// Empties a mirror. What its entries know goes to the log before they are gone for good.
void empty(uint32_t mirror) {
    uint64_t* entries = entries_of(mirror);
    const bool leaves = level_of(mirror) == 1;
    for (unsigned i = next_present(entries, 0); i < entries_per_table; i = next_present(entries, i + 1)) {
        // By exchange: a CPU that still walks here finds the entry, and then its dirty bit is seen, or finds none.
        const uint64_t old = __atomic_exchange_n(entries + i, uint64_t{0}, __ATOMIC_SEQ_CST);
        if (leaves && (old & pte::dirty)) log_page(frame_in(old));
    }
}

/// Notes which pages were written since the last time.
void harvest(uint32_t mirror) {
    uint64_t* entries = entries_of(mirror);
    for (unsigned i = 0; i < entries_per_table; i += detail::asked_at_once) {
        uint64_t any = 0;
#pragma GCC unroll 16
        for (unsigned n = 0; n < detail::asked_at_once; ++n) any |= __atomic_load_n(entries + i + n, __ATOMIC_RELAXED);
        if (!(any & pte::dirty)) continue;
        for (unsigned n = i; n < i + detail::asked_at_once; ++n) {
            if (!(__atomic_load_n(entries + n, __ATOMIC_RELAXED) & pte::dirty)) continue;
            log_page(frame_in(__atomic_fetch_and(entries + n, ~pte::dirty, __ATOMIC_SEQ_CST)));
        }
    }
}

// -- pages for mirrors ------------------------------------------------------------------------------------------------

/// A mirror ceases to be its table's; it is on no list then, and stamped: CPUs may have noted where it was.
void end_mirror(Domain& d, uint32_t mirror) REQUIRES(d.pv->lock) {
    leave_list(*d.pv->mirrors, mirror);
    empty(mirror);
    PageInfo& table = frame_table[info(mirror).stamp.load(std::memory_order_relaxed)];
    if (first_of(table) == mirror) {
        table.stamp.store(sibling(mirror), std::memory_order_relaxed);
    } else {
        uint32_t before = first_of(table);
        while (sibling(before) != mirror) before = sibling(before);
        set_sibling(before, sibling(mirror));
    }
    info(mirror).progress_flags = 0;
    info(mirror).type.store(0, std::memory_order_seq_cst);
    tlb_stamp(info(mirror));
}

Mfn PvVcpu::*const both_roots[] = {&PvVcpu::kernel_root, &PvVcpu::user_root};

/// f(vCPU, which root) for each root that there is.
template <class F>
void each_root(Domain& d, F f) NO_THREAD_SAFETY_ANALYSIS {
    for (uint32_t i = 0; d.vcpus && i < d.limits.max_vcpus; ++i) {
        Vcpu* v = d.vcpus[i];
        if (!v || !v->pv) continue;
        for (Mfn PvVcpu::*root : both_roots)
            if ((v->pv->*root).raw != 0) f(*v->pv, root);
    }
}

/// Leaves all mirrors to themselves but the roots, which lead nowhere then. None are left from the last time.
void begin_anew(Domain& d) REQUIRES(d.pv->lock) {
    Mirrors& m = *d.pv->mirrors;
    HV_ASSERT(m.left.first == 0);
    m.generation ^= generation_bit;
    move_all(m.left, m.leaves);
    move_all(m.left, m.inner);
    each_root(d, [&](PvVcpu& pv, Mfn PvVcpu::*root) REQUIRES(d.pv->lock) {
        const auto mirror = static_cast<uint32_t>((pv.*pv_cr3_of(root)).raw);
        if (is_current(m, mirror)) return;  // two vCPUs share it
        leave_list(m, mirror);
        info(mirror).progress_flags ^= generation_bit;
        append(m.inner, mirror);
        uint64_t* entries = entries_of(mirror);
        for (unsigned i = 0; i < entries_per_table; ++i)
            if (!is_hypervisor_slot(i)) __atomic_store_n(entries + i, uint64_t{0}, __ATOMIC_SEQ_CST);
        pv_root_changed(d, entries);
    });
    // CPUs may still walk what they noted: it stays as it is until the first of these mirrors is used again, and then they flush.
}

/// An empty page on no list. What it was before no CPU remembers.
uint32_t take_page(Domain& d) REQUIRES(d.pv->lock) {
    Mirrors& m = *d.pv->mirrors;
    uint32_t page = m.unused.first;
    if (page) {
        remove(m.unused, page);
    } else if (auto fresh = m.pages < m.most ? heap::alloc_page_zeroed() : Result<void*>(Err{Errc::nomem}); fresh) {
        ++m.pages;
        return static_cast<uint32_t>(mfn_of(fresh.value()).raw);
    } else {
        if (!m.left.first) begin_anew(d);
        page = m.left.first;
        HV_ASSERT(page != 0);  // there are more pages than roots
        end_mirror(d, page);
    }
    tlb_flush_before_reuse(info(page), d.dirty_cpus.load_behind_writes());
    return page;
}

/// Makes the mirror of a table that is walked as one of `level`; it has none. Others may have been left to themselves for it.
uint32_t make_mirror(Domain& d, PageInfo& table, unsigned level) REQUIRES(d.pv->lock) {
    const uint32_t mirror = take_page(d);
    Mirrors& m = *d.pv->mirrors;
    PageInfo& p = info(mirror);
    p.stamp.store(static_cast<uint32_t>(mfn_of(table).raw), std::memory_order_relaxed);
    p.progress_flags = static_cast<uint8_t>(level | m.generation);
    set_sibling(mirror, first_of(table));
    table.stamp.store(mirror, std::memory_order_relaxed);
    append(list_of(m, mirror), mirror);
    const uint64_t* from = map_mfn<uint64_t>(mfn_of(table));
    uint64_t* to = entries_of(mirror);
    for (unsigned i = next_present(from, 0); i < entries_per_table; i = next_present(from, i + 1))
        to[i] = mirrored_entry(d, table, level, i, __atomic_load_n(from + i, __ATOMIC_RELAXED));
    return mirror;
}

}  // namespace

uint32_t mirror_of(const Domain& d, const PageInfo& table, unsigned level) {
    for (uint32_t mirror = first_of(table); mirror; mirror = sibling(mirror))
        if (level_of(mirror) == level && is_current(*d.pv->mirrors, mirror)) return mirror;
    return 0;
}

uint64_t mirrored_entry(const Domain& d, const PageInfo& table, unsigned level, unsigned i, uint64_t e) {
    if (type_of(table.type.load(std::memory_order_relaxed)) == PageType::l4 && is_hypervisor_slot(i)) return level == 4 ? e : 0;
    if (level == 1) return leaf(e);
    constexpr uint64_t used = pte::present | pte::accessed;
    if ((e & used) != used) return 0;
    const uint32_t below = mirror_of(d, page_of(frame_in(e)), level - 1);
    return below ? (e & ~pte::frame_mask) | Mfn(below).address() : 0;
}

void forget_mirrors(Domain& d, PageInfo& table) {
    while (const uint32_t mirror = first_of(table)) {
        end_mirror(d, mirror);
        append(d.pv->mirrors->unused, mirror);
    }
}

Mfn mirrored_root(Domain& d, Mfn root) {
    if (root.raw == 0 || !pv_has_mirrors(d)) return root;
    const uint32_t have = mirror_of(d, page_of(root), 4);
    return Mfn(have ? have : make_mirror(d, page_of(root), 4));
}

void pv_word_written(Domain& d, PageInfo& p, const void* at) {
    // While a table is validated or released its stamp is its progress.
    const uint64_t x = p.type.load(std::memory_order_acquire);
    if (!is_table(type_of(x)) || !(x & page::validated) || !(x & page::users_mask)) return;
    const auto i = static_cast<unsigned>((reinterpret_cast<uint64_t>(at) & (page_size - 1)) / sizeof(uint64_t));
    for (uint32_t mirror = first_of(p); mirror; mirror = sibling(mirror)) follow(d, p, mirror, i);
}

// -- faults -----------------------------------------------------------------------------------------------------------

namespace {

constexpr uint32_t error_present = 1, error_write = 2, error_user = 4, error_fetch = 16;

/// The way of an access through the guest's tables.
struct Way {
    struct Step {
        PageInfo* table;
        uint64_t* slot;
        uint64_t entry;
        unsigned index() const { return static_cast<unsigned>((reinterpret_cast<uint64_t>(slot) & (page_size - 1)) / 8); }
    } steps[4];            ///< by the level that the CPU takes the table for, less 1
    bool present = false;  ///< it leads somewhere
    bool allowed = false;
};

Way find_way(Mfn root, uint64_t va, uint32_t error) {
    Way w;
    PageInfo* table = &page_of(root);
    uint64_t all = ~uint64_t{0}, any = 0;
    for (unsigned level = 4; level > 0; --level) {
        const unsigned i = base::radix::index_of(va, level);
        uint64_t* slot = map_mfn<uint64_t>(mfn_of(*table)) + i;
        const uint64_t e = __atomic_load_n(slot, __ATOMIC_RELAXED);
        if (!(e & pte::present)) return w;
        w.steps[level - 1] = {table, slot, e};
        all &= e;
        any |= e;
        if (type_of(table->type.load(std::memory_order_acquire)) == PageType::l4 && is_hypervisor_slot(i)) {
            w.present = true;  // and nothing of the guest's
            return w;
        }
        if (level > 1) table = &page_of(frame_in(e));
    }
    w.present = true;
    w.allowed = (!(error & error_write) || (all & pte::rw)) && (!(error & error_user) || (all & pte::user)) &&
                (!(error & error_fetch) || !(any & pte::nx));
    return w;
}

/// Sets in the guest's entries what the CPU would have set.
void use_way(Way& w, bool write) {
    for (unsigned level = 4; level > 0; --level) {
        Way::Step& s = w.steps[level - 1];
        const uint64_t bits = pte::accessed | (write && level == 1 ? pte::dirty : 0);
        if ((s.entry & bits) == bits) continue;
        __atomic_fetch_or(s.slot, bits, __ATOMIC_ACQ_REL);
        dirtied(s.slot);
    }
}

/// False: there was no page for a mirror, and all of them have been left to themselves.
bool lay_mirrors(Domain& d, const Way& w) REQUIRES(d.pv->lock) {
    const uint8_t generation = d.pv->mirrors->generation;
    uint32_t mirror = mirror_of(d, *w.steps[3].table, 4);
    for (unsigned level = 4; level > 1; --level) {
        PageInfo& below = *w.steps[level - 2].table;
        const uint32_t have = mirror_of(d, below, level - 1);
        const uint32_t next = have ? have : make_mirror(d, below, level - 1);
        if (d.pv->mirrors->generation != generation) return false;
        follow(d, *w.steps[level - 1].table, mirror, w.steps[level - 1].index());
        mirror = next;
    }
    follow(d, *w.steps[0].table, mirror, w.steps[0].index());
    return true;
}

/// The guest's root whose mirror this CPU has loaded; 0: it runs on none.
Mfn root_behind(const PvVcpu& pv) {
    const Mfn loaded = Mfn::of_address(this_cpu().loaded_cr3);
    for (Mfn PvVcpu::*root : both_roots)
        if (pv.*pv_cr3_of(root) == loaded && pv.*root != loaded) return pv.*root;
    return Mfn(0);
}

}  // namespace

bool mirror_fault(Vcpu& v, uint64_t address, uint32_t& error) {
    Domain& d = v.domain;
    if (!d.dirty_log.load(std::memory_order_relaxed)) return false;
    Guard g(d.pv->lock);
    const Mfn root = pv_has_mirrors(d) ? root_behind(*v.pv) : Mfn(0);
    if (root.raw == 0) return false;
    Way w = find_way(root, address, error);
    if (!w.allowed) {
        error = (error & ~error_present) | (w.present ? error_present : 0);
        return false;
    }
    use_way(w, error & error_write);
    // All that are not roots are free after the first time in vain: there are enough then.
    for (unsigned vain = 0; !lay_mirrors(d, w); ++vain) HV_ASSERT(vain == 0);
    if (DirtyLog* log = d.dirty_log.load(std::memory_order_relaxed)) log->faults.fetch_add(1, std::memory_order_relaxed);
    return true;
}

// -- beginning, harvest, end --------------------------------------------------------------------------------------------

namespace {

/// What an instruction, and the hypervisor for it, can need at once, many times over.
constexpr uint32_t least_pages = 64;

void free_unused(Mirrors& m, uint32_t page) {
    remove(m.unused, page);
    --m.pages;
    heap::free_page(map_mfn(Mfn(page)));
}

Result<Mirrors*> make_pool(Domain& d) {
    auto* m = TRY(make<Mirrors>());
    const uint32_t least = least_pages + 2 * d.limits.max_vcpus;
    {
        Guard g(d.page_list_lock);
        const uint64_t share = d.tot_pages / 100;
        m->most = share > least ? static_cast<uint32_t>(share) : least;
    }
    while (m->pages < least) {
        auto page = heap::alloc_page_zeroed();
        if (!page) {
            while (m->unused.first) free_unused(*m, m->unused.first);
            destroy(m);
            return Err{Errc::nomem};
        }
        const auto frame = static_cast<uint32_t>(mfn_of(page.value()).raw);
        info(frame).stamp.store(0, std::memory_order_relaxed);  // who may have known it has flushed
        append(m->unused, frame);
        ++m->pages;
    }
    return m;
}

/// Says for each vCPU, none of which runs, what is loaded for its roots.
void set_cr3s(Domain& d) REQUIRES(d.pv->lock) {
    each_root(d, [&](PvVcpu& pv, Mfn PvVcpu::*root) REQUIRES(d.pv->lock) { pv.*pv_cr3_of(root) = mirrored_root(d, pv.*root); });
}

/// One of them, of any list, becomes free. False: there are none.
bool free_one(Domain& d) REQUIRES(d.pv->lock) {
    Mirrors& m = *d.pv->mirrors;
    for (const Mirrors::List* l : {&m.leaves, &m.inner, &m.left}) {
        const uint32_t mirror = l->first;
        if (!mirror) continue;
        end_mirror(d, mirror);
        append(m.unused, mirror);
        break;
    }
    if (!m.unused.first) return false;
    free_unused(m, m.unused.first);
    return true;
}

}  // namespace

Status pv_log_start(Domain& d) {
    Mirrors* m = TRY(make_pool(d));
    domain_pause(d);
    {
        Guard g(d.pv->lock);
        d.pv->mirrors = m;
        set_cr3s(d);
    }
    domain_unpause(d);
    return ok;
}

Status pv_log_stop(Domain& d) {
    if (!d.pv || !d.pv->mirrors) return ok;
    if (!d.pv->mirrors->ending) {
        domain_pause(d);
        {
            Guard g(d.pv->lock);
            d.pv->mirrors->ending = true;
            set_cr3s(d);
        }
        domain_unpause(d);
    }
    for (;;) {
        {
            Guard g(d.pv->lock);
            if (!free_one(d)) break;
        }
        if (arch::preempt_wanted()) return Err{Errc::restart};
    }
    Guard g(d.pv->lock);
    destroy(d.pv->mirrors);
    d.pv->mirrors = nullptr;
    return ok;
}

Status pv_log_harvest(Domain& d, uint64_t& done) {
    constexpr unsigned at_once = 32;
    for (bool over = false; !over;) {
        {
            Guard g(d.pv->lock);
            Mirrors& m = *d.pv->mirrors;
            if (done == 0) {
                m.cursor = m.leaves.first;
                m.in_left = false;
            }
            for (unsigned n = 0; n < at_once && !over; ++n, ++done) {
                if (const uint32_t mirror = m.cursor) {
                    m.cursor = info(mirror).next;
                    if (level_of(mirror) == 1) harvest(mirror);
                } else {
                    over = m.in_left;
                    m.in_left = true;
                    m.cursor = m.left.first;
                }
            }
        }
        if (!over && arch::preempt_wanted()) return Err{Errc::restart};
    }
    // What a CPU has noted as dirty it writes without a look: until here these pages are marked, from here on it looks.
    arch::flush_tlb(d.dirty_cpus.load_behind_writes());
    return ok;
}

void pv_log_last(Domain& d) {
    // CPUs mark the descriptors that they load.
    Guard g(d.pv->lock);
    constexpr uint32_t per_page = 512;
    for (uint32_t i = 0; i < d.limits.max_vcpus; ++i) {
        const Vcpu* v = d.vcpus[i];
        if (!v || !v->pv) continue;
        for (uint32_t n = 0; n * per_page < v->pv->gdt_entries; ++n) log_page(v->pv->gdt_frames[n]);
        for (uint32_t n = 0; n * per_page < v->pv->ldt_entries; ++n) log_page(v->pv->ldt_frames[n]);
    }
}

}  // namespace hv
