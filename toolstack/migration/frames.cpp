// SPDX-License-Identifier: Apache-2.0
#include "toolstack/migration/frames.hpp"

#include <cstring>
#include <utility>

#include "lib/base/zeros.hpp"

namespace migration {

using base::Errc;
using base::Gfn;
using base::Outcome;
using xenctrl::PageState;

Outcome<bool> Frames::copies() {
    if (!std::exchange(asked_, true)) room_ = OTRY(control_.page_room());
    return room_.has_value();
}

Outcome<bool> Frames::open(std::span<const Gfn> frames, xencall::Access access) {
    mapping_.reset();
    count_ = frames.size();
    if (frames.empty()) return false;
    if (!OTRY(copies())) {
        mapping_ = OTRY(control_.map(domain_, frames, access));
        return false;
    }
    for (size_t i = 0; i < count_; ++i) room_->name(i, frames[i]);
    return true;
}

Outcome<> Frames::none_refused(const char* why) const {
    for (size_t i = 0; i < count_; ++i) {
        if (room_->state(i) == PageState::refused)
            return base::fail(Errc::inval, "Frame " + std::to_string(room_->frame(i).raw) + " of domain " +
                                               std::to_string(domain_.raw) + " " + why);
    }
    return base::ok;
}

Outcome<> FrameReader::read(std::span<const Gfn> frames) {
    if (!OTRY(open(frames, xencall::Access::read))) return base::ok;
    OTRY(control_.read_pages(domain_, *room_, count_));
    return none_refused("is not its memory");
}

const std::byte* FrameReader::page(size_t i) const {
    if (!mapping_) return room_->state(i) == PageState::zeros ? nullptr : room_->page(i);
    const auto page = mapping_.page(i);
    return base::all_zeros(page) ? nullptr : page.data();
}

Outcome<> FrameWriter::begin(std::span<const Gfn> frames) {
    OTRY(open(frames, xencall::Access::read_write));
    return base::ok;
}

Outcome<std::span<std::byte>> FrameWriter::storage() {
    if (!OTRY(copies())) return std::span<std::byte>();
    return std::span(room_->page(0), most_frames * base::page_size);
}

std::byte* FrameWriter::page(size_t i) const { return mapping_ ? mapping_.page(i).data() : room_->page(i); }

void FrameWriter::zeros(size_t i) {
    if (mapping_) std::memset(mapping_.page(i).data(), 0, base::page_size);
    else room_->name(i, room_->frame(i), PageState::zeros);
}

Outcome<> FrameWriter::end() {
    if (count_ == 0 || mapping_) {
        mapping_.reset();
        return base::ok;
    }
    OTRY(control_.write_pages(domain_, *room_, count_));
    return none_refused("cannot be written");
}

}  // namespace migration
