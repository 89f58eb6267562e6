// SPDX-License-Identifier: Apache-2.0
// What control operations take and return, in our own types.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/types.hpp"

namespace xenctrl {

using base::DomId;
using base::Gfn;
using base::Mfn;
using base::Nanos;
using base::Pfn;
using base::Port;
using base::VcpuId;

/// A domain's 16-byte handle: its uuid in network order.
using Handle = std::array<uint8_t, 16>;

/// Why a domain shut down (SHUTDOWN_*).
enum class ShutdownReason : uint8_t { poweroff = 0, reboot = 1, suspend = 2, crash = 3, watchdog = 4, soft_reset = 5 };

/// "poweroff", "reboot", "suspend", "crash", "watchdog", "soft_reset".
const char* shutdown_reason_name(ShutdownReason reason);

struct DomainInfo {
    DomId id;
    bool dying = false;  // being torn down, or dead but still referenced
    bool hvm = false;
    bool shutdown = false;  // the guest stopped; `reason` says why
    bool paused = false;    // by control software
    bool blocked = false;   // every vCPU waits for an event
    bool running = false;   // at least one vCPU is on a CPU now
    bool debugged = false;
    bool hap = false;
    ShutdownReason reason = ShutdownReason::poweroff;  // meaningful with `shutdown`
    uint64_t pages = 0;                                // allocated now
    uint64_t max_pages = 0;                            // ~0: no limit
    uint64_t outstanding_pages = 0;                    // claimed, not yet allocated
    uint64_t shared_pages = 0;
    uint64_t paged_pages = 0;
    Nanos cpu_time;  // all vCPUs together
    uint32_t online_vcpus = 0;
    uint32_t vcpus = 0;  // highest vCPU id + 1
    uint32_t ssidref = 0;
    uint32_t cpupool = 0;
    Handle handle{};
    Mfn shared_info;

    /// The six letters of `xm list`: r b p s c d, '-' where not set ("-b----").
    std::string state() const;
    uint64_t memory_kib() const { return pages * 4; }
    /// ~0 where there is no limit.
    uint64_t max_memory_kib() const { return max_pages > (~uint64_t{0} >> 2) ? ~uint64_t{0} : max_pages * 4; }
};

struct VcpuInfo {
    VcpuId id;
    bool online = false;
    bool blocked = false;
    bool running = false;
    Nanos cpu_time;
    uint32_t cpu = 0;  // where it runs or last ran
};

/// A set of CPUs or nodes; bit i of byte i/8.
using BitMap = std::vector<uint8_t>;

struct Affinity {
    BitMap hard;
    BitMap soft;
};

/// Credit and credit2 take the same two figures. weight: 1..65535, default 256; cap: percent of one CPU, 0 = none.
struct SchedParams {
    uint16_t weight = 256;
    uint16_t cap = 0;
};

/// XEN_SCHEDULER_*, and those that Xen 4.17 does not have any more.
enum class Scheduler : uint32_t {
    bvt = 0,
    atropos = 2,
    rrobin = 3,
    sedf = 4,
    credit = 5,
    credit2 = 6,
    arinc653 = 7,
    rtds = 8,
    null = 9
};
inline constexpr Scheduler all_schedulers[] = {Scheduler::credit, Scheduler::credit2,  Scheduler::null,
                                               Scheduler::rtds,   Scheduler::arinc653, Scheduler::bvt,
                                               Scheduler::sedf,   Scheduler::atropos,  Scheduler::rrobin};
/// Parameters by name. credit, credit2: weight, cap; rtds: period, budget (us), extratime; sedf: period, slice, latency (ns), extratime, weight;
/// bvt: mcuadv, warpback, warpvalue, warpl, warpu (ns); atropos: period, slice, latency (ns), xtratime. Of a pool: credit: tslice_ms,
/// ratelimit_us, vcpu_migr_delay_us; credit2: ratelimit_us; bvt: ctx_allow (ns); rrobin: slice (ns).
using SchedValues = std::map<std::string, int64_t>;
/// A scheduler and what it has of a domain, or of a pool.
struct Sched {
    Scheduler policy = Scheduler::credit2;
    SchedValues values;
};
/// "credit", "credit2", ... ; "unknown" for a number we do not know.
const char* scheduler_name(Scheduler scheduler);

/// CPUs that one scheduler has, and how many domains run on them.
struct CpuPool {
    uint32_t id = 0;
    Scheduler scheduler = Scheduler::credit2;
    uint32_t domains = 0;
    BitMap cpus;
};

/// Where readers of trace buffers begin (xen::TInfo), and what is recorded.
struct TraceInfo {
    uint64_t frame = 0;
    uint32_t bytes = 0;  ///< 0: there are no buffers
    uint32_t events = 0;
};

struct PhysInfo {
    uint32_t threads_per_core = 0;
    uint32_t cores_per_socket = 0;
    uint32_t cpus = 0;
    uint32_t max_cpu = 0;
    uint32_t nodes = 0;
    uint32_t max_node = 0;
    uint32_t cpu_khz = 0;
    bool hvm = false, pv = false, directio = false, hap = false, shadow = false, vpmu = false;
    bool grant_v1 = false, grant_v2 = false;
    uint64_t total_pages = 0;
    uint64_t free_pages = 0;
    uint64_t scrub_pages = 0;        // freed, waiting to be cleaned
    uint64_t outstanding_pages = 0;  // claimed
    uint64_t max_mfn = 0;
    std::array<uint32_t, 8> hw_caps{};
};

struct CpuTopology {
    uint32_t core = 0;
    uint32_t socket = 0;
    uint32_t node = 0;
};

struct NodeMemory {
    uint64_t bytes = 0;
    uint64_t free_bytes = 0;
};

struct NumaInfo {
    std::vector<NodeMemory> nodes;
    std::vector<uint32_t> distances;  // nodes x nodes, row by row
};

struct VersionInfo {
    uint32_t major = 0;
    uint32_t minor = 0;
    std::string extra;         // ".5", "-rc1"
    std::string capabilities;  // "xen-3.0-x86_64 hvm-3.0-x86_32 ..."
    std::string changeset;
    std::string compiler;
    std::string compiled_by;
    std::string compile_domain;
    std::string compile_date;
    std::string command_line;
    uint64_t virt_start = 0;
    uint32_t page_size = 0;
};

struct CreateOptions {
    Handle handle{};
    std::optional<DomId> id;  // a wanted id; the hypervisor chooses otherwise
    uint32_t ssidref = 0;
    uint32_t max_vcpus = 1;
    uint32_t max_event_channels = 1023;
    int32_t max_grant_frames = -1;  // -1: the hypervisor's default
    int32_t max_maptrack_frames = -1;
    uint8_t grant_version = 1;  // highest the domain may choose
    uint32_t cpupool = 0;
    bool hvm = false;
    bool hap = false;
    bool iommu = false;
    uint32_t emulation_flags = 0;  // XEN_X86_EMU_*; 0 for PV
};

/// One leaf of a CPU policy (subleaf ~0: the leaf has none).
struct CpuidLeaf {
    uint32_t leaf = 0, subleaf = 0;
    uint32_t a = 0, b = 0, c = 0, d = 0;
};
struct MsrEntry {
    uint32_t index = 0;
    uint64_t value = 0;
};
struct CpuPolicy {
    std::vector<CpuidLeaf> leaves;
    std::vector<MsrEntry> msrs;
};
/// The time-stamp counter that a domain sees, as it moves with it.
struct TscInfo {
    uint32_t mode = 0;  // 0: as the hypervisor thinks right
    uint32_t khz = 0;
    uint32_t incarnation = 0;  // how often the domain was restored
    uint64_t elapsed_ns = 0;
};
/// XEN_SYSCTL_cpu_policy_*.
enum class PolicyKind : uint32_t { raw = 0, host = 1, pv_max = 2, hvm_max = 3, pv_default = 4, hvm_default = 5 };

/// A page table to pin.
struct TablePin {
    unsigned level = 4;  // 1..4
    Mfn table;
};

struct MemoryRange {
    uint64_t start = 0;  // bytes
    uint64_t size = 0;   // bytes
    uint32_t type = 1;   // E820_RAM = 1, reserved = 2
};

/// An entry to put into a domain's grant table.
struct GrantSeed {
    uint32_t ref = 0;  // GNTTAB_RESERVED_*
    DomId to;
    Gfn frame;
};

enum class Permission : uint8_t { denied = 0, allowed = 1 };

enum class Trigger : uint32_t { nmi = 0, reset = 1, init = 2, power = 3, sleep = 4 };

}  // namespace xenctrl
