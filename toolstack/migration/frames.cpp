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

base::Failure Frames::refused(size_t index, const char* why) const {
    return base::fail(Errc::inval, "Frame " + std::to_string(room_->frame(index).raw) + " of domain " +
                                       std::to_string(domain_.raw) + " " + why);
}

Outcome<> FrameReader::read(std::span<const Gfn> frames) {
    mapping_.reset();
    count_ = frames.size();
    if (frames.empty()) return base::ok;
    if (!OTRY(copies())) {
        mapping_ = OTRY(control_.map(domain_, frames, xencall::Access::read));
        return base::ok;
    }
    for (size_t i = 0; i < count_; ++i) room_->name(i, frames[i]);
    OTRY(control_.read_pages(domain_, *room_, count_));
    for (size_t i = 0; i < count_; ++i)
        if (room_->state(i) == PageState::refused) return refused(i, "is not its memory");
    return base::ok;
}

const std::byte* FrameReader::page(size_t i) const {
    if (!mapping_) return room_->state(i) == PageState::zeros ? nullptr : room_->page(i);
    const auto page = mapping_.page(i);
    return base::all_zeros(page) ? nullptr : page.data();
}

Outcome<> FrameWriter::begin(std::span<const Gfn> frames) {
    mapping_.reset();
    count_ = frames.size();
    if (frames.empty()) return base::ok;
    if (!OTRY(copies())) {
        mapping_ = OTRY(control_.map(domain_, frames, xencall::Access::read_write));
        return base::ok;
    }
    for (size_t i = 0; i < count_; ++i) room_->name(i, frames[i]);
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
    for (size_t i = 0; i < count_; ++i)
        if (room_->state(i) == PageState::refused) return refused(i, "cannot be written");
    return base::ok;
}

}  // namespace migration
