// SPDX-License-Identifier: Apache-2.0
/// Page types of PV guests: the rules that keep a guest's page tables harmless.
///
///  - A page is a page table of one level, a descriptor table, or writable: never two of these at a time.
///  - Its first use as a table validates every entry, and each entry then holds references on what it maps: an
///    existence reference, and a type reference (the next lower table level, or writable when it maps read/write).
///  - Its last use drops them again.
///
/// Validating or releasing an L2, L3 or L4 can take long, so it can be interrupted. The page is then PARTIAL: entries
/// [0, progress) hold their references, the rest do not; its one type user and one existence reference belong to the
/// partial state itself, and whoever next asks for the same type adopts them and goes on. While an L4 is partial the
/// L3 in work below it may be partial too: then it belongs to that L4 (owned_by_parent) and nobody can adopt it. The same
/// holds for an L3 and its L2.
///
/// An entry of an L2, L3 or L4 may also be linear: read-only, it names its own table, or another one of its level, so that the
/// guest finds its tables in its address space. All below such an entry is one level higher than the CPU takes it for: tables
/// seen as data, never written through it, because the entry is read-only and stays so. What follows for us:
///  - A linear entry to another table holds an existence and a type reference of that one, which is validated already. Such
///    tables have no linear entries to others themselves, so that releasing one never leads to a third, and no references
///    run in a circle. Each table counts its linear entries to others and its uses by them; one of the two is 0.
///  - A linear entry to its own table holds nothing: it goes with the table.
///  - A walk that looks for the L1 slot of an address ends in front of a linear entry: behind it there is none.
///  - An L4 carries the hypervisor's slots. Ring 3 cannot use them, ring 0 can: guest_memory.hpp says how copies stay clear.
///
/// A table with an entry that is not allowed gives back what its other entries took. Interrupted in that it is partial as
/// well, and the error is `intr`: it is for whoever began to see that the rest gets done (postpone_release()).
#pragma once

#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/guest/pv/pv.hpp"
#include "hypervisor/mm/dirty.hpp"

namespace hv {

namespace progress {
inline constexpr uint8_t child_partial = 1;    ///< entry [progress] names a partial table that belongs to this one
inline constexpr uint8_t owned_by_parent = 2;  ///< this partial table belongs to such an entry
}  // namespace progress

inline PageType type_of(uint64_t word) { return static_cast<PageType>(word >> page::type_shift); }
/// Errors of get_page_type() that leave the page partial, with an existence reference of its own.
inline bool left_partial(Errc e) { return e == Errc::restart || e == Errc::intr; }
inline bool is_table(PageType t) { return t >= PageType::l1 && t <= PageType::l4; }

/// Raises the count of a table or descriptor-table type; the first use validates.
/// Errors: inval, perm (contents not allowed, or in use as something else), busy,
/// restart (interrupted: the state is kept; call again), intr (not allowed, and the page is partial).
Status get_page_type(Domain& owner, PageInfo& p, PageType t) REQUIRES(owner.pv->lock);
/// Drops one use. Errors: restart: the rest is done by finish_put().
Status put_page_type(Domain& owner, PageInfo& p) REQUIRES(owner.pv->lock);
/// Goes on releasing a partial table; a page that is no longer partial is left alone. Errors: restart.
Status finish_put(Domain& owner, PageInfo& p) REQUIRES(owner.pv->lock);

inline constexpr uint64_t l1_cache_type = pte::pwt | pte::pcd | pte::pse;  ///< of an L1 entry, whose bit 7 is PAT
/// What an entry may name beside a page of the owner's: no page, for devices' frames; and the entry as it may be stored.
struct L1Rare {
    PageInfo* page;
    uint64_t entry;
};
/// Errors: perm.
Result<L1Rare> l1_entry_get_rarely(Domain& l1_owner, uint64_t e);
/// The references one present L1 entry holds. `e` is adjusted to what may be stored (user bit, no global bit).
/// `l1_owner` owns the table, `page_owner` the page mapped. Errors: inval, perm.
template <Logs logs = Logs::unknown>
[[gnu::always_inline]] inline Status l1_entry_get(Domain& l1_owner, Domain& page_owner, uint64_t& e) {
    const Mfn m = Mfn::of_address(e & pte::frame_mask);
    PageInfo* p = &page_of(m);
    // What has an owner that is a domain is RAM.
    if (mfn_valid(m) && get_page(*p, page_owner.id)) [[likely]] {
        e = (e | pte::user) & ~(l1_owner.privileged ? pte::global : pte::global | l1_cache_type);
    } else {
        const L1Rare got = TRY(l1_entry_get_rarely(l1_owner, e));
        e = got.entry;
        if (!got.page) return ok;
        p = got.page;
    }
    if (!(e & pte::rw)) return ok;
    if (!get_writable_type(*p)) [[unlikely]] {
        put_page(*p);
        return Err{Errc::inval};
    }
    if (&l1_owner != &page_owner) dirtied_by_others<logs>(m);
    return ok;
}
void l1_entry_put_present(uint64_t e);
inline void l1_entry_put(uint64_t e) {
    if (e & pte::present) l1_entry_put_present(e);
}
/// All present entries of a whole L1 table at once. `taken`: entries before it hold their references, and are what
/// l1_table_put() gives back. Errors: inval, perm.
Status l1_table_get(Domain& d, uint64_t* table, unsigned& taken) REQUIRES(d.pv->lock);
void l1_table_put(const uint64_t* table, unsigned taken);
/// The cache type of RAM is the hypervisor's choice, unless the domain drives devices.
uint64_t l1_cache_bits(uint64_t e);
/// What of a present L1 entry may be stored: user bit, no global bit, and the hypervisor's choice of cache for RAM.
inline uint64_t l1_entry_bits(const Domain& l1_owner, uint64_t e) {
    e = (e | pte::user) & ~pte::global;
    return l1_owner.privileged ? e : l1_cache_bits(e);
}
/// Entries of L2..L4: `level` of `table`, which holds the entry. Errors: as get_page_type.
Status table_entry_get(Domain& d, PageInfo& table, uint64_t& e, unsigned level) REQUIRES(d.pv->lock);
Status table_entry_put(Domain& d, PageInfo& table, uint64_t e) REQUIRES(d.pv->lock);
/// Ends a linear use of `p` by `table`, if its entry to it is one; the references are still held.
void forget_linear_use(PageInfo& table, PageInfo& p);

/// Writes the hypervisor's own entries into an L4.
void fill_hypervisor_slots(Domain& d, uint64_t* l4) REQUIRES(d.pv->lock);
/// True for L4 slots that guests cannot set.
inline bool is_hypervisor_slot(unsigned slot) { return slot >= l4_slot_m2p && slot < l4_slot_end; }

/// Descriptors: makes `d` harmless (ring 3) or says no. Errors: inval.
Status check_descriptor(uint64_t& d);

}  // namespace hv
