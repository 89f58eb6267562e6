// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the image of a stopped domain and that of one that runs are made of. Internal to migration.

#include <array>
#include <optional>
#include <vector>

#include "lib/proto/saved/writer.hpp"
#include "toolstack/migration/frames.hpp"
#include "toolstack/migration/p2m.hpp"
#include "toolstack/migration/tables.hpp"

namespace migration {

/// Everything in front of the pages.
base::Outcome<> write_head(xenctrl::Control& control, base::DomId domain, const proto::saved::FileConfig& config,
                           const GuestPages& pages, proto::saved::Writer& writer);

/// Everything behind them; the domain has suspended itself.
base::Outcome<> write_state(xenctrl::Control& control, const xenctrl::DomainInfo& domain, const GuestPages& pages,
                            proto::saved::Writer& writer);

/// Errors: inval: it has not suspended itself.
base::Outcome<> check_suspended(const xenctrl::DomainInfo& domain);

/// Writes pages, some at a time.
class PageBatch {
public:
    /// Of a guest that runs, and of one that ran when its pages were listed, what they are is asked again.
    enum class Guest : uint8_t { stopped, runs, ran };

    /// `reader` reads the domain's memory.
    PageBatch(xenctrl::Control& control, base::DomId domain, FrameReader& reader, const GuestPages& pages,
              proto::saved::Writer& writer, Guest guest)
        : control_(control), domain_(domain), reader_(reader), pages_(pages), writer_(writer), guest_(guest) {}

    /// Pages that are not there any more are told only to who has got them: `told`, what the reader knows each page as, says that and
    /// learns it. It outlives this.
    void keeps_told(std::vector<proto::saved::PageKind>& told) { told_ = &told; }
    base::Outcome<> add(uint64_t pfn);
    base::Outcome<> flush();
    /// Of a guest that runs: page tables that name what is not its memory by the list that is known, to be written later.
    const std::vector<uint64_t>& deferred() const { return deferred_; }

private:
    base::Outcome<> ask_kinds();
    base::Outcome<> read_pages();
    base::Outcome<> read_what_is_there();
    bool is_news(const proto::saved::PageEntry& entry);
    base::Outcome<std::optional<const std::byte*>> form_of(const proto::saved::PageEntry& entry, const std::byte* data);
    base::Outcome<const std::byte*> normal_form(const proto::saved::PageEntry& entry, const std::byte* data, size_t index);

    xenctrl::Control& control_;
    base::DomId domain_;
    FrameReader& reader_;
    const GuestPages& pages_;
    proto::saved::Writer& writer_;
    const Guest guest_;
    std::vector<proto::saved::PageKind>* told_ = nullptr;
    std::vector<proto::saved::PageEntry> entries_;
    std::vector<proto::saved::PageOut> out_;
    std::vector<std::array<uint64_t, table_entries>> tables_;
    size_t tables_used_ = 0;
    std::vector<uint64_t> deferred_;
};

}  // namespace migration
