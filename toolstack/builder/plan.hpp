// SPDX-License-Identifier: Apache-2.0
// The plan of a domain: every frame's use decided, nothing left to parse or to look up. Pure: no file, no hypercall.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/outcome.hpp"
#include "lib/base/types.hpp"
#include "toolstack/config/domain_config.hpp"

namespace builder {

using base::DomId;
using base::Pfn;

/// What the caller wants; xend fills it from a DomainConfig.
struct BuildInput {
    std::string name;  // for messages only
    config::Guest guest;
    std::array<uint8_t, 16> uuid{};
    std::string kernel;           // path
    std::string ramdisk;          // path; empty: none
    bool from_guest = false;      // both came from the guest's own disk: they may be made to fill memory, and are new each time
    std::string command_line;     // without the path of the kernel
    uint64_t memory_kib = 0;      // given at the start
    uint64_t max_memory_kib = 0;  // 0: same as memory_kib
    uint32_t vcpus = 1;           // brought up by the guest itself
    uint32_t max_vcpus = 0;       // 0: same as vcpus
    uint32_t ssidref = 0;
    uint32_t cpupool = 0;
    uint32_t max_event_channels = 1023;
    int32_t max_grant_frames = -1;  // -1: the hypervisor's default
    int32_t max_maptrack_frames = -1;
    std::optional<uint8_t> max_grant_version;  // not given: what the machine has
    DomId store_domain{0};                     // where xenstored runs
    DomId console_domain{0};                   // where xenconsoled runs
    std::optional<uint32_t> tsc_mode;
    int64_t time_offset = 0;  // seconds that its wall clock is ahead of UTC
    std::optional<uint16_t> sched_weight;
    std::optional<uint16_t> sched_cap;
    std::vector<std::vector<uint8_t>> vcpu_affinity;  // hard affinity of vCPU i; missing or empty: any CPU
};

using SharedBytes = std::shared_ptr<const std::vector<std::byte>>;

/// The files, read and unpacked.
struct Images {
    std::string kernel_path;
    SharedBytes kernel;  // an ELF image, whatever it was packed in
    std::string ramdisk_path;
    SharedBytes ramdisk;  // never null; empty when there is none
};

/// Reads and unpacks kernel and ramdisk.
/// Errors: noent, isdir, noexec (not a kernel: the text says what it is), badmsg (truncated or damaged), toobig.
base::Outcome<Images> load(const BuildInput& input);

/// A run of the domain's pseudo-physical frames: [first, first + pages).
struct Extent {
    uint64_t first = 0;
    uint64_t pages = 0;
    uint64_t end() const { return first + pages; }
};

/// Part of the kernel image: `file_size` bytes from `offset` of Images::kernel go to pseudo-physical `address`, the rest
/// up to `memory_size` is zero.
struct LoadPiece {
    uint64_t address = 0;
    size_t offset = 0;
    uint64_t file_size = 0;
    uint64_t memory_size = 0;
};

/// One range of virtual addresses that the first page tables map.
struct MappedRange {
    uint64_t virt = 0;  // page aligned
    Extent frames;      // mapped one after the other
};

/// One page table of the new domain: where it stands and what it covers.
struct TablePage {
    uint64_t pfn = 0;
    unsigned level = 1;  // 1..4
    uint64_t virt = 0;   // first address it covers
};

/// Of a PV domain.
struct Layout {
    uint64_t virt_base = 0;
    uint64_t entry = 0;
    std::optional<uint64_t> hypercall_page;  // pfn
    Extent kernel;
    Extent ramdisk;
    bool ramdisk_mapped = true;  // false: start_info carries its pfn
    Extent p2m;                  // the list, and behind it the page tables that map it when it stands apart
    uint64_t p2m_virt = 0;
    bool p2m_apart = false;   // at INIT_P2M, outside the kernel's own range
    uint64_t start_info = 0;  // pfn of each single page
    uint64_t store = 0;
    uint64_t console = 0;
    Extent tables;
    uint64_t stack = 0;
    uint64_t mapped_end = 0;  // end of the kernel's initial mapping, virtual
    std::vector<MappedRange> mapped;
    std::vector<TablePage> table_pages;  // the L4 is first; includes those in `p2m`
    uint64_t end = 0;                    // pfn behind the last one in use
};

struct Plan {
    BuildInput input;
    std::shared_ptr<const Images> images;
    std::vector<LoadPiece> pieces;
    Layout layout;
    uint64_t pages = 0;  // given at the start
    uint64_t max_pages = 0;
};

/// Lays the domain out by the planner of its type of guest. Errors: opnotsupp (a type without a planner), noexec (no Xen notes, not for x86-64, entry outside the image), nomem (memory too small,
/// the text says how much is needed), inval (limits).
base::Outcome<Plan> plan(const BuildInput& input, std::shared_ptr<const Images> images);

}  // namespace builder
