// SPDX-License-Identifier: Apache-2.0
/// A domain: its vCPUs, memory account, life cycle, and the state of its subsystems.
#pragma once

#include <atomic>
#include <cstdint>

#include "abi/xen/basic.hpp"
#include "hypervisor/arch/x86/speculation.hpp"
#include "hypervisor/domain/domain_log.hpp"
#include "hypervisor/domain/rights.hpp"
#include "hypervisor/domain/vcpu.hpp"
#include "hypervisor/irq/pirq.hpp"
#include "hypervisor/mm/frame.hpp"
#include "hypervisor/mm/heap.hpp"
#include "hypervisor/sync/spinlock.hpp"
#include "lib/parse/e820.hpp"

namespace x86 {
struct CpuPolicy;
}

namespace hv {

struct EventChannels;  // event/
struct GrantTable;     // grant/
using x86::CpuPolicy;
struct GuestKind;        // domain/guest_kind.hpp
struct PvDomain;         // guest/pv
struct DomainWatchdogs;  // domain/watchdog.cpp
struct DirtyLog;         // domain/dirty_log.hpp

enum class DyingState : uint8_t { alive, dying, dead };

struct DomainLimits {
    uint32_t max_vcpus = 1;
    uint32_t max_evtchn_port = 0x7fffffff;
    uint32_t max_grant_frames = 64;
    uint32_t max_maptrack_frames = 1024;
    uint32_t grant_version = 2;  ///< the highest that the guest may choose
};

// Fields stand with those that they belong to.
struct Domain {  // NOLINT(clang-analyzer-optin.performance.Padding)
    Domain(DomId i, const GuestKind& k);
    Domain(const Domain&) = delete;
    Domain& operator=(const Domain&) = delete;

    const DomId id;
    const GuestKind& kind;
    const uint64_t serial;  ///< no other domain has had it
    DomainLimits limits;
    bool privileged = false;              ///< dom0: may use the control hypercalls
    std::atomic<uint32_t> references{1};  ///< the last one frees the structure
    Spinlock lock{Rank::domain};

    // -- life cycle -----------------------------------------------------------------------------------------------
    std::atomic<DyingState> dying{DyingState::alive};
    std::atomic<bool> shutting_down{false};
    std::atomic<bool> shut_down{false};        ///< all vCPUs have stopped
    std::atomic<uint32_t> shutdown_code{~0u};  ///< SHUTDOWN_*; ~0: none
    uint32_t relinquish_stage = 0;             ///< how far domain_relinquish() has come
    /// XEN_DOMCTL_pausedomain calls in force. Changed under the lock; who lists domains reads it without, for a guest can keep that busy.
    std::atomic<uint32_t> controller_pauses{0};
    uint32_t pause_count GUARDED_BY(lock) = 0;  ///< domain_pause()s in force, that of the controller included
    std::atomic<bool> debugger_attached{false};
    std::atomic<uint32_t> suspend_port{0};  ///< XEN_DOMCTL_subscribe: event channel raised when it has suspended
    std::atomic<bool> creation_finished{false};
    uint8_t handle[16] = {};  ///< uuid
    uint32_t ssidref = 0;
    uint32_t create_flags = 0;  ///< XEN_DOMCTL_CDF_*

    // -- vCPUs ----------------------------------------------------------------------------------------------------
    Vcpu** vcpus = nullptr;  ///< limits.max_vcpus entries; an entry is set once
    Vcpu* vcpu(VcpuId i) const {
        uint64_t n = i.raw;
        return index_below(n, limits.max_vcpus) ? vcpus[n] : nullptr;
    }

    // -- memory -------------------------------------------------------------------------------------------------
    Spinlock page_list_lock{Rank::page_list};
    uint32_t page_list_head GUARDED_BY(page_list_lock) = 0;  ///< frame number of the first page, 0: none
    uint32_t released_list_head GUARDED_BY(page_list_lock) =
        0;  ///< pages whose allocation reference is gone but that somebody still refers to
    uint64_t tot_pages GUARDED_BY(page_list_lock) = 0;
    uint64_t max_pages GUARDED_BY(page_list_lock) = 0;
    uint64_t hyp_pages GUARDED_BY(page_list_lock) = 0;  ///< shared info, grant frames: hypervisor pages given to the domain
    std::atomic<uint64_t> outstanding_claim{0};
    xen::SharedInfo* shared = nullptr;
    uint64_t time_offset_seconds = 0;
    parse::E820Entry* memory_map GUARDED_BY(lock) = nullptr;  ///< XENMEM_set_memory_map; null: none was set
    uint32_t memory_map_entries GUARDED_BY(lock) = 0;
    uint32_t tsc_mode = 0;  ///< XEN_DOMCTL_settscinfo: TSC_MODE_*
    uint32_t tsc_incarnation = 0;
    uint64_t tsc_elapsed_before = 0;  ///< ns that its time is ahead of this machine's, modulo 2^64

    // -- what of the machine it may touch itself; read without a lock, changed under its lock while it is paused -----
    Rights iomem;  ///< machine frames outside RAM
    Rights ioports;
    Rights irqs;               ///< by the numbers of pirq_machine_number()
    uint32_t pci_address = 0;  ///< what it wrote to port 0xcf8

    // -- subsystems -----------------------------------------------------------------------------------------------
    EventChannels* events = nullptr;
    GrantTable* grants = nullptr;
    PirqTable pirqs{*this};
    PvDomain* pv = nullptr;
    DomainWatchdogs* watchdogs = nullptr;
    DomainLog log_state;
    std::atomic<DirtyLog*> dirty_log{nullptr};
    std::atomic<uint32_t> dirty_log_writers{0};  ///< who is writing to it: it stays for so long
    CpuPolicy* policy;                           ///< its own, or what its kind of guest is offered
    CpuMask dirty_cpus;                          ///< CPUs whose TLB may hold this domain's translations
    uint64_t vm_assist = 0;
    SchedGroup sched;                  ///< its share of the CPUs
    std::atomic<uint32_t> pollers{0};  ///< vCPUs in SCHEDOP_poll
    Domain* next = nullptr;            ///< domain table, ordered by id; domain_list lock
    Domain* next_dead = nullptr;       ///< without references, waiting to be freed
};

extern Domain* dom0;
extern Domain* idle_domain;
extern Domain* dom_xen;  ///< owns hypervisor pages that domains may map (shared info of others, M2P, trace buffers)
extern Domain* dom_io;   ///< owns machine frames that are not RAM

namespace domain {
void ref(Domain& d);
/// The domain with this id, with a reference for the caller; null when there is none.
Domain* get(DomId id);
/// unref() found one reference, or none, before it.
void unref_last(Domain& d, uint32_t before);
/// Drops a reference; the last one leaves the domain to domains_reap(). Any locks.
inline void unref(Domain& d) {
    const uint32_t before = d.references.fetch_sub(1, std::memory_order_acq_rel);
    if (before <= 1) [[unlikely]]
        unref_last(d, before);
}
}  // namespace domain

/// Keeps a domain alive: by a counted reference, or borrowed where something else does as long as this object lives.
class DomainRef {
    Domain* d_ = nullptr;
    bool counted_ = false;

    DomainRef(Domain* d, bool counted) : d_(d), counted_(counted) {}
    void drop() {
        // The analyzer destroys what a statement expression (TRY) would have yielded when it returns out of it instead.
        if (!counted_) return;             // NOLINT(clang-analyzer-core.uninitialized.Branch)
        if (!d_) __builtin_unreachable();  // what is counted is somebody; compilers ask
        domain::unref(*d_);
    }

public:
    DomainRef() = default;
    /// Takes a reference; the caller holds one or the table lock.
    explicit DomainRef(Domain& d) : DomainRef(&d, true) { domain::ref(d); }
    DomainRef(DomainRef&& o) noexcept : DomainRef(o.d_, o.counted_) { o.forget(); }
    DomainRef& operator=(DomainRef&& o) noexcept {
        if (this == &o) return *this;
        drop();
        d_ = o.d_;
        counted_ = o.counted_;
        o.forget();
        return *this;
    }
    ~DomainRef() { drop(); }
    /// Takes over a reference that the caller holds.
    static DomainRef adopt(Domain* d) { return {d, d != nullptr}; }
    /// The domain of the vCPU that runs now (for the time of a hypercall), or one that never ends.
    static DomainRef borrow(Domain& d) { return {&d, false}; }
    /// Gives the reference, a counted one, to the caller.
    Domain* release() {
        Domain* const d = d_;
        forget();
        return d;
    }
    Domain& operator*() const { return *d_; }
    Domain* operator->() const { return d_; }
    explicit operator bool() const { return d_ != nullptr; }

private:
    void forget() {
        d_ = nullptr;
        counted_ = false;
    }
};

/// The domain with this id, live or dying. DOMID_SELF means the caller's, borrowed: not to be kept beyond the hypercall.
/// Errors: srch.
Result<DomainRef> find_domain(DomId id);
/// The same without DOMID_SELF, for internal use.
inline DomainRef lookup_domain(DomId id) { return DomainRef::adopt(domain::get(id)); }
/// The owner behind PageInfo::owner; null for nobody. Its pages keep a domain alive, so no lock is needed by who holds
/// a reference to one.
Domain* page_owner(uint16_t id);
/// First domain with an id >= `from`; empty when there is none.
DomainRef next_domain(DomId from);

/// Creates an empty, paused domain for a guest of that kind. Errors: exist, nomem, inval.
Result<DomainRef> domain_create(DomId id, const GuestKind& kind, const DomainLimits& limits, bool privileged);
/// Makes vCPU `id`, offline. Errors: nomem, exist, inval.
Result<Vcpu*> vcpu_create(Domain& d, VcpuId id);
/// Starts the end of a domain and frees what it holds. Errors: restart when interrupted: call again.
Status domain_kill(Domain& d);
/// The guest (or its crash) ends the domain: vCPUs stop, dom0 hears VIRQ_DOM_EXC. `reason` is SHUTDOWN_*.
void domain_shutdown(Domain& d, uint32_t reason);
/// The guest did something from which it cannot go on; logs `why`, shuts down with SHUTDOWN_crash.
/// When called for the current vCPU's domain the vCPU does not return to the guest, and its registers and stack go to the
/// log on the way out (SoftIrq::report). `file` and `line` are the caller's.
void domain_crash(Domain& d, const char* why, const char* file = __builtin_FILE(), int line = __builtin_LINE());
/// SoftIrq::report: shows the state of the current vCPU, whose domain crashed here. Context: no locks.
void domain_report_crash();
void domain_pause(Domain& d);  ///< all vCPUs off the CPUs when it returns; counted
void domain_unpause(Domain& d);
/// To another pool, which has a CPU; pinned to none any more. Not the caller's domain. Context: the turn of control operations.
void domain_move(Domain& d, CpuPool& to);
/// XEN_DOMCTL_pausedomain and unpausedomain; counted. Errors: inval when it is not paused, overflow.
Status domain_pause_by_controller(Domain& d);
Status domain_unpause_by_controller(Domain& d);
/// Undoes domain_shutdown(): the vCPUs run again.
void domain_resume(Domain& d);
/// Frees the structures of domains whose last reference is gone. It happens by itself soon; this does it now.
/// Context: no locks.
void domains_reap();
/// A free id above 0 and below DOMID_FIRST_RESERVED. Errors: nomem.
Result<DomId> domain_unused_id();

/// The machine frame behind a guest's number for it: the one place that translates. PV guests name machine frames themselves.
inline Mfn machine_frame(const Domain&, Gfn gfn) { return Mfn(gfn.raw); }
/// The page that `d` calls `gfn`. Errors: inval (no frame), perm (not d's).
inline Result<PageRef> guest_page(const Domain& d, Gfn gfn) { return PageRef::acquire(machine_frame(d, gfn), d.id); }
/// The same to write into. Errors: these, and inval when it is a table.
inline Result<WritableRef> guest_page_to_write(const Domain& d, Gfn gfn) { return WritableRef::of(TRY(guest_page(d, gfn))); }

/// Gives free, cleared frames to `d`. Errors: nomem, toobig when it would exceed max_pages, inval when it is dying.
Result<Mfn> domain_alloc_pages(Domain& d, unsigned order, unsigned address_bits);
/// One frame for `d`, which asks itself: what is in it may be what it left there, when nobody has had the frame since it gave it
/// back (heap::take_back()); else it is cleared. Who builds a domain counts on clear memory, and does not call this. Errors: the same.
Result<Mfn> domain_take_page(Domain& d, unsigned address_bits);
/// Makes frames that are nobody's `d`'s own, with one (allocation) reference; charged unless hypervisor pages.
Status domain_assign_page(Domain& d, PageInfo& p);
/// Writes the wall clock into the shared info page: of one domain, of all.
void domain_update_wallclock(Domain& d);
void domains_update_wallclock();

/// Lets a hypervisor page (shared info, grant table frame) be mapped by `d`; not charged. Undone with unshare.
void share_hyp_page(Domain& d, void* page);
/// True while somebody maps it, or is about to.
bool hyp_page_mapped(void* page);
/// Stops sharing; the page may be freed when this returns true (no guest mapping is left).
bool unshare_hyp_page(void* page);
/// Makes a frame of `d` that nobody refers to any more but by its allocation (and the caller's) reference nobody's own:
/// off the page list, uncharged, not freed. Errors: busy when it is in use.
Status domain_steal_page(Domain& d, PageInfo& p);
/// Sets XENMEM_claim_pages: `pages` more than the domain has now are kept for it. Errors: inval, nomem.
Status domain_claim(Domain& d, uint64_t pages);
/// Pages claimed by all domains.
Pages claimed_pages();
/// Takes the allocation reference away; the page is freed with its last reference. False: already taken.
bool domain_release_page(PageInfo& p);
/// The same of a page of `d`, together with the caller's reference.
bool domain_give_back(Domain& d, PageRef page);

}  // namespace hv
