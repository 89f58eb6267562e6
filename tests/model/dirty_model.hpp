// SPDX-License-Identifier: Apache-2.0
/// What mm/dirty.hpp promises, held against memory itself: each page of a guest that is not as it was, whoever's hand changed
/// it, has been named behind the last write to it, and so has each page that came to a domain or left it.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "hypervisor/mm/dirty.hpp"

namespace hvmodel {

/// Listens as long as it lives; one at a time. Context: one thread.
class DirtyModel {
public:
    using Site = std::string;  ///< "folder/file.cpp:line", under hypervisor/

    /// `deaf_to`: the site that is not heard, or "all".
    explicit DirtyModel(Site deaf_to = "");
    ~DirtyModel();
    DirtyModel(const DirtyModel&) = delete;
    DirtyModel& operator=(const DirtyModel&) = delete;

    /// Compares memory with what it was at the last look. Between parts of calls.
    void look();
    /// A page that the next look must find named though no byte of it changes; given `number`, while that was its number.
    void must_name(hv::Mfn m, std::optional<uint64_t> number = {}) { demands_.push_back({m.raw, number}); }
    /// The first page that changed without being named, in words; empty: none.
    const std::string& wrong() const { return wrong_; }
    /// The sites that named a page.
    const std::set<Site>& heard() const { return heard_; }
    /// Of those, the ones that alone named a page that had to be named: without them the model would have disagreed.
    const std::set<Site>& needed() const { return needed_; }
    /// The pages named since the last look.
    std::set<uint64_t> named() const;

private:
    static void listen(hv::Mfn m, const char* file, int line);
    void compare(uint64_t frame);
    template <class F>
    void judge(uint64_t frame, const std::string& what, F counts);

    struct Page {
        uint16_t owner;
        std::vector<uint8_t> bytes;  ///< empty: no guest's
    };
    /// A page is named: by whom, under which number, and with which contents.
    struct Naming {
        Site site;
        uint64_t number, contents;
    };
    struct Demand {
        uint64_t frame;
        std::optional<uint64_t> number;
    };
    Site deaf_to_;
    std::vector<Page> before_;
    std::map<uint64_t, std::vector<Naming>> named_;
    std::vector<Demand> demands_;
    std::set<Site> heard_, needed_;
    std::string wrong_;
};

}  // namespace hvmodel
