// SPDX-License-Identifier: Apache-2.0
/// What a log of dirty pages is for, held against memory itself: a copy of a guest's pages that is refreshed only where the log says
/// so equals them when the guest has stopped and the log was harvested for the last time.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "hypervisor/domain/dirty_log.hpp"
#include "hypervisor/domain/domain.hpp"

namespace hvmodel {

/// The first mirror of any domain that allows more than its table does, or leads where it must not, in words; empty: none does.
/// Context: no CPU is in the middle of anything.
std::string check_mirrors();

/// A reader of one domain's log, by the core's own functions. Between any two of its parts the guests may do what they like.
class LogReader {
public:
    /// Begins a log and copies all pages.
    explicit LogReader(hv::Domain& d);
    LogReader(const LogReader&) = delete;
    LogReader& operator=(const LogReader&) = delete;

    /// The next part of a harvest, after which all written pages are copied. True: it was the last part.
    bool part();
    /// The domain, which has stopped, is harvested for the last time, whatever else was going on. Compares; empty: all is equal.
    std::string last();
    /// False: the log has ended meanwhile, or the domain.
    bool alive() const;
    hv::Domain& domain() { return *d_; }
    uint64_t refreshed() const { return refreshed_; }

private:
    struct Page {
        uint64_t pfn, type;
        std::vector<uint8_t> bytes;
    };
    void take();
    void refresh(const std::set<uint64_t>* only);
    Page look(hv::Mfn m) const;

    hv::DomainRef d_;
    hv::DirtyLog* log_;
    std::map<uint64_t, Page> copy_;  ///< by frame
    uint64_t refreshed_ = 0;
};

}  // namespace hvmodel
