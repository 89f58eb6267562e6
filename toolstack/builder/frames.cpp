// SPDX-License-Identifier: Apache-2.0
#include "toolstack/builder/frames.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace builder {
namespace {

constexpr unsigned large_order = 9;  // 2 MiB
constexpr uint64_t large_pages = 1 << large_order;
constexpr uint64_t batch = 1 << 16;   // small extents per hypercall
constexpr uint64_t window = 1 << 12;  // pages mapped at a time: 16 MiB

}  // namespace

/// As many whole 2 MiB extents as there are. Returns the pages made, all at the start.
base::Outcome<uint64_t> DomainFrames::populate_large(uint64_t pages) {
    std::vector<uint64_t> extents(pages / large_pages);
    for (size_t i = 0; i < extents.size(); ++i) extents[i] = i * large_pages;
    if (extents.empty()) return uint64_t{0};
    const size_t made = OTRY(control_.populate(domain_, extents, large_order));
    for (size_t i = 0; i < made; ++i)
        std::iota(mfns_.begin() + static_cast<ptrdiff_t>(i * large_pages),
                  mfns_.begin() + static_cast<ptrdiff_t>((i + 1) * large_pages), extents[i]);
    return made * large_pages;
}

base::Outcome<> DomainFrames::populate(uint64_t pages) {
    mfns_.resize(pages);
    uint64_t done = OTRY(populate_large(pages));
    std::iota(mfns_.begin() + static_cast<ptrdiff_t>(done), mfns_.end(), done);
    while (done < pages) {
        const uint64_t count = std::min(pages - done, batch);
        const size_t made = OTRY(control_.populate(domain_, std::span(mfns_).subspan(done, count), 0));
        done += made;
        if (made < count)
            return base::fail(base::Errc::nomem, "Not enough free memory in the hypervisor: " + std::to_string(pages * 4) +
                                                     " KiB wanted, " + std::to_string(done * 4) + " KiB found");
    }
    return base::Unit{};
}

base::Outcome<> DomainFrames::write(Extent extent, const Use& use) {
    std::vector<base::Gfn> frames;
    for (uint64_t at = extent.first; at < extent.end();) {
        const uint64_t count = std::min(extent.end() - at, window);
        frames.clear();
        for (uint64_t i = 0; i < count; ++i) frames.emplace_back(mfns_[at + i]);  // a PV domain's frames are machine frames
        const auto mapping = OTRY(control_.map(domain_, frames, xencall::Access::read_write));
        use(mapping.bytes(), at);
        at += count;
    }
    return base::Unit{};
}

base::Outcome<> DomainFrames::fill(uint64_t address, std::span<const std::byte> data, uint64_t size) {
    if (size == 0) return base::Unit{};
    const uint64_t first = address / base::page_size;
    const Extent pages{first, (address + size - 1) / base::page_size - first + 1};
    return write(pages, [&](std::span<std::byte> bytes, uint64_t pfn) {
        // The part of [address, address + size) that this window holds, as offsets into the fill.
        const uint64_t base = pfn * base::page_size;
        const uint64_t from = std::max(base, address) - address;
        const uint64_t to = std::min(base + bytes.size(), address + size) - address;
        std::byte* out = bytes.data() + (address + from - base);
        const uint64_t copied = from < data.size() ? std::min<uint64_t>(to, data.size()) - from : 0;
        if (copied != 0) std::memcpy(out, data.data() + from, copied);
        std::memset(out + copied, 0, to - from - copied);
    });
}

base::Outcome<> DomainFrames::clear(Extent extent) {
    return write(extent, [](std::span<std::byte> bytes, uint64_t) { std::memset(bytes.data(), 0, bytes.size()); });
}

}  // namespace builder
