// SPDX-License-Identifier: Apache-2.0
#include "toolstack/migration/new_pages.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "toolstack/migration/p2m.hpp"
#include "toolstack/migration/tables.hpp"

namespace migration {

using base::Errc;
using base::Mfn;
using base::Outcome;
using proto::saved::frames_per_p2m_page;
using proto::saved::PageData;
using proto::saved::PageEntry;

namespace {

std::string page_text(uint64_t pfn) { return "page " + std::to_string(pfn); }

std::array<uint64_t, table_entries> table_at(const std::byte* data) {
    std::array<uint64_t, table_entries> table;
    std::memcpy(table.data(), data, base::page_size);
    return table;
}

}  // namespace

Outcome<> NewPages::begin(uint64_t last_pfn, uint64_t owned) {
    if (last_pfn >= most_pages(owned)) {
        return base::fail(Errc::badmsg, "the image speaks of " + std::to_string(last_pfn + 1) +
                                            " pages, for a domain that may have " + std::to_string(owned));
    }
    pages_.resize(std::max<uint64_t>(pages_.size(), last_pfn + 1));
    return base::ok;
}

Outcome<> NewPages::take(const PageData& batch) {
    std::vector<uint64_t> gone;
    for (const auto& [entry, data] : batch.pages) {
        if (!entry.kind.exists() && entry.pfn < pages_.size()) gone.push_back(entry.pfn);
    }
    // What goes may be named by tables that come behind it: its memory is free only when nothing holds it.
    OTRY(gone.empty() ? let_go(batch) : unpin_early());
    OTRY(give_back(gone));
    OTRY(allocate(batch));
    return fill(batch);
}

/// No table can be written to while it is pinned as one.
Outcome<> NewPages::let_go(const PageData& batch) {
    std::vector<uint64_t> again;
    for (const auto& [entry, data] : batch.pages) {
        if (entry.pfn < pages_.size() && pages_[entry.pfn].early) again.push_back(entry.pfn);
    }
    return unpin(again);
}

Outcome<> NewPages::unpin(std::span<const uint64_t> pfns) {
    std::vector<xenctrl::TablePin> tables;
    for (const uint64_t pfn : pfns) {
        if (std::exchange(pages_[pfn].early, false)) tables.push_back({1, Mfn{pages_[pfn].mfn}});
    }
    return tables.empty() ? Outcome<>(base::ok) : control_.unpin(domain_, tables);
}

void NewPages::pin_early() {
    std::vector<xenctrl::TablePin> tables;
    std::vector<uint64_t> pfns;
    for (uint64_t pfn = 0; pfn < pages_.size(); ++pfn) {
        const Page& page = pages_[pfn];
        // Its own pin the guest keeps.
        if (!page.came || page.early || page.kind.table_level() != 1 || page.kind.pinned()) continue;
        tables.push_back({1, Mfn{page.mfn}});
        pfns.push_back(pfn);
    }
    const auto pinned = control_.pin_first(domain_, tables);
    if (!pinned) return;
    pfns.resize(*pinned);
    for (const uint64_t pfn : pfns) pages_[pfn].early = true;
    early_.insert(early_.end(), pfns.begin(), pfns.end());
}

Outcome<> NewPages::unpin_early() { return unpin(std::exchange(early_, {})); }

/// The frames of these pages, where they have any.
Outcome<> NewPages::give_back(std::span<const uint64_t> pfns) {
    std::vector<uint64_t> frames;
    for (const uint64_t pfn : pfns) {
        if (pages_[pfn].mfn == no_frame) continue;
        frames.push_back(pages_[pfn].mfn);
        pages_[pfn] = Page{};
    }
    if (frames.empty()) return base::ok;
    gave_back_ = true;
    if (OTRY(control_.decrease(domain_, frames, 0)) == frames.size()) return base::ok;
    return base::fail(Errc::io, "The hypervisor does not take back pages of the new domain");
}

/// Notes that the page needs a frame, once.
void NewPages::want(uint64_t pfn, std::vector<uint64_t>& wanted) {
    constexpr uint64_t asked = ~uint64_t{0} - 1;
    if (pages_[pfn].mfn != ~uint64_t{0}) return;
    pages_[pfn].mfn = asked;
    wanted.push_back(pfn);
}

Outcome<> NewPages::allocate(const PageData& batch) {
    std::vector<uint64_t> wanted;
    for (const auto& [entry, data] : batch.pages) {
        if (entry.pfn >= pages_.size())
            return base::fail(Errc::badmsg, page_text(entry.pfn) + " is beyond the end of the domain's memory");
        const unsigned level = entry.kind.table_level();
        if (entry.kind.exists()) want(entry.pfn, wanted);
        if (level != 0 && data != nullptr) {
            const auto table = table_at(data);
            for (size_t i = 0; i < table_entries; ++i) {
                if (!names_frame(level, i, table[i])) continue;
                if (frame_of(table[i]) >= pages_.size())
                    return base::fail(Errc::badmsg, page_text(entry.pfn) + ", a page table, names " +
                                                        page_text(frame_of(table[i])) + ", which there is not");
                want(frame_of(table[i]), wanted);
            }
        }
    }
    std::vector<uint64_t> frames = wanted;
    const size_t made = frames.empty() ? 0 : OTRY(control_.populate(domain_, frames, 0));
    for (size_t i = 0; i < wanted.size(); ++i) pages_[wanted[i]].mfn = i < made ? frames[i] : ~uint64_t{0};
    if (made == wanted.size()) return base::ok;
    return base::fail(Errc::nomem, "Not enough free memory in the hypervisor for the domain's pages");
}

/// Memory that is clear and stays so is not touched.
Outcome<> NewPages::fill(const PageData& batch) {
    const bool clear = OTRY(writer_.finds_clear_memory());
    std::vector<Fill> full, zeros;
    ++batch_;
    for (const auto& [entry, data] : batch.pages) {
        Page& page = pages_[entry.pfn];
        page.kind = entry.kind;
        page.came = entry.kind.exists();
        if (!entry.kind.has_data()) continue;
        // What comes again in one batch replaces what came before.
        if (page.batch == batch_) OTRY(write_all(full, zeros));
        page.batch = batch_;
        if (data != nullptr) full.push_back({entry.pfn, entry.kind.table_level(), data});
        else if (page.written || !clear) zeros.push_back({entry.pfn, 0, nullptr});
        page.written = page.written || data != nullptr;
    }
    return write_all(full, zeros);
}

/// Full ones come first, as they stand in storage().
Outcome<> NewPages::write_all(std::vector<Fill>& full, std::vector<Fill>& zeros) {
    full.insert(full.end(), zeros.begin(), zeros.end());
    for (std::span<const Fill> rest = full; !rest.empty();) {
        const auto some = rest.first(std::min(rest.size(), most_frames));
        OTRY(write(some));
        rest = rest.subspan(some.size());
    }
    full.clear();
    zeros.clear();
    return base::ok;
}

Outcome<> NewPages::write(std::span<const Fill> fills) {
    std::vector<base::Gfn> frames;
    for (const Fill& fill : fills) frames.emplace_back(pages_[fill.pfn].mfn);
    OTRY(writer_.begin(frames));
    for (size_t i = 0; i < fills.size(); ++i) OTRY(write_one(i, fills[i]));
    return writer_.end();
}

Outcome<> NewPages::write_one(size_t index, const Fill& fill) {
    if (fill.data == nullptr) {
        writer_.zeros(index);
        return base::ok;
    }
    std::byte* const place = writer_.page(index);
    if (fill.data != place) std::memcpy(place, fill.data, base::page_size);
    if (fill.level == 0) return base::ok;
    const Table table(reinterpret_cast<uint64_t*>(place), table_entries);
    auto done = translate(fill.level, table, table, [&](uint64_t pfn) { return std::optional(pages_[pfn].mfn); });
    if (!done) return std::move(done).take_failure().with(page_text(fill.pfn));
    return base::ok;
}

Outcome<> NewPages::complete() {
    std::vector<uint64_t> never;
    for (uint64_t pfn = 0; pfn < pages_.size(); ++pfn) {
        if (pages_[pfn].mfn != no_frame && !pages_[pfn].came) never.push_back(pfn);
    }
    if (never.empty() && !gave_back_) return base::ok;
    OTRY(check_tables());
    return give_back(never);
}

/// Tables came again when they were changed, and pages when they went: each table names what is there.
Outcome<> NewPages::check_tables() {
    std::vector<uint64_t> tables, pfns;
    std::vector<std::pair<uint64_t, uint64_t>> came;  // (frame, page)
    for (uint64_t pfn = 0; pfn < pages_.size(); ++pfn) {
        if (pages_[pfn].mfn != no_frame) came.emplace_back(pages_[pfn].mfn, pfn);
        if (pages_[pfn].came && pages_[pfn].kind.table_level() != 0) {
            tables.push_back(pages_[pfn].mfn);
            pfns.push_back(pfn);
        }
    }
    std::ranges::sort(came);
    std::string wrong;
    const auto look = [&](unsigned level, const std::array<uint64_t, table_entries>& table) {
        for (size_t i = 0; i < table_entries && wrong.empty(); ++i) {
            if (!names_frame(level, i, table[i])) continue;
            const auto at = std::ranges::lower_bound(came, std::pair(frame_of(table[i]), uint64_t{0}));
            if (at == came.end() || at->first != frame_of(table[i])) wrong = "a page that went";
            else if (!pages_[at->second].came) wrong = page_text(at->second);
        }
    };
    OTRY(read_frames(control_, domain_, tables, [&](std::span<const std::byte> bytes, size_t first) {
        for (size_t i = 0; i < bytes.size() / base::page_size; ++i)
            look(pages_[pfns[first + i]].kind.table_level(), table_at(bytes.data() + i * base::page_size));
    }));
    if (wrong.empty()) return base::ok;
    return base::fail(Errc::badmsg, "the page tables name " + wrong + ", which is not in the image");
}

Outcome<Mfn> NewPages::frame(uint64_t pfn, unsigned level, const std::string& what) const {
    const auto wrong = [&](const char* why) {
        return base::fail(Errc::badmsg, what + " is " + page_text(pfn) + ", which " + why);
    };
    if (pfn >= pages_.size()) return wrong("there is not");
    if (!pages_[pfn].came || !pages_[pfn].kind.exists()) return wrong("is not in the image");
    if (pages_[pfn].kind.table_level() != level)
        return wrong(level == 0 ? "is a page table" : "is no page table of the top level");
    return Mfn{pages_[pfn].mfn};
}

std::vector<xenctrl::TablePin> NewPages::pins() const {
    std::vector<xenctrl::TablePin> out;
    for (const Page& page : pages_) {
        if (page.came && page.kind.pinned()) out.push_back({page.kind.table_level(), Mfn{page.mfn}});
    }
    return out;
}

Outcome<> NewPages::write_list(std::span<const uint64_t> list_pfns) {
    for (size_t done = 0; done < list_pfns.size();) {
        const auto some = list_pfns.subspan(done, std::min(list_pfns.size() - done, most_frames));
        std::vector<base::Gfn> frames;
        for (const uint64_t pfn : some) frames.emplace_back(OTRY(frame(pfn, 0, "the guest's list of its pages")).raw);
        OTRY(writer_.begin(frames));
        for (size_t i = 0; i < some.size(); ++i) {
            auto* words = reinterpret_cast<uint64_t*>(writer_.page(i));
            const uint64_t first = (done + i) * frames_per_p2m_page;
            for (uint64_t j = 0; j < frames_per_p2m_page; ++j)
                words[j] = first + j < pages_.size() ? pages_[first + j].mfn : no_frame;
        }
        OTRY(writer_.end());
        done += some.size();
    }
    return base::ok;
}

}  // namespace migration
