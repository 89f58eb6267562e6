// SPDX-License-Identifier: Apache-2.0
// Typed control operations: what xend, the builder and the daemons ask of the hypervisor. Each is one hypercall (or the
// few that belong together), decoded. Failures carry the hypervisor's errno and one line that names the operation.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "abi/xen/arch_x86.hpp"
#include "toolstack/xencall/backend.hpp"
#include "toolstack/xencall/buffer.hpp"
#include "toolstack/xenctrl/page_copy.hpp"
#include "toolstack/xenctrl/types.hpp"

namespace xen {
struct Domctl;
struct Sysctl;
}  // namespace xen

namespace xenctrl {

template <class T = base::Unit>
using Outcome = base::Outcome<T>;

class Control {
public:
    /// `backend` must outlive the Control and everything made through it.
    explicit Control(xencall::Backend& backend) : backend_(backend) {}

    xencall::Backend& backend() const { return backend_; }

    // --- life cycle -------------------------------------------------------------------------------------------------
    /// Makes an empty, paused domain with its vCPUs. Errors: nomem, exist (id in use), inval (limits).
    Outcome<DomId> create(const CreateOptions& options);
    /// Marks the domain dying and frees what nobody else references; repeats while the hypervisor asks for it.
    Outcome<> destroy(DomId domain);
    Outcome<> pause(DomId domain);
    Outcome<> unpause(DomId domain);
    /// Lets a suspended domain go on.
    Outcome<> resume(DomId domain);
    /// Shuts the domain down from outside (SCHEDOP_remote_shutdown): it stops at once with this reason.
    Outcome<> remote_shutdown(DomId domain, ShutdownReason reason);
    Outcome<> set_handle(DomId domain, const Handle& handle);
    Outcome<> send_trigger(DomId domain, Trigger trigger, VcpuId vcpu);

    // --- information ------------------------------------------------------------------------------------------------
    /// All domains in order of id, from `first` on.
    Outcome<std::vector<DomainInfo>> list(DomId first = DomId{0});
    /// Errors: srch when there is no such domain.
    Outcome<DomainInfo> info(DomId domain);
    Outcome<VcpuInfo> vcpu_info(DomId domain, VcpuId vcpu);
    Outcome<PhysInfo> physinfo();
    Outcome<std::vector<CpuTopology>> cpu_topology();
    Outcome<NumaInfo> numa();
    /// Idle time of each CPU since boot.
    Outcome<std::vector<Nanos>> cpu_idle_times();
    Outcome<VersionInfo> version();
    /// The hypervisor's message ring, oldest first; `clear` empties it in the same step.
    enum class Ring : uint8_t { keep, clear };
    Outcome<std::string> console_ring(Ring then = Ring::keep);
    /// What the ring got since `position` (0: from its start), which moves on: empty when there is nothing new.
    Outcome<std::string> console_ring_since(uint32_t& position);
    Outcome<> debug_keys(const std::string& keys);

    // --- vCPUs and scheduling ---------------------------------------------------------------------------------------
    Outcome<> set_vcpu_context(DomId domain, VcpuId vcpu, const xen::VcpuGuestContext& context);
    Outcome<xen::VcpuGuestContext> vcpu_context(DomId domain, VcpuId vcpu);
    /// Callbacks beyond those of the context, in the form in which they are set again.
    Outcome<std::vector<std::byte>> vcpu_extended(DomId domain, VcpuId vcpu);
    Outcome<> set_vcpu_extended(DomId domain, VcpuId vcpu, std::span<const std::byte> state);
    /// XCR0, all that XCR0 ever had, and the XSAVE area.
    Outcome<std::vector<std::byte>> vcpu_xsave(DomId domain, VcpuId vcpu);
    Outcome<> set_vcpu_xsave(DomId domain, VcpuId vcpu, std::span<const std::byte> state);
    /// The MSRs that move with the vCPU.
    Outcome<std::vector<MsrEntry>> vcpu_msrs(DomId domain, VcpuId vcpu);
    Outcome<> set_vcpu_msrs(DomId domain, VcpuId vcpu, std::span<const MsrEntry> msrs);
    Outcome<Affinity> affinity(DomId domain, VcpuId vcpu);
    /// Empty maps are left as they are.
    Outcome<> set_affinity(DomId domain, VcpuId vcpu, const Affinity& affinity);
    Outcome<> set_node_affinity(DomId domain, const BitMap& nodes);
    /// The default pool's scheduler.
    Outcome<Scheduler> scheduler();
    /// That of the pool where the domain is.
    Outcome<Scheduler> scheduler_of(DomId domain);
    /// What the scheduler of its pool has of the domain.
    Outcome<Sched> domain_sched(DomId domain);
    /// Those that are named; others stay. Errors: opnotsupp, it has another scheduler; inval.
    Outcome<> set_domain_sched(DomId domain, const Sched& wanted);
    /// The same of a pool itself.
    Outcome<> set_pool_sched(uint32_t pool, const Sched& wanted);
    Outcome<SchedParams> sched_params(DomId domain);
    Outcome<> set_sched_params(DomId domain, const SchedParams& params);

    // --- CPU pools --------------------------------------------------------------------------------------------------
    Outcome<std::vector<CpuPool>> cpu_pools();
    /// A new, empty pool; returns its number. Errors: opnotsupp, where there is one pool alone.
    Outcome<uint32_t> create_pool(Scheduler scheduler);
    /// Errors: busy (domains are in it, or it is the first), noent.
    Outcome<> destroy_pool(uint32_t pool);
    Outcome<> add_to_pool(uint32_t pool, uint32_t cpu);
    Outcome<> remove_from_pool(uint32_t pool, uint32_t cpu);
    Outcome<> move_to_pool(uint32_t pool, DomId domain);

    // --- memory -----------------------------------------------------------------------------------------------------
    Outcome<> set_max_memory(DomId domain, uint64_t kib);
    /// Sets aside `pages` for the domain until it has that many (0 gives a claim back). Errors: nomem.
    Outcome<> claim(DomId domain, uint64_t pages);
    /// Allocates extents of 2^order pages at `frames` (guest frames of each extent's start; for a PV domain they become
    /// the M2P entries). On success the spans' values are replaced by the machine frames of a PV domain.
    /// Returns how many extents were made: fewer than asked when memory ran out.
    Outcome<size_t> populate(DomId domain, std::span<uint64_t> frames, unsigned order);
    /// Gives frames back. Returns how many.
    Outcome<size_t> decrease(DomId domain, std::span<const uint64_t> frames, unsigned order);
    Outcome<> set_memory_map(DomId domain, std::span<const MemoryRange> map);

    // --- log of dirty pages -----------------------------------------------------------------------------------------
    /// Whether there can be one. Errors: opnotsupp.
    Outcome<> can_log_dirty(DomId domain);
    /// From here on it is noted which pages change. Errors: busy (there is a log already), nomem, opnotsupp.
    Outcome<> start_dirty_log(DomId domain);
    /// Succeeds when there is none.
    Outcome<> stop_dirty_log(DomId domain);
    /// Of a domain that runs; of one that has suspended itself, which adds what leaves no trace.
    enum class Harvest : uint8_t { running, final };
    /// What changed since the last harvest, a bit for each of the first `pages` pages. Errors: inval (there is no log), toobig (pages
    /// beyond what a log can name), nomem (the log has lost some).
    Outcome<std::vector<uint64_t>> harvest_dirty_log(DomId domain, uint64_t pages, Harvest how);

    // --- what a PV domain is made with ------------------------------------------------------------------------------
    Outcome<> hypercall_init(DomId domain, Gfn page);
    Outcome<> pin_l4(DomId domain, Mfn table);
    Outcome<> pin(DomId domain, std::span<const TablePin> tables);
    /// One after the other until one is refused. How many were pinned.
    Outcome<size_t> pin_first(DomId domain, std::span<const TablePin> tables);
    Outcome<> unpin(DomId domain, std::span<const TablePin> tables);
    Outcome<TscInfo> tsc_info(DomId domain);
    Outcome<> set_tsc_info(DomId domain, const TscInfo& info);
    /// How far the domain's wall clock is ahead of UTC.
    Outcome<> set_time_offset(DomId domain, int64_t seconds);
    Outcome<CpuPolicy> system_cpu_policy(PolicyKind kind);
    Outcome<CpuPolicy> cpu_policy(DomId domain);
    Outcome<> set_cpu_policy(DomId domain, const CpuPolicy& policy);
    /// Opens in `domain` a port that `remote` may bind to.
    Outcome<Port> alloc_unbound(DomId domain, DomId remote);
    /// Fills entries of the domain's grant table before it runs: each seed's `to` may map its `frame`.
    Outcome<> seed_grants(DomId domain, std::span<const GrantSeed> seeds);

    // --- device access ----------------------------------------------------------------------------------------------
    Outcome<> set_io_ports(DomId domain, uint32_t first, uint32_t count, Permission permission);
    Outcome<> set_io_memory(DomId domain, Mfn first, uint64_t count, Permission permission);
    Outcome<> set_irq(DomId domain, uint32_t pirq, Permission permission);

    // --- trace buffers ----------------------------------------------------------------------------------------------
    Outcome<TraceInfo> trace_info();
    /// Makes a buffer of so many pages for each CPU, once a boot. Errors: inval (there are buffers of another size), nomem.
    Outcome<> make_trace_buffers(uint32_t pages);
    Outcome<> set_trace_events(uint32_t mask);
    Outcome<> set_trace_cpus(const BitMap& cpus);
    /// Begins or ends recording. Errors: inval (there are no buffers).
    Outcome<> trace(bool on);

    // --- frames -----------------------------------------------------------------------------------------------------
    /// What each frame is used as, in its place: XEN_DOMCTL_PFINFO_*; _XTAB for one that is not the domain's.
    Outcome<> frame_types(DomId domain, std::span<uint64_t> frames);
    Outcome<xencall::ForeignMapping> map(DomId domain, std::span<const Gfn> frames, xencall::Access access);
    /// For the two below; nothing where the hypervisor copies no pages. Memory that such a one gives a domain is clear.
    Outcome<std::optional<PageRoom>> page_room();
    /// Copies the first `count` pages that are named in the room, and sets the state of each.
    Outcome<> read_pages(DomId domain, PageRoom& room, size_t count);
    /// The other way round; only what is refused changes its state.
    Outcome<> write_pages(DomId domain, PageRoom& room, size_t count);

private:
    template <class T>
    using Buffer = xencall::HypercallBuffer<T>;

    struct PolicyRoom {
        Buffer<xen::CpuidLeaf> leaves;
        Buffer<xen::MsrEntry> msrs;
    };
    Outcome<PolicyRoom> policy_room();
    struct TablesDone {
        size_t count;
        int64_t result;
    };
    Outcome<TablesDone> change_pins(DomId domain, std::span<const TablePin> tables, bool pins);
    Outcome<> change_all_pins(DomId domain, std::span<const TablePin> tables, bool pins);
    Outcome<Buffer<xen::Domctl>> domctl_buffer(DomId domain, uint32_t command);
    Outcome<> domctl(Buffer<xen::Domctl>& op, const char* what);
    Outcome<> copy_pages(DomId domain, PageRoom& room, size_t count, uint32_t operation, const char* what);
    Outcome<> shadow_op(DomId domain, uint32_t command, const char* what);
    Outcome<> simple_domctl(DomId domain, uint32_t command, const char* what);
    Outcome<Buffer<xen::Sysctl>> sysctl_buffer(uint32_t command);
    Outcome<> sysctl(Buffer<xen::Sysctl>& op, const char* what);
    /// Which of these count hangs on the operation.
    struct PoolRequest {
        uint32_t pool = 0;
        Scheduler scheduler = Scheduler::credit2;
        DomId domain{0};
        uint32_t cpu = 0;
    };
    Outcome<Buffer<xen::Sysctl>> trace_call(uint32_t cmd);
    Outcome<SchedValues> domain_sched_op(DomId domain, Scheduler policy, const SchedValues* change);
    Outcome<SchedValues> vcpu_sched_op(DomId domain, Scheduler policy, const SchedValues* change);
    Outcome<CpuPool> pool_op(uint32_t op, const PoolRequest& request, const char* what);
    Outcome<> affinity_op(DomId domain, uint32_t command, VcpuId vcpu, Affinity& maps, const char* what);
    Outcome<> sched_op(DomId domain, uint32_t command, SchedParams& params, const char* what);
    Outcome<size_t> reservation(DomId domain, uint32_t command, Buffer<uint64_t>& frames, unsigned order, const char* what);
    Outcome<std::string> version_text(uint32_t command, size_t size);
    int64_t call(uint64_t number, uint64_t a = 0, uint64_t b = 0, uint64_t c = 0, uint64_t d = 0, uint64_t e = 0);

    xencall::Backend& backend_;
};

/// The hypervisor's errno in words: "No such domain" for srch and so on; for messages.
std::string error_text(base::Errc code);

}  // namespace xenctrl
