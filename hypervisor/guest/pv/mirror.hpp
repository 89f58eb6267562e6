// SPDX-License-Identifier: Apache-2.0
/// Mirror tables: how a log of dirty pages learns what a PV guest writes itself, without a change to the guest's tables, whose
/// accessed and dirty bits are the guest's own to read.
///
/// While its domain has a log, CPUs run a guest on mirrors of its tables. A mirror is a page of ours with an entry for each entry of
/// one table, at the same index, and never allows more:
///  - present only if the guest's entry is present and accessed;
///  - of levels 2 to 4: it names the mirror of the table below, and is not present while there is none;
///  - of level 1: the same frame; writable only if the guest's entry is writable and dirty. Its own dirty bit begins at 0.
/// So the CPU never has a bit to set in the guest's tables, and a set dirty bit of a mirror means: written since the last harvest.
///
/// A mirror is never out of date: whoever writes an entry of a table names it (mm/dirty.hpp) under the lock of the tables, and its
/// mirrors follow. It is made when an access needs it, by mirror_fault(), which decides by the guest's tables what the access may,
/// and sets in them what the CPU would have set.
///
/// A table that linear entries name (types.hpp) is walked as a table of several levels: it has a mirror for each.
///
/// Mirrors are few: 1 % of the domain's pages. When there is none left, all of them are left to themselves at once: the roots, which
/// CPUs run on, become empty. What mirrors that are left still know of written pages is kept until each is taken for another table,
/// which is when it is harvested and emptied; the CPUs flush before it is used, as for any frame, and then reach none of the others.
///
/// PageInfo of a validated table: `stamp` is the frame of its first mirror, 0 for none. PageInfo of a mirror: `stamp` is its table's
/// frame, or the TLB clock while it is nobody's; the users of its type word are the table's next mirror; `progress_flags` says the level
/// that it is walked as, and of which generation it is; `next` and `prev` are its neighbours on one of the lists of Mirrors.
#pragma once

#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/mm/dirty.hpp"

namespace hv {

struct Mirrors {
    struct List {
        uint32_t first = 0, last = 0;
    };
    List leaves, inner;  ///< walked as tables of level 1; of levels 2 to 4
    List left;           ///< of the generation before: no root leads to them
    List unused;         ///< empty; the first has been for longest
    uint32_t pages = 0;  ///< of all these
    uint32_t most = 0;   ///< that there may be
    uint8_t generation = 0;
    bool ending = false;  ///< no CPU runs on mirrors any more
    // A harvest in parts.
    uint32_t cursor = 0;  ///< next to look at
    bool in_left = false;
};

inline bool pv_has_mirrors(const Domain& d) REQUIRES(d.pv->lock) { return d.pv->mirrors && !d.pv->mirrors->ending; }

/// The mirror of a validated table that is walked as one of `level`; 0: none.
uint32_t mirror_of(const Domain& d, const PageInfo& table, unsigned level) REQUIRES(d.pv->lock);
/// What a mirror says for entry `i`, which is `e`, of a table that is walked as one of `level`.
uint64_t mirrored_entry(const Domain& d, const PageInfo& table, unsigned level, unsigned i, uint64_t e) REQUIRES(d.pv->lock);

/// The table ceases to be one: so do its mirrors.
void forget_mirrors(Domain& d, PageInfo& table) REQUIRES(d.pv->lock);

Mfn mirrored_root(Domain& d, Mfn root) REQUIRES(d.pv->lock);
/// What a CPU loads for a root, which is a validated L4 or none.
inline Mfn pv_cr3_for(Domain& d, Mfn root) REQUIRES(d.pv->lock) {
    if (any_dirty_log()) [[unlikely]]
        return mirrored_root(d, root);
    return root;
}

/// An access of the current vCPU, or of ours for it, at a guest's address has faulted. True: the guest's tables allow it, and by now so
/// do their mirrors; it is to be tried again. False: it is the guest's own fault, of which `error` then says what its tables say.
/// Context: no locks.
bool mirror_fault(Vcpu& v, uint64_t address, uint32_t& error);

// Of the kind (domain/guest_kind.hpp).
Status pv_log_start(Domain& d);
Status pv_log_stop(Domain& d);
Status pv_log_harvest(Domain& d, uint64_t& done);
void pv_log_last(Domain& d);
Status pv_log_exposed(Domain& d, PageInfo*& cursor);
void pv_word_written(Domain& d, PageInfo& p, const void* at) REQUIRES(d.pv->lock);

}  // namespace hv
