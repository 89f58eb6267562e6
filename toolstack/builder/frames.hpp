// SPDX-License-Identifier: Apache-2.0
// A new domain's memory seen from here: pfns in, bytes out. Maps a window at a time.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "toolstack/builder/plan.hpp"
#include "toolstack/xenctrl/control.hpp"

namespace builder {

class DomainFrames {
public:
    DomainFrames(xenctrl::Control& control, DomId domain) : control_(control), domain_(domain) {}

    /// Allocates pfns [0, pages), in 2 MiB extents where the hypervisor has them.
    /// Errors: nomem; the text says how much was missing.
    base::Outcome<> populate(uint64_t pages);

    uint64_t mfn(uint64_t pfn) const { return mfns_[pfn]; }
    const std::vector<uint64_t>& mfns() const { return mfns_; }

    /// Calls `use(bytes, first_pfn)` for successive windows of `extent`, mapped for writing.
    using Use = std::function<void(std::span<std::byte>, uint64_t)>;
    base::Outcome<> write(Extent extent, const Use& use);

    /// Fills from `address` (pseudo-physical, any alignment) with `data`, then with zeros up to `size` bytes in all.
    base::Outcome<> fill(uint64_t address, std::span<const std::byte> data, uint64_t size);

    /// Clears whole pages.
    base::Outcome<> clear(Extent extent);

private:
    base::Outcome<uint64_t> populate_large(uint64_t pages);

    xenctrl::Control& control_;
    DomId domain_;
    std::vector<uint64_t> mfns_;
};

}  // namespace builder
