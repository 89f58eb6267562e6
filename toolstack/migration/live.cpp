// SPDX-License-Identifier: Apache-2.0
#include "toolstack/migration/live.hpp"

#include <algorithm>
#include <bit>
#include <utility>

#include "toolstack/migration/image_parts.hpp"

namespace migration {

using base::DomId;
using base::Errc;
using base::Outcome;
using xenctrl::Control;
using xenctrl::DomainInfo;

namespace {

constexpr uint64_t per_word = 64;

}  // namespace

Outcome<std::unique_ptr<LiveImage>> LiveSave::begin(Control& control, DomId domain, const proto::saved::FileConfig& config,
                                                    proto::saved::Sink& sink) {
    const DomainInfo info = OTRY(control.info(domain));
    if (info.hvm) return base::fail(Errc::opnotsupp, "Only PV domains can move yet");
    std::unique_ptr<LiveSave> out(new LiveSave(control, info, sink));
    // Who logs it reads and empties that log: two of them would each lose pages.
    if (auto started = control.start_dirty_log(domain); !started) {
        if (started.failure().code != Errc::busy) return std::move(started).take_failure();
        return std::move(started).take_failure().with("Another tool moves it, or was killed while it did: leave out -l");
    }
    out->logs_ = true;
    OTRY(out->first_list(info));
    OTRY(write_head(control, domain, config, out->pages_, out->writer_));
    return std::unique_ptr<LiveImage>(std::move(out));
}

/// The number may be another domain's by now, which somebody else may log.
LiveSave::~LiveSave() {
    if (logs_ && info()) static_cast<void>(control_.stop_dirty_log(domain_));
}

Outcome<DomainInfo> LiveSave::info() {
    DomainInfo now = OTRY(control_.info(domain_));
    if (now.handle == handle_) return now;
    return base::fail(Errc::srch, "Domain " + std::to_string(domain_.raw) + " does not exist");
}

/// The guest changes the list while it is read: what contradicts itself may be right a moment later.
Outcome<> LiveSave::first_list(const DomainInfo& info) {
    auto read = GuestPages::read(control_, info);
    for (unsigned tries = 8; !read && tries != 0; --tries) read = GuestPages::read(control_, info);
    pages_ = OTRY(std::move(read));
    for (uint64_t pfn = 0; pfn < pages_.count(); ++pfn) {
        if (pages_.kind(pfn).exists()) mark(pfn);
    }
    told_.resize(pages_.count(), proto::saved::absent_page);
    return base::ok;
}

void LiveSave::mark(uint64_t pfn) {
    if (pending_.size() <= pfn / per_word) pending_.resize(pages_.count() / per_word + 1);
    pending_[pfn / per_word] |= uint64_t{1} << (pfn % per_word);
}

/// Those that were sent; the others will be.
void LiveSave::mark_tables() {
    for (uint64_t pfn = 0; pfn < told_.size(); ++pfn) {
        if (told_[pfn].table_level() != 0) mark(pfn);
    }
}

Outcome<> LiveSave::harvest(Control::Harvest how) {
    const auto words = OTRY(control_.harvest_dirty_log(domain_, pages_.count(), how));
    pending_.resize(std::max(pending_.size(), words.size()));
    for (size_t i = 0; i < words.size(); ++i) pending_[i] |= words[i];
    return base::ok;
}

/// A page whose frame is another one now is to be sent, whether that was written or not: the log names frames by the numbers that the
/// guest gives them, which need not be at the same moment as its list. And so are the tables, when a frame has another number than the one
/// that was written in its place: nobody need have written to the tables that name it.
Outcome<> LiveSave::follow_list(const DomainInfo& info) {
    const uint64_t before = pages_.count();
    bool renamed = false;
    const bool moved = OTRY(pages_.refresh(control_, info, [&](uint64_t pfn, uint64_t frame) {
        mark(pfn);
        renamed = renamed || frame != no_frame;
    }));
    told_.resize(pages_.count(), proto::saved::absent_page);
    if (renamed) mark_tables();
    told_list_ = told_list_ && !moved && before == pages_.count();
    return base::ok;
}

Outcome<uint64_t> LiveSave::left() {
    const DomainInfo now = OTRY(info());
    if (now.shutdown) return base::fail(Errc::io, "Domain " + std::to_string(domain_.raw) + " ended while its memory was sent");
    OTRY(harvest(Control::Harvest::running));
    // What is just being changed cannot always be followed: then in the next round, or when the guest stands still, and nothing else can be
    // in the way.
    static_cast<void>(follow_list(now));
    return pending();
}

uint64_t LiveSave::pending() const {
    uint64_t out = 0;
    for (const uint64_t word : pending_) out += static_cast<uint64_t>(std::popcount(word));
    return out;
}

Outcome<> LiveSave::send() { return write_pending(true); }

Outcome<> LiveSave::write_pending(bool runs) {
    if (!std::exchange(told_list_, true)) OTRY(writer_.p2m_frames({pages_.count() - 1, pages_.list_pfns()}));
    PageBatch batch(control_, domain_, reader_, pages_, writer_, runs ? PageBatch::Guest::runs : PageBatch::Guest::ran);
    batch.keeps_told(told_);
    for (size_t i = 0; i < pending_.size(); ++i) {
        for (uint64_t word = std::exchange(pending_[i], 0); word != 0; word &= word - 1) {
            const uint64_t pfn = i * per_word + static_cast<uint64_t>(std::countr_zero(word));
            if (pfn < pages_.count()) OTRY(batch.add(pfn));
        }
    }
    OTRY(batch.flush());
    for (const uint64_t pfn : batch.deferred()) mark(pfn);
    return base::ok;
}

Outcome<uint64_t> LiveSave::rest() {
    const DomainInfo now = OTRY(info());
    OTRY(check_suspended(now));
    OTRY(harvest(Control::Harvest::final));
    OTRY(follow_list(now));
    ends_ = true;
    return pending();
}

Outcome<> LiveSave::finish() {
    if (!ends_) return base::fail(Errc::inval, "it was not asked what is left of the domain's memory");
    const DomainInfo now = OTRY(info());
    OTRY(check_suspended(now));
    OTRY(write_pending(false));
    return write_state(control_, now, pages_, writer_);
}

}  // namespace migration
