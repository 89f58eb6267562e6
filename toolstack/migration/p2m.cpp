// SPDX-License-Identifier: Apache-2.0
#include "toolstack/migration/p2m.hpp"

#include <algorithm>
#include <cstring>

#include "toolstack/migration/tables.hpp"

namespace migration {

using base::DomId;
using base::Errc;
using base::Outcome;
using proto::saved::frames_per_p2m_page;
using proto::saved::PageKind;
using xenctrl::Control;

namespace {

constexpr uint64_t address_mask = 0x0000'ffff'ffff'ffff;
constexpr const char* reading_list = "Cannot read the guest's list of its pages";
constexpr uint64_t highest_frame = uint64_t{1} << 40U;  // what an entry can name

base::Failure bad(const std::string& why) { return base::fail(Errc::badmsg, "The guest's list of its pages " + why); }

/// All words of these frames.
Outcome<std::vector<uint64_t>> words_of(Control& control, DomId domain, std::span<const uint64_t> mfns) {
    std::vector<uint64_t> words(mfns.size() * frames_per_p2m_page);
    OTRY(read_frames(control, domain, mfns, [&](std::span<const std::byte> bytes, size_t first) {
        std::memcpy(&words[first * frames_per_p2m_page], bytes.data(), bytes.size());
    }));
    return words;
}

/// The frames that are mapped at [virt, virt + pages) by the tables below `root`.
Outcome<std::vector<uint64_t>> walk(Control& control, DomId domain, uint64_t root, uint64_t virt, uint64_t pages) {
    std::vector<uint64_t> frames = {root};
    const uint64_t first_page = (virt & address_mask) >> 12U;
    for (unsigned level = 4; level >= 1; --level) {
        // Entries of this level by their number in the whole address space.
        const unsigned shift = 9 * (level - 1);
        const uint64_t first = first_page >> shift, last = (first_page + pages - 1) >> shift;
        const uint64_t first_table = first / table_entries;
        const auto words = OTRY(words_of(control, domain, frames));
        std::vector<uint64_t> below;
        for (uint64_t i = first; i <= last; ++i) {
            const uint64_t entry = words[i - first_table * table_entries];
            if ((entry & entry_present) == 0 || (level > 1 && (entry & entry_large) != 0))
                return bad("is not mapped where it is said to be");
            below.push_back(frame_of(entry));
        }
        frames = std::move(below);
    }
    return frames;
}

/// The old way: a page of frames, each of which lists frames of the list.
Outcome<std::vector<uint64_t>> follow_lists(Control& control, DomId domain, uint64_t root, uint64_t pages) {
    std::vector<uint64_t> lists = OTRY(words_of(control, domain, std::span(&root, 1)));
    const uint64_t wanted = (pages + frames_per_p2m_page - 1) / frames_per_p2m_page;
    if (wanted > lists.size()) return bad("is too long for the old form");
    lists.resize(wanted);
    std::vector<uint64_t> frames = OTRY(words_of(control, domain, lists));
    frames.resize(pages);
    return frames;
}

Outcome<std::vector<uint64_t>> list_frames(Control& control, DomId domain, const xen::ArchSharedInfo& arch) {
    const uint64_t pages = (arch.max_pfn + frames_per_p2m_page - 1) / frames_per_p2m_page;
    if (arch.p2m_cr3 != 0) {
        const uint64_t last = arch.p2m_vaddr + pages * base::page_size - 1;
        const bool in_one_half = (arch.p2m_vaddr >> 47U) == (last >> 47U) && ((last >> 47U) == 0 || (last >> 47U) == 0x1ffff);
        if (arch.p2m_vaddr % base::page_size != 0 || !in_one_half) return bad("stands at an impossible address");
        return walk(control, domain, frame_of(arch.p2m_cr3), arch.p2m_vaddr, pages);
    }
    if (arch.pfn_to_mfn_frame_list_list == 0 || arch.pfn_to_mfn_frame_list_list >= highest_frame) return bad("is not there");
    return follow_lists(control, domain, arch.pfn_to_mfn_frame_list_list, pages);
}

}  // namespace

uint64_t most_pages(uint64_t owned) {
    constexpr uint64_t some = uint64_t{1} << 18U;  // 1 GiB: the hole below 4 GiB, and small domains
    return std::min(4 * std::min(owned, proto::saved::pfn_limit) + some, proto::saved::pfn_limit);
}

namespace {

Outcome<std::vector<std::byte>> read_shared_info(Control& control, const xenctrl::DomainInfo& domain) {
    const base::Gfn frame{domain.shared_info.raw};
    const auto mapping = OTRY(control.map(domain.id, {&frame, 1}, xencall::Access::read));
    const auto bytes = mapping.bytes().first(base::page_size);
    return std::vector<std::byte>(bytes.begin(), bytes.end());
}

/// The frames that hold the list. Errors: badmsg.
Outcome<std::vector<uint64_t>> find_list(Control& control, const xenctrl::DomainInfo& domain, const xen::ArchSharedInfo& shared) {
    const uint64_t pages = shared.max_pfn;
    if (pages == 0) return bad("is not there");
    // One that gave memory back goes on to list what it may have again.
    const uint64_t owned = std::max(domain.pages, std::min(domain.max_pages, OTRY(control.physinfo()).total_pages));
    if (pages > most_pages(owned))
        return bad("has " + std::to_string(pages) + " entries for " + std::to_string(owned) + " pages");
    return list_frames(control, domain.id, shared).context(reading_list);
}

}  // namespace

Outcome<GuestPages> GuestPages::read(Control& control, const xenctrl::DomainInfo& domain) {
    GuestPages out;
    OTRY(out.refresh(control, domain));
    return out;
}

Outcome<GuestPages::Changes> GuestPages::refresh(Control& control, const xenctrl::DomainInfo& domain) {
    auto page = OTRY(read_shared_info(control, domain));
    xen::SharedInfo shared;
    std::memcpy(&shared, page.data(), sizeof shared);
    auto frames = OTRY(find_list(control, domain, shared.arch));
    auto entries = OTRY(words_of(control, domain.id, frames).context(reading_list));
    entries.resize(shared.arch.max_pfn);
    if (entries.size() < count()) return bad("became shorter");
    if (frames == list_frames_ && says_the_same(entries)) {
        shared_info_ = std::move(page);
        return Changes{};
    }
    GuestPages next = *this;
    next.list_frames_ = std::move(frames);
    next.shared_info_ = std::move(page);
    Changes changed = OTRY(next.take_entries(control, domain.id, entries));
    if (!changed.empty() || next.list_frames_ != list_frames_) {
        OTRY(next.index());
        OTRY(next.name_list());
    }
    *this = std::move(next);
    return changed;
}

bool GuestPages::says_the_same(std::span<const uint64_t> entries) const {
    return std::ranges::equal(entries, mfns_, {}, [](uint64_t entry) { return entry < highest_frame ? entry : no_frame; });
}

/// What the list says, and of what is new what it is used as. The pages for which that differs.
Outcome<GuestPages::Changes> GuestPages::take_entries(Control& control, DomId domain, std::span<const uint64_t> entries) {
    mfns_.resize(entries.size(), no_frame);
    kinds_.resize(entries.size(), proto::saved::absent_page);
    std::vector<uint64_t> asked, pfns;
    Changes changed;
    for (uint64_t pfn = 0; pfn < entries.size(); ++pfn) {
        // Larger numbers are the guest's own marks: missing, identity, somebody else's.
        const uint64_t mfn = entries[pfn] < highest_frame ? entries[pfn] : no_frame;
        if (mfn == mfns_[pfn]) continue;
        if (mfn != no_frame) {
            asked.push_back(mfn);
            pfns.push_back(pfn);
            continue;
        }
        changed.emplace_back(pfn, mfns_[pfn]);
        mfns_[pfn] = no_frame;
        kinds_[pfn] = proto::saved::absent_page;
    }
    std::vector<uint64_t> types = asked;
    OTRY(control.frame_types(domain, types));
    for (size_t i = 0; i < asked.size(); ++i) {
        const uint64_t pfn = pfns[i], before = mfns_[pfn];
        kinds_[pfn] = PageKind::of_frame_info(static_cast<uint32_t>(types[i]));
        mfns_[pfn] = kinds_[pfn].exists() ? asked[i] : no_frame;
        if (mfns_[pfn] != before) changed.emplace_back(pfn, before);
    }
    return changed;
}

/// In which pages the list stands.
Outcome<> GuestPages::name_list() {
    std::vector<uint64_t> pfns;
    for (const uint64_t frame : list_frames_) {
        const auto pfn = pfn_of(frame);
        if (!pfn) return bad("does not contain itself");
        pfns.push_back(*pfn);
    }
    if (pfns != list_pfns_) ++list_pfns_moved_;
    list_pfns_ = std::move(pfns);
    return base::ok;
}

Outcome<> GuestPages::index() {
    if (mfns_.size() >= proto::saved::pfn_limit) return bad("is too long");
    size_t used = 0;
    for (const uint64_t mfn : mfns_) used += mfn != no_frame ? 1 : 0;
    by_mfn_ = FrameIndex(used);
    for (uint64_t pfn = 0; pfn < mfns_.size(); ++pfn) {
        if (mfns_[pfn] == no_frame) continue;
        if (const auto first = by_mfn_.add(mfns_, pfn))
            return bad("has one frame for the pages " + std::to_string(*first) + " and " + std::to_string(pfn));
    }
    return base::ok;
}

}  // namespace migration
