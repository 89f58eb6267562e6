// SPDX-License-Identifier: Apache-2.0
// Which machine frame stands behind each page of a PV guest, as the guest itself keeps the list (P2M) for the tools.
#pragma once

#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "abi/xen/basic.hpp"
#include "lib/proto/saved/format.hpp"
#include "toolstack/migration/frame_index.hpp"
#include "toolstack/xenctrl/control.hpp"

namespace migration {

inline constexpr uint64_t no_frame = ~uint64_t{0};

/// The pages of a guest: of one that runs, as its list was in one moment or another.
class GuestPages {
public:
    /// None, until they are read.
    GuestPages() = default;
    /// Reads the shared-info page, the list that it names, and asks the hypervisor what the frames are used as. The list is the
    /// guest's and believed in nothing: frames that are not the domain's count as absent. Errors: badmsg when there is no list or it
    /// contradicts itself.
    static base::Outcome<GuestPages> read(xenctrl::Control& control, const xenctrl::DomainInfo& domain);

    /// Reads the list again. `changed(page, the frame that it had)` is called for each page that has another frame than before, or one
    /// for the first time, or none any more. True: the list stands in other pages. Errors: of read(); all is as it was then.
    template <class Changed>
    base::Outcome<bool> refresh(xenctrl::Control& control, const xenctrl::DomainInfo& domain, const Changed& changed) {
        const uint64_t before = list_pfns_moved_;
        for (const auto& [pfn, frame] : OTRY(refresh(control, domain))) changed(pfn, frame);
        return list_pfns_moved_ != before;
    }

    uint64_t count() const { return mfns_.size(); }
    /// no_frame where there is none.
    uint64_t mfn(uint64_t pfn) const { return mfns_[pfn]; }
    proto::saved::PageKind kind(uint64_t pfn) const { return kinds_[pfn]; }
    std::optional<uint64_t> pfn_of(uint64_t mfn) const { return by_mfn_.find(mfns_, mfn); }
    /// The pages that hold the list, in its order.
    const std::vector<uint64_t>& list_pfns() const { return list_pfns_; }
    /// The shared-info page as it was when the list was read.
    std::span<const std::byte, base::page_size> shared_info() const {
        return std::span<const std::byte, base::page_size>(shared_info_);
    }

private:
    using Changes = std::vector<std::pair<uint64_t, uint64_t>>;  // (page, the frame that it had)
    base::Outcome<Changes> refresh(xenctrl::Control& control, const xenctrl::DomainInfo& domain);
    base::Outcome<Changes> take_entries(xenctrl::Control& control, base::DomId domain, std::span<const uint64_t> entries);
    bool says_the_same(std::span<const uint64_t> entries) const;
    base::Outcome<> index();
    base::Outcome<> name_list();

    std::vector<uint64_t> mfns_;
    std::vector<proto::saved::PageKind> kinds_;
    FrameIndex by_mfn_;
    std::vector<uint64_t> list_frames_, list_pfns_;
    uint64_t list_pfns_moved_ = 0;  // how often
    std::vector<std::byte> shared_info_;
};

/// The highest number of pages that a domain of so many may speak of: holes cost memory here, not there.
uint64_t most_pages(uint64_t owned);

/// Copies whole frames of `domain`, `use(bytes, index of the first)` for some at a time.
template <class Use>
base::Outcome<> read_frames(xenctrl::Control& control, base::DomId domain, std::span<const uint64_t> mfns, const Use& use) {
    std::vector<base::Gfn> frames;
    for (size_t done = 0; done < mfns.size(); done += frames.size()) {
        frames.clear();
        for (const uint64_t mfn : mfns.subspan(done, std::min(mfns.size() - done, proto::saved::batch_pages)))
            frames.emplace_back(mfn);
        const auto mapping = OTRY(control.map(domain, frames, xencall::Access::read));
        use(std::span<const std::byte>(mapping.bytes()), done);
    }
    return base::ok;
}

}  // namespace migration
