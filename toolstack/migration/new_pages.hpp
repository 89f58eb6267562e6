// SPDX-License-Identifier: Apache-2.0
// The memory of a domain that is being restored.
#pragma once

#include <vector>

#include "lib/proto/saved/reader.hpp"
#include "toolstack/migration/frames.hpp"

namespace migration {

/// Takes pages as they come, in any order and again and again: memory is allocated for what comes and for what tables name, and given
/// back when a page comes that is not there any more; entries of tables get frames in place of pages.
class NewPages {
public:
    NewPages(xenctrl::Control& control, base::DomId domain) : control_(control), domain_(domain), writer_(control, domain) {}

    /// Room for pages 0 to `last_pfn`, which is no less than before. Errors: badmsg when that is beyond what a domain of `owned` pages
    /// could speak of.
    base::Outcome<> begin(uint64_t last_pfn, uint64_t owned);
    /// Where pages are best put before take(), one behind the other without those of zeros; it may be empty.
    base::Outcome<std::span<std::byte>> storage() { return writer_.storage(); }
    /// Errors: badmsg, nomem.
    base::Outcome<> take(const proto::saved::PageData& batch);
    /// Tables of the lowest level, which are most of them, are checked by the hypervisor now, and not when everybody waits for that. One
    /// that comes again is let go of before. What it refuses is left for the end, when all must be right.
    void pin_early();
    /// When those above hold them: the guest expects no pins but its own. Errors: the hypervisor's.
    base::Outcome<> unpin_early();
    /// After the last: nothing is named that never came, or went. Memory is given back that tables named once, of pages that never
    /// came. Errors: badmsg; the hypervisor's.
    base::Outcome<> complete();

    uint64_t count() const { return pages_.size(); }
    /// The frame of a page that came and is of this kind of use: `level` 1..4 for a table, 0 for none. Errors: badmsg; `what` begins the
    /// text.
    base::Outcome<base::Mfn> frame(uint64_t pfn, unsigned level, const std::string& what) const;
    /// The tables that were pinned.
    std::vector<xenctrl::TablePin> pins() const;
    /// Writes the guest's list of frames anew into the pages that hold it.
    base::Outcome<> write_list(std::span<const uint64_t> list_pfns);

private:
    struct Page {
        uint64_t mfn = ~uint64_t{0};
        proto::saved::PageKind kind = proto::saved::absent_page;
        bool came = false;
        bool written = false;  // since it was allocated
        bool early = false;    // pinned before its time
        uint32_t batch = 0;    // in which it came last
    };
    struct Fill {
        uint64_t pfn;
        unsigned level;         // as what it came; it may come as another thing behind that
        const std::byte* data;  // null: zeros
    };
    base::Outcome<> let_go(const proto::saved::PageData& batch);
    base::Outcome<> unpin(std::span<const uint64_t> pfns);
    base::Outcome<> allocate(const proto::saved::PageData& batch);
    void want(uint64_t pfn, std::vector<uint64_t>& wanted);
    base::Outcome<> fill(const proto::saved::PageData& batch);
    base::Outcome<> write_all(std::vector<Fill>& full, std::vector<Fill>& zeros);
    base::Outcome<> write(std::span<const Fill> fills);
    base::Outcome<> write_one(size_t index, const Fill& fill);
    base::Outcome<> give_back(std::span<const uint64_t> pfns);
    base::Outcome<> check_tables();

    xenctrl::Control& control_;
    base::DomId domain_;
    FrameWriter writer_;
    std::vector<Page> pages_;
    std::vector<uint64_t> early_;  // pages that were pinned early; some may be so no more
    uint32_t batch_ = 0;
    bool gave_back_ = false;
};

}  // namespace migration
