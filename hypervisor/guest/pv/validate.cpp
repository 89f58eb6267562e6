// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/guest/pv/validate.hpp"

#include "abi/xen/arch_x86.hpp"
#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/guest/pv/l1tf.hpp"
#include "hypervisor/guest/pv/present.hpp"
#include "hypervisor/mm/dirty.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv {
namespace {

constexpr unsigned entries_per_table = 512;

uint64_t* entries_of(PageInfo& p) { return map_mfn<uint64_t>(mfn_of(p)); }

PageType child_type(unsigned level) { return static_cast<PageType>(level - 1); }

/// A child that is left partial stays with its parent: it gives up the reference of its own that a partial page has.
void take_over_child(PageInfo& parent, PageInfo& child) {
    child.progress_flags |= progress::owned_by_parent;
    parent.progress_flags |= progress::child_partial;
    put_page(child);  // the entry's own reference keeps it
}

PageInfo& child_of(uint64_t entry) { return page_of(Mfn::of_address(entry & pte::frame_mask)); }

/// Makes the child in work a free-standing partial page again, so that the ordinary paths can adopt it.
PageInfo& give_back_child(PageInfo& parent, uint64_t entry) {
    PageInfo& child = child_of(entry);
    child.progress_flags = static_cast<uint8_t>(child.progress_flags & ~progress::owned_by_parent);
    parent.progress_flags = static_cast<uint8_t>(parent.progress_flags & ~progress::child_partial);
    get_page_again(child);
    return child;
}

/// The entry in work is linear: its table was being released when this one was taken up again. That comes to its end first;
/// then the entry is like any other that holds nothing. Errors: restart.
Status finish_linear_child(Domain& d, PageInfo& p, uint64_t e) REQUIRES(d.pv->lock) {
    if (!(p.progress_flags & progress::child_partial)) return ok;
    PageInfo& child = child_of(e);
    const PageType own = type_of(p.type.load(std::memory_order_acquire));
    if (type_of(child.type.load(std::memory_order_acquire)) != own) return ok;
    give_back_child(p, e);
    if (const Status s = finish_put(d, child); !s) {
        take_over_child(p, child);
        return s;
    }
    put_page(child);
    return ok;
}

Status validate_entry(Domain& d, PageInfo& p, uint64_t& slot, unsigned level) REQUIRES(d.pv->lock) {
    uint64_t e = slot;
    TRY(finish_linear_child(d, p, e));
    if (p.progress_flags & progress::child_partial) {
        // The entry was taken and adjusted when the work was interrupted.
        PageInfo& child = give_back_child(p, e);
        const Status s = get_page_type(d, child, child_type(level));
        if (s) return ok;
        if (left_partial(s.error())) take_over_child(p, child);
        else put_page(child);
        return s;
    } else {
        const Status s = table_entry_get(d, p, e, level);
        if (!s && left_partial(s.error())) {
            // Keep the entry's reference: table_entry_get dropped its own, the partial child still has one.
            get_page_again(child_of(e));
            slot = e;
            dirtied(&slot);
            take_over_child(p, child_of(e));
        }
        TRY(s);
    }
    if (e != slot) {
        slot = e;
        dirtied(&slot);
    }
    return ok;
}

/// Drops entry `i`. Errors: restart: the child in work now belongs to this table.
Status release_entry(Domain& d, PageInfo& p, uint64_t e) REQUIRES(d.pv->lock) {
    PageInfo& child = child_of(e);
    if (&child == &p) return ok;
    const bool resumed = p.progress_flags & progress::child_partial;
    if (resumed) give_back_child(p, e);
    else forget_linear_use(p, child);
    const Status s = resumed ? finish_put(d, child) : put_page_type(d, child);
    if (!s) {
        take_over_child(p, child);
        return s;
    }
    put_page(child);
    return ok;
}

/// Before anything is taken: then there is nothing to give back.
Status check_nonpresent(Domain& d, const uint64_t* table, unsigned level) {
    for (unsigned i = 0; i < entries_per_table; ++i)
        if (!(level == 4 && is_hypervisor_slot(i))) TRY(l1tf_check(d, table[i], level));
    return ok;
}

/// Notes how far the work came when it ended with `s` at entry `i`.
Status stop_at(Domain& d, PageInfo& p, unsigned i, unsigned level, Errc s) {
    p.stamp.store(i, std::memory_order_relaxed);
    if (s == Errc::restart) return Err{s};
    guest_log(LogLevel::debug, "d%u: entry %u of L%u table %lx not allowed: %016lx (error %u)", d.id.raw, i, level, mfn_of(p).raw,
              entries_of(p)[i], static_cast<unsigned>(s));
    return Err{s == Errc::intr ? Errc::inval : s};
}

Status validate_entries(Domain& d, PageInfo& p, unsigned level) REQUIRES(d.pv->lock) {
    uint64_t* table = entries_of(p);
    const bool begins = p.stamp.load(std::memory_order_relaxed) == 0 && !(p.progress_flags & progress::child_partial);
    if (d.pv->checks_nonpresent && begins) TRY(check_nonpresent(d, table, level));
    if (level == 1) {
        unsigned i = 0;
        if (const Status s = l1_table_get(d, table, i); !s) return stop_at(d, p, i, level, s.error());
        return ok;
    }
    for (unsigned i = next_present(table, p.stamp.load(std::memory_order_relaxed)); i < entries_per_table;
         i = next_present(table, i + 1)) {
        if (level == 4 && is_hypervisor_slot(i)) continue;
        if (const Status s = validate_entry(d, p, table[i], level); !s) return stop_at(d, p, i, level, s.error());
        if (i + 1 < entries_per_table && arch::preempt_wanted()) return stop_at(d, p, i + 1, level, Errc::restart);
    }
    if (level == 4) fill_hypervisor_slots(d, table);
    return ok;
}

Status release_entries(Domain& d, PageInfo& p, unsigned level) REQUIRES(d.pv->lock) {
    uint64_t* table = entries_of(p);
    unsigned end = p.stamp.load(std::memory_order_relaxed);
    if (level == 1) {
        l1_table_put(table, end);
        return ok;
    }
    // The entry in work counts as still held.
    if (p.progress_flags & progress::child_partial) ++end;
    if (level == 4 && end > l4_slot_m2p) {
        for (unsigned i = l4_slot_m2p; i < l4_slot_end && i < end; ++i) table[i] = 0;
        dirtied(table);
    }
    for (end = last_present(table, end); end > 0; end = last_present(table, end - 1)) {
        const unsigned i = end - 1;
        const Status s = release_entry(d, p, table[i]);
        p.stamp.store(i, std::memory_order_relaxed);
        TRY(s);
        if (i > 0 && arch::preempt_wanted()) return Err{Errc::restart};
    }
    return ok;
}

Status validate_descriptors(PageInfo& p) {
    uint64_t* d = entries_of(p);
    for (unsigned i = 0; i < entries_per_table; ++i) {
        uint64_t checked = d[i];
        TRY(check_descriptor(checked));
        if (checked == d[i]) continue;
        d[i] = checked;
        dirtied(d);
    }
    return ok;
}

}  // namespace

Status validate_table(Domain& owner, PageInfo& p, PageType t) {
    if (t == PageType::segdesc) return validate_descriptors(p);
    return validate_entries(owner, p, static_cast<unsigned>(t));
}

Status release_table(Domain& owner, PageInfo& p, PageType t) {
    if (t == PageType::segdesc) return ok;  // descriptors hold nothing
    return release_entries(owner, p, static_cast<unsigned>(t));
}

}  // namespace hv
