// SPDX-License-Identifier: Apache-2.0
/// Grant tables: a domain lets others map or copy single pages of its own. In version 2, which a guest may choose, it may
/// also let them copy a part of a page, or pass on what was granted to it.
///
/// Shared entries are the guest's to write at any time: they are read and changed with atomics only. What the hypervisor
/// knows about a granted page while it is in use stands in the active entry.
///
/// Locks: GrantTable::lock guards active entries and frames of the granting domain; GrantTable::map_lock the handles
/// of the mapping domain. Page tables are changed with neither held.
#pragma once

#include <cstdint>

#include "abi/xen/grant_table.hpp"
#include "hypervisor/domain/domain.hpp"
#include "hypervisor/sync/spinlock.hpp"

namespace hv {

/// A GNTST_* value.
using GrantStatus = int16_t;
inline constexpr GrantStatus gntst(int64_t s) { return static_cast<GrantStatus>(s); }

/// Who uses a grant right now; the page is referenced once while any user exists, and typed writable while one writes.
struct ActiveGrant {
    uint32_t readers = 0;
    uint32_t writers = 0;
    uint64_t domid : 16 = 0;
    uint64_t frame : 48 = 0;
};
static_assert(sizeof(ActiveGrant) == 16);

/// What an entry of version 2 grants. Stays as it is while the entry is in use.
enum class GrantKind : uint8_t { whole, part, passed_on };
struct GrantPart {
    uint16_t start = 0;  ///< first byte of the page that may be used, and how many
    uint16_t length = page_size;
    uint16_t domid = 0;  ///< passed_on: whose grant `ref` it is
    GrantKind kind = GrantKind::whole;
    uint32_t ref = 0;
};

/// A mapping of the domain that holds the table; index = handle.
struct Maptrack {
    Domain* owner = nullptr;  ///< whose page it is; holds a reference
    uint32_t ref_or_next = 0;
    uint32_t flags = 0;  ///< GNTMAP_* still in force, and being_unmapped; 0: free
};
static_assert(sizeof(Maptrack) == 16);

struct GrantTable {
    /// Active entries are counted as version 1's entries are; version 2 has half as many in a frame and leaves some unused.
    static constexpr unsigned active_per_frame = 512;
    static constexpr unsigned maptrack_per_page = 256;

    Spinlock lock{Rank::grant};
    uint32_t frames GUARDED_BY(lock) = 0;
    uint32_t max_frames = 0;
    uint32_t max_version = 1;
    uint32_t version GUARDED_BY(lock) = 1;            ///< 0: between two versions
    void** shared GUARDED_BY(lock) = nullptr;         ///< max_frames pointers to frames of entries
    ActiveGrant** active GUARDED_BY(lock) = nullptr;  ///< max_frames pointers to arrays
    uint64_t entries_in_use GUARDED_BY(lock) = 0;     ///< active entries with a reader or a writer
    // Version 2's companions of the frames; made when that version is first chosen.
    uint16_t** status GUARDED_BY(lock) = nullptr;  ///< frames of status words, shared with the guest
    GrantPart** parts GUARDED_BY(lock) = nullptr;  ///< max_frames pointers to arrays
    uint32_t status_frames GUARDED_BY(lock) = 0;
    uint32_t part_frames GUARDED_BY(lock) = 0;
    // While it changes from one version to another.
    uint32_t switching_to GUARDED_BY(lock) = 0;
    uint32_t cleared GUARDED_BY(lock) = 0;                                          ///< how many frames have been
    xen::GrantEntryV1 kept[xen::GNTTAB_NR_RESERVED_ENTRIES] GUARDED_BY(lock) = {};  ///< reserved entries, without marks

    Spinlock map_lock{Rank::grant_maptrack};
    Maptrack** maptrack GUARDED_BY(map_lock) = nullptr;  ///< max_maptrack_frames pointers, made with the first mapping
    uint32_t maptrack_pages GUARDED_BY(map_lock) = 0;
    uint32_t max_maptrack_pages = 0;
    uint32_t maptrack_free GUARDED_BY(map_lock) = ~0u;
    uint32_t mappings GUARDED_BY(map_lock) = 0;
    uint32_t relinquish_cursor = 0;
};

/// Makes the table with its first frame. Uses d.limits. Errors: nomem.
Status grants_create(Domain& d);
/// Gives back every mapping that the dying domain holds of others' pages, and the memory of its handles.
/// Errors: restart, call again.
Status grants_relinquish(Domain& d);
/// Frees the table; no reference to the domain is left (so nobody maps its grants any more).
void grants_destroy(Domain& d);

/// Makes frames until there are `frames`. Errors: inval (over the limit, or dying), nomem, busy (between two versions),
/// restart (interrupted: the frames made stay, call again).
Status grants_grow(Domain& d, uint32_t frames);
/// Machine frame of shared frame `index`; makes it (and those before) when absent.
/// For XENMAPSPACE_grant_table and XENMEM_acquire_resource. Errors: those of grants_grow().
Result<Mfn> get_grant_frame(Domain& d, uint32_t index);
/// Machine frame of status frame `index`; makes it, and the frames it serves, when absent.
/// Errors: inval (over the limit, or the table is not of version 2), and those of grants_grow().
Result<Mfn> get_status_frame(Domain& d, uint32_t index);
/// Status frames there may be; 0 when the table is not of version 2.
uint32_t most_status_frames(Domain& d);
/// Status frames there are.
uint32_t grant_status_frames(Domain& d);
/// Changes the table's version; entries but the reserved ones are empty then.
/// Errors: inval, nosys (not for this domain), busy (entries or status frames in use), range (a reserved entry cannot be
/// said in version 1), nomem, restart (call again).
Status grants_set_version(Domain& d, uint32_t version);
/// The version in use; 0 between two.
uint32_t grants_version(Domain& d);
uint32_t grant_frames(Domain& d);
uint32_t grant_mappings(Domain& d);

/// What a grant is wanted for: mapping needs a whole page; a copy also does with parts of one, and may follow a grant that is
/// passed on, once.
enum class GrantUse : uint8_t { map, copy, copy_directly };
struct GrantPin {
    GrantStatus status = 0;
    Mfn frame{0};
    uint16_t start = 0;  ///< the bytes of the frame that may be used
    uint16_t length = page_size;
    bool passed_on = false;  ///< there is no frame: what is granted is grant `ref` of `domid`, to the owner of this one
    uint16_t domid = 0;
    uint32_t ref = 0;
};
/// Takes grant `ref` of `owner` into use by `user`. The owner's lock is taken inside.
GrantPin grant_pin(Domain& owner, DomId user, uint32_t ref, bool write, GrantUse use = GrantUse::map);
void grant_unpin(Domain& owner, uint32_t ref, bool write);

// The operations.
/// Maps a list's elements and leaves a GNTST_* in the status of each.
void grant_map(Vcpu& v, xen::GnttabMapGrantRef* ops, uint32_t n);
/// An unmapping between its two halves: the page-table entry is gone, the page still held until the TLBs are flushed.
/// Without values of its own, since there is an array of them: nothing but `done` holds where that is 0.
struct GrantUnmap {
    Domain* owner;  ///< kept alive by the handle
    uint32_t ref;
    uint32_t handle;
    uint32_t done;  ///< GNTMAP_host_map, GNTMAP_device_map: what finish gives back
    bool write;
    bool with_entry;  ///< the page-table entry's references of the page are still held, and end with those of the grant
};
/// `new_addr` as in unmap_and_replace, 0 otherwise. u.done != 0 afterwards: flush TLBs, then grant_unmap_finish().
GrantStatus grant_unmap_begin(Vcpu& v, uint64_t host_addr, uint64_t dev_bus_addr, uint64_t new_addr, uint32_t handle,
                              GrantUnmap& u);
/// The same for the elements of a list, none of which is replaced; leaves a GNTST_* in the status of each. Returns how many stand in
/// `pending`, all with done != 0: there is room for `n`.
uint32_t grant_unmap_begin(Vcpu& v, xen::GnttabUnmapGrantRef* ops, uint32_t n, GrantUnmap* pending);
void grant_unmap_finish(Domain& mapper, const GrantUnmap* list, uint32_t n);
GrantStatus grant_swap(Domain& d, uint32_t a, uint32_t b);

/// One end of a copy. Kept from element to element, so that many copies of one page take it into use once.
class GrantCopyEnd {
    DomainRef owner_;
    DomainRef first_owner_;  ///< of a grant that was passed on: who granted the page, by first_ref_
    bool held_ = false;
    const bool write_;
    // What is held; without values before that.
    bool is_ref_;
    uint16_t domid_;
    uint32_t first_ref_;
    uint64_t id_;
    PageInfo* page_;  ///< a frame of the caller's own; its reference, and as the destination its use as writable
    uint64_t frame_;
    uint32_t start_;  ///< the bytes that may be copied
    uint32_t end_;

    GrantStatus hold_grant(Vcpu& v, uint16_t domid, uint32_t ref);
    GrantStatus hold_first_grant(const GrantPin& pin);
    GrantStatus hold_frame(Vcpu& v, uint16_t domid, Gfn gfn);
    GrantStatus hold_in_line(Vcpu& v, const xen::GnttabCopy::GnttabCopyPtr& p, bool is_ref);
    void let_go();
    friend GrantStatus grant_copy(Vcpu& v, const xen::GnttabCopy& op, GrantCopyEnd& source, GrantCopyEnd& dest);
    void let_go_of_first();
    void let_go_of_grant();

public:
    // NOLINTNEXTLINE(clang-analyzer-optin.cplusplus.UninitializedObject): see `held_`
    explicit GrantCopyEnd(bool write) : write_(write) {}
    ~GrantCopyEnd() { release(); }
    GrantCopyEnd(const GrantCopyEnd&) = delete;
    GrantCopyEnd& operator=(const GrantCopyEnd&) = delete;
    GrantStatus hold(Vcpu& v, const xen::GnttabCopy::GnttabCopyPtr& p, bool is_ref);
    void release() {
        if (held_) let_go();
    }
    uint8_t* data() const { return map_mfn(Mfn(frame_)); }
    bool covers(uint32_t offset, uint32_t length) const { return offset >= start_ && offset + length <= end_; }
};
GrantStatus grant_copy(Vcpu& v, const xen::GnttabCopy& op, GrantCopyEnd& source, GrantCopyEnd& dest);
/// A copy that stands alone, the short way: between a whole page granted by a table of version 1 and a page of the caller's own.
/// False: it is something else, or not allowed, and nothing was done; grant_copy() knows the answer.
bool grant_copy_usual(Vcpu& v, const xen::GnttabCopy& op);

/// Tells the log of dirty pages those pages of `d` that others can write to by the grants of one of the table's frames. False: there
/// are no more frames.
bool grant_log_written(Domain& d, uint32_t frame);
/// Writes the used entries of one of the table's frames to the log, and with the first the table's size. False: there are
/// no more frames.
bool grant_dump(Domain& d, uint32_t frame);

}  // namespace hv
