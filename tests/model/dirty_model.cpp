// SPDX-License-Identifier: Apache-2.0
#include "tests/model/dirty_model.hpp"

#include <cstring>

#include "abi/xen/basic.hpp"
#include "hypervisor/arch/x86/paging.hpp"

namespace hvmodel {

using namespace hv;

namespace {

DirtyModel* listening = nullptr;

bool is_guests(uint16_t owner) { return owner < xen::DOMID_FIRST_RESERVED; }
uint16_t owner_of(uint64_t frame) { return frame_table[frame].owner.load(); }
const uint8_t* bytes_of(uint64_t frame) { return map_mfn<uint8_t>(Mfn(frame)); }

}  // namespace

DirtyModel::DirtyModel(Site deaf_to) : deaf_to_(std::move(deaf_to)), before_(max_frame) {
    for (uint64_t f = 0; f < max_frame; ++f) {
        before_[f].owner = owner_of(f);
        if (is_guests(before_[f].owner)) before_[f].bytes.assign(bytes_of(f), bytes_of(f) + page_size);
    }
    listening = this;
    host::on_dirtied = listen;
}

DirtyModel::~DirtyModel() {
    host::on_dirtied = nullptr;
    listening = nullptr;
}

void DirtyModel::listen(Mfn m, const char* file, int line) {
    DirtyModel& self = *listening;
    const char* folder = std::strstr(file, "hypervisor/");
    const Site site = std::string(folder ? folder + std::strlen("hypervisor/") : file) + ":" + std::to_string(line);
    if (self.deaf_to_ == site || self.deaf_to_ == "all") return;
    self.heard_.insert(site);
    self.named_[m.raw].insert(site);
}

void DirtyModel::compare(uint64_t frame) {
    Page& was = before_[frame];
    const uint16_t owner = owner_of(frame);
    const bool guests = is_guests(owner), guests_before = is_guests(was.owner);
    if (!guests && !guests_before) {
        was.owner = owner;
        return;
    }
    const char* what = owner != was.owner                                               ? (guests ? "came" : "left")
                       : std::memcmp(was.bytes.data(), bytes_of(frame), page_size) != 0 ? "has changed"
                                                                                        : nullptr;
    if (!what) return;
    const auto named = named_.find(frame);
    if (named == named_.end()) {
        if (wrong_.empty())
            wrong_ = "frame " + std::to_string(frame) + " of d" + std::to_string(guests ? owner : was.owner) + " " + what +
                     ", and nobody named it";
        for (unsigned at = 0; guests && at < was.bytes.size(); ++at) {
            if (was.bytes[at] == bytes_of(frame)[at]) continue;
            wrong_ += "; at " + std::to_string(at);
            break;
        }
    } else if (named->second.size() == 1) {
        needed_.insert(*named->second.begin());
    }
    was.owner = owner;
    was.bytes.clear();
    if (guests) was.bytes.assign(bytes_of(frame), bytes_of(frame) + page_size);
}

void DirtyModel::look() {
    for (uint64_t f = 0; f < max_frame; ++f) compare(f);
    named_.clear();
}

std::set<uint64_t> DirtyModel::named() const {
    std::set<uint64_t> frames;
    for (const auto& [frame, sites] : named_) frames.insert(frame);
    return frames;
}

}  // namespace hvmodel
