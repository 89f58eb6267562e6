// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xentrace/rings.hpp"

#include <algorithm>

#include "abi/xen/basic.hpp"
#include "abi/xen/trace.hpp"

namespace xentrace {

using base::Errc;
using base::Outcome;
using xencall::Access;

namespace {

constexpr base::DomId xens{xen::DOMID_XEN};

std::vector<base::Gfn> frames_from(uint64_t first, uint64_t count) {
    std::vector<base::Gfn> out;
    for (uint64_t i = 0; i < count; ++i) out.emplace_back(first + i);
    return out;
}

/// The frames of each CPU's buffer, from what the hypervisor tells readers.
Outcome<std::vector<std::vector<base::Gfn>>> frames_of_buffers(std::span<const std::byte> info, uint32_t cpus) {
    const auto* halves = reinterpret_cast<const uint16_t*>(info.data());
    const auto* words = reinterpret_cast<const uint32_t*>(info.data());
    const uint32_t pages = halves[0];
    std::vector<std::vector<base::Gfn>> out;
    for (uint32_t cpu = 0; cpu < cpus; ++cpu) {
        if ((cpu + 2) * sizeof(uint16_t) > info.size() || (uint64_t{halves[1 + cpu]} + pages) * sizeof(uint32_t) > info.size() ||
            pages == 0)
            return base::fail(Errc::io, "The hypervisor's list of trace buffers makes no sense");
        std::vector<base::Gfn>& frames = out.emplace_back();
        for (uint32_t i = 0; i < pages; ++i) frames.emplace_back(words[halves[1 + cpu] + i]);
    }
    return out;
}

}  // namespace

Ring::Ring(xencall::ForeignMapping pages)
    : pages_(std::move(pages)), size_(static_cast<uint32_t>(pages_.bytes().size() - sizeof(xen::TBuf))) {}

Outcome<Window> Ring::waiting() const {
    const auto* head = reinterpret_cast<const xen::TBuf*>(pages_.data());
    const uint32_t consumed = head->cons, produced = __atomic_load_n(&head->prod, __ATOMIC_ACQUIRE);
    const uint32_t used = produced >= consumed ? produced - consumed : produced + 2 * size_ - consumed;
    if (consumed >= 2 * size_ || produced >= 2 * size_ || used > size_)
        return base::fail(Errc::io, "A trace buffer's offsets make no sense");
    const std::span<const std::byte> records = pages_.bytes().subspan(sizeof(xen::TBuf));
    const uint32_t from = consumed % size_, to_end = std::min(used, size_ - from);
    return Window{records.subspan(from, to_end), records.first(used - to_end)};
}

void Ring::consume(size_t bytes) {
    auto* head = reinterpret_cast<xen::TBuf*>(pages_.data());
    __atomic_store_n(&head->cons, static_cast<uint32_t>((head->cons + bytes) % (2 * uint64_t{size_})), __ATOMIC_RELEASE);
}

Outcome<std::vector<Ring>> open_rings(xenctrl::Control& control, uint32_t pages) {
    xenctrl::TraceInfo info = OTRY(control.trace_info());
    if (info.bytes == 0) {
        OTRY(control.make_trace_buffers(pages));
        info = OTRY(control.trace_info());
    }
    const uint32_t cpus = OTRY(control.physinfo()).cpus;
    const auto list =
        OTRY(control.backend().map_foreign(xens, frames_from(info.frame, info.bytes / base::page_size), Access::read));
    std::vector<Ring> rings;
    for (const auto& frames : OTRY(frames_of_buffers(list.bytes(), cpus)))
        rings.emplace_back(OTRY(control.backend().map_foreign(xens, frames, Access::read_write)));
    return rings;
}

}  // namespace xentrace
