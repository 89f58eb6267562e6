// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/domain/trace_buffers.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "abi/xen/trace.hpp"
#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/domain/domain.hpp"
#include "hypervisor/mm/heap.hpp"
#include "hypervisor/rt/log.hpp"
#include "hypervisor/trace/trace.hpp"

namespace hv {

using base::Err;
using base::Errc;
using base::Status;

namespace {

/// What make_trace_buffers() has done. The operation may stop after any page, and nobody come to go on.
struct {
    uint32_t asked = 0;  ///< pages a CPU; 0: nobody has asked
    uint32_t pages = 0;  ///< pages a CPU that it will be
    unsigned cpus = 0;
    uint8_t** list = nullptr;  ///< all of them, CPU by CPU
    uint32_t made = 0;
    bool giving_up = false;      ///< there was no memory: what was made goes back
    xen::TInfo* info = nullptr;  ///< for readers: complete when it is shared
    unsigned info_order = 0;
    bool done = false;
} making;

/// xen::TInfo counts in words of 32 bits; behind its size is an offset for each CPU, all of 16 bits.
uint32_t first_list(unsigned cpus) { return (2 + cpus * 2 + 3) / 4; }
uint32_t total() { return making.pages * making.cpus; }

/// As many pages a CPU as can be named: an offset is less than 2^16, and so is their number.
uint32_t at_most(uint32_t pages, unsigned cpus) { return std::min(pages, (0xffff - first_list(cpus)) / cpus); }

void forget() {
    destroy_array(making.list, total());
    if (making.info) heap::free(mfn_of(making.info), making.info_order);
    making = {};
}

Status begin(uint32_t pages) {
    making.asked = pages;
    making.cpus = cpu_count;
    making.pages = at_most(pages, cpu_count);
    if (making.pages < pages) log(LogLevel::info, "xentrace: requested number of %u pages reduced to %u", pages, making.pages);
    const uint64_t bytes = (uint64_t{first_list(making.cpus)} + total()) * 4;
    making.info_order = static_cast<unsigned>(std::bit_width((bytes - 1) >> page_shift));
    auto info = heap::alloc(making.info_order);
    if (info) {
        making.info = map_mfn<xen::TInfo>(info.value());
        memset(static_cast<void*>(making.info), 0, page_size << making.info_order);
    }
    auto list = make_array<uint8_t*>(total());
    if (list) making.list = list.value();
    if (info && list && trace::make_buffers(making.cpus)) return base::ok;
    forget();
    return Err{Errc::nomem};
}

/// Takes back the pages that there are, as far as it comes.
Status give_back() {
    for (bool first = true; making.made > 0; first = false) {
        if (!first && arch::preempt_wanted()) return Err{Errc::restart};
        void* page = making.list[--making.made];
        if (unshare_hyp_page(page)) heap::free_page(page);
    }
    forget();
    return Err{Errc::nomem};
}

Status make_pages() {
    for (bool first = true; making.made < total(); first = false) {
        if (!first && arch::preempt_wanted()) return Err{Errc::restart};
        auto page = heap::alloc_page_zeroed();
        if (!page) {
            making.giving_up = true;
            return give_back();
        }
        share_hyp_page(*dom_xen, page.value());
        making.list[making.made++] = static_cast<uint8_t*>(page.value());
    }
    return base::ok;
}

/// Says which CPU's pages are where, and offers that too.
void publish() {
    auto* const words = reinterpret_cast<uint32_t*>(making.info);
    auto* const offsets = reinterpret_cast<uint16_t*>(making.info) + 1;
    making.info->tbuf_size = static_cast<uint16_t>(making.pages);
    for (unsigned cpu = 0; cpu < making.cpus; ++cpu) {
        const uint32_t list = first_list(making.cpus) + cpu * making.pages;
        offsets[cpu] = static_cast<uint16_t>(list);
        uint8_t* const* pages = making.list + cpu * making.pages;
        for (uint32_t i = 0; i < making.pages; ++i) words[list + i] = static_cast<uint32_t>(mfn_of(pages[i]).raw);
        trace::give_pages(cpu, pages, making.pages);
    }
    for (unsigned i = 0; i < 1u << making.info_order; ++i)
        share_hyp_page(*dom_xen, reinterpret_cast<uint8_t*>(making.info) + (uint64_t{i} << page_shift));
    making.done = true;
}

}  // namespace

Status make_trace_buffers(uint32_t pages) {
    if (making.giving_up) return give_back();
    if (making.asked != 0 && making.asked != pages) return Err{Errc::inval};
    if (making.done) return base::ok;
    if (pages == 0) return Err{Errc::inval};
    if (making.asked == 0) TRY(begin(pages));
    TRY(make_pages());
    publish();
    return base::ok;
}

TraceInfoPages trace_info_pages() {
    if (!making.done) return {};
    return {mfn_of(making.info), static_cast<uint32_t>(page_size << making.info_order)};
}

uint32_t trace::running_vcpu() {
    const Vcpu& v = current();
    return v.domain.id.raw | uint32_t{v.id.raw} << 16;
}

}  // namespace hv
