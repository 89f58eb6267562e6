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
uint64_t hash_of(uint64_t frame) {
    const auto* words = map_mfn<uint64_t>(Mfn(frame));
    uint64_t h = 0xcbf29ce484222325;
    for (unsigned i = 0; i < page_size / 8; ++i) h = (h ^ words[i]) * 0x9e3779b97f4a7c15 + (h >> 29);
    return h;
}

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
    self.named_[m.raw].push_back({site, m2p(m), hash_of(m.raw)});
}

/// Somebody must have named the frame in a way that counts; if it was one alone, that one is needed.
template <class F>
void DirtyModel::judge(uint64_t frame, const std::string& what, F counts) {
    std::set<Site> sites;
    for (const Naming& n : named_[frame])
        if (counts(n)) sites.insert(n.site);
    if (sites.size() == 1) needed_.insert(*sites.begin());
    if (sites.empty() && wrong_.empty())
        wrong_ = "frame " + std::to_string(frame) + " " + what +
                 (named_[frame].empty() ? ", and nobody named it" : ", and nobody named it behind that");
}

void DirtyModel::compare(uint64_t frame) {
    Page& was = before_[frame];
    const uint16_t owner = owner_of(frame);
    const bool guests = is_guests(owner), guests_before = is_guests(was.owner);
    if (!guests && !guests_before) {
        was.owner = owner;
        return;
    }
    const std::string whose = "of d" + std::to_string(guests ? owner : was.owner);
    if (owner != was.owner) {
        judge(frame, whose + (guests ? " came" : " left"), [](const Naming&) { return true; });
    } else if (const auto* now = bytes_of(frame); std::memcmp(was.bytes.data(), now, page_size) != 0) {
        unsigned at = 0;
        while (was.bytes[at] == now[at]) ++at;
        judge(frame, whose + " has changed at " + std::to_string(at),
              [contents = hash_of(frame)](const Naming& n) { return n.contents == contents; });
    } else {
        return;
    }
    was.owner = owner;
    was.bytes.clear();
    if (guests) was.bytes.assign(bytes_of(frame), bytes_of(frame) + page_size);
}

void DirtyModel::look() {
    for (uint64_t f = 0; f < max_frame; ++f) compare(f);
    for (const Demand& d : demands_)
        judge(d.frame, "was to be named", [&](const Naming& n) { return !d.number || *d.number == n.number; });
    demands_.clear();
    named_.clear();
}

std::set<uint64_t> DirtyModel::named() const {
    std::set<uint64_t> frames;
    for (const auto& [frame, namings] : named_)
        if (!namings.empty()) frames.insert(frame);
    return frames;
}

}  // namespace hvmodel
