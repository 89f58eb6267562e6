// SPDX-License-Identifier: Apache-2.0
/// What everybody asks of the kind of guest that lives in a domain: one table for each kind, filled in guest/. Nothing
/// outside guest/ asks which kind it is. What is asked on hot paths is declared as a function below, or in guest/kinds.hpp:
/// these call the frequent kind directly and others by their table.
#pragma once

#include "hypervisor/domain/domain.hpp"
#include "hypervisor/grant/guest_map.hpp"

namespace xen {
struct DomctlExtVcpuContext;
}  // namespace xen

namespace hv {

struct GuestKind {
    unsigned max_vcpus = 0;        ///< 0: no guest lives here, and nothing below is called
    unsigned hypercall_bytes = 0;  ///< length of the instruction that makes a hypercall: one that restarts begins there again

    CpuPolicy* offered = nullptr;  ///< the most of the machine's CPU that a domain's own policy can say

    // -- life. Errors: nomem, inval; nothing is left behind ---------------------------------------------------------------
    Status (*create)(Domain&) = nullptr;
    /// Frees what create() made, and what is left after relinquish(). Also called when create() was not, or failed.
    void (*destroy)(Domain&) = nullptr;
    Status (*create_vcpu)(Vcpu&) = nullptr;
    /// As destroy().
    void (*destroy_vcpu)(Vcpu&) = nullptr;
    /// The domain ends, its vCPUs are paused: lets go of all guest pages. Errors: restart, call again.
    Status (*relinquish)(Domain&) = nullptr;

    // -- a vCPU's state, while it does not run ------------------------------------------------------------------------------
    /// Sets all registers, from the structure of the kind's own that lies at `from` in the caller's memory; answers whether it says
    /// "online". A vCPU that had none and is refused some is as before. Errors: fault, nomem, inval, perm, restart, opnotsupp.
    Result<bool> (*set_context)(Vcpu&, uint64_t from) = nullptr;
    /// The same for a vCPU that has no registers yet (VCPUOP_initialise). Takes the domain's lock. Errors: exist too.
    Status (*initialise)(Vcpu&, uint64_t from) = nullptr;
    Status (*get_context)(Vcpu&, uint64_t to) = nullptr;
    /// The callbacks of XEN_DOMCTL_{set,get}_ext_vcpucontext; get_callbacks() finds a structure of zeros. Errors: inval.
    Status (*set_callbacks)(Vcpu&, const xen::DomctlExtVcpuContext&) = nullptr;
    void (*get_callbacks)(const Vcpu&, xen::DomctlExtVcpuContext&) = nullptr;

    // -- a vCPU in action -----------------------------------------------------------------------------------------------------
    /// Takes its registers off this CPU; loads them, after which the CPU is ready to enter the guest.
    void (*switch_out)(Vcpu&) = nullptr;
    void (*switch_in)(Vcpu&) = nullptr;
    /// Runs the guest until this CPU has something else to do. Null: prepare_exit() returns to stubs that enter the guest.
    void (*run)(Vcpu&) = nullptr;
    /// An NMI is pending; the caller wakes the vCPU. Any CPU.
    void (*inject_nmi)(Vcpu&) = nullptr;
    /// PHYSDEVOP_set_iopl, PHYSDEVOP_set_iobitmap for the current vCPU. Errors: inval, nosys.
    Status (*set_io_level)(Vcpu&, uint32_t level) = nullptr;
    Status (*set_io_bitmap)(Vcpu&, uint64_t guest_address, uint32_t ports) = nullptr;
    /// See guest_write_runstate(), grant/guest_map.hpp.
    void (*write_runstate)(Vcpu&) = nullptr;
    Status (*map_grant)(Vcpu&, uint64_t addr, Mfn, Access, bool contains_pte, uint64_t avail_bits) = nullptr;
    Status (*unmap_grant)(Vcpu&, uint64_t addr, Mfn, Access, bool contains_pte, uint64_t new_addr) = nullptr;
    /// Writes registers and the top of the stack of the current vCPU into the log. Context: no locks; it reads guest memory.
    void (*report_crash)(Vcpu&) = nullptr;

    // -- its memory -------------------------------------------------------------------------------------------------------------
    /// Copies of the current vCPU that do not go through the page tables which are loaded (arch::walked_read()).
    arch::Walked (*read)(const Vcpu&, void* dst, uint64_t gva, size_t n) = nullptr;
    arch::Walked (*write)(const Vcpu&, uint64_t gva, const void* src, size_t n) = nullptr;
    // A log of its dirty pages (domain/dirty_log.hpp); null where there can be none.
    /// Begins to note what the guest writes; pauses it for a moment. Errors: nomem; nothing is left behind.
    Status (*log_start)(Domain&) = nullptr;
    /// Behind that: names the pages of its that others could write to already. `cursor` is null at first; it holds a reference. Errors:
    /// restart.
    Status (*log_exposed)(Domain&, PageInfo*& cursor) = nullptr;
    /// Ends that, if it was begun; it is also called when the domain ends. Errors: restart, call again.
    Status (*log_stop)(Domain&) = nullptr;
    /// Names all that was written since the last time. `done` is 0 at first. Afterwards no CPU can write without a trace. Errors: restart.
    Status (*log_harvest)(Domain&, uint64_t& done) = nullptr;
    /// Names what is written without a trace.
    void (*log_last)(Domain&) = nullptr;
    /// A word of a page of its has been written, under the lock that orders it.
    void (*word_written)(Domain&, PageInfo&, const void* at) = nullptr;
    /// What a page of its is used as: a type and flags of XEN_DOMCTL_PFINFO_*.
    uint64_t (*frame_type)(const PageInfo&) = nullptr;
    /// Writes the stubs for hypercalls into a page of its.
    void (*fill_hypercall_page)(void* page) = nullptr;
};

/// Writes v's run state where VCPUOP_register_runstate_memory_area said, if it did; when that memory cannot be reached now,
/// v.runstate_stale stays set and it is done later. v is current, or is being switched. No locks.
void guest_write_runstate(Vcpu& v);

}  // namespace hv
