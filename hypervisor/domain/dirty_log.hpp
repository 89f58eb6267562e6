// SPDX-License-Identifier: Apache-2.0
/// The log of a domain's dirty pages, for live migration: a set of the numbers (PFNs) of pages that are not as they were when the
/// log's reader last took the set.
///
/// Three sources fill it: what the hypervisor writes (mm/dirty.hpp), what the guest's kind finds when the log is harvested (for PV
/// the dirty bits of mirror tables, guest/pv/mirror.hpp), and with the last harvest, when the guest has stopped, all pages that are
/// written without a trace: those of vCPUs' and events' words, and those that other domains can write to.
///
/// A number that is larger than the log has room for is left out: a guest may give its frames any numbers, but only those below the
/// machine's number of frames are saved.
#pragma once

#include <atomic>
#include <cstdint>

#include "hypervisor/mm/dirty.hpp"
#include "lib/base/result.hpp"

namespace hv {

struct Domain;

/// A set of page numbers, which many CPUs add to at once. A leaf of 4 KiB has the bits of 128 MiB.
class PageNumbers {
    static constexpr uint64_t words_per_leaf = base::page_size / sizeof(uint64_t);
    uint64_t leaf_count_ = 0;
    std::atomic<uint64_t*>* leaves_ = nullptr;

    Result<uint64_t*> leaf(uint64_t i);

public:
    static constexpr uint64_t per_word = 64, per_leaf = words_per_leaf * per_word;

    /// Room for numbers below `n` at least. Errors: nomem.
    Status create(uint64_t n);
    void destroy();
    /// All numbers below `room` can be had.
    uint64_t room() const { return leaf_count_ * per_leaf; }
    /// Makes what numbers below `n` need. Errors: nomem.
    Status prepare(uint64_t n);
    /// Whether the number was not there before, and is now. Errors: nomem.
    Result<bool> add(uint64_t number);
    /// The numbers of 64 from `word` * 64 on; takes those of `taken` out.
    uint64_t read(uint64_t word, uint64_t taken);
    /// Adds what read() has taken.
    void put_back(uint64_t word, uint64_t bits);
    /// Adds all of them to another set with as much room. Errors: nomem.
    Status add_to(PageNumbers& other) const;
};

/// Who reads the log, and how far that has come. A reader that is somebody else, or asks for something else, waits.
struct LogReading {
    enum class Stage : uint8_t { begin, none, harvest, last, copy };
    struct Wish {
        uint32_t reader = 0, operation = 0, mode = 0;
        uint64_t to = 0, pages = 0;
        bool operator==(const Wish&) const = default;
    };
    Stage stage = Stage::begin;
    Wish wish;
    uint64_t done = 0;  ///< of its stage
};

struct DirtyLog {
    PageNumbers written;
    PageNumbers exposed;                        ///< which others may write to since the log began
    std::atomic<uint32_t> faults{0}, pages{0};  ///< taken by mirrors; added to `written`: since the last time it was cleaned
    std::atomic<bool> lost{false};              ///< there was no memory for a mark: the log is not complete any more
    LogReading reading;
    PageInfo* cursor = nullptr;  ///< where the beginning has come to: GuestKind::log_exposed()
};

// Control operations, which come one at a time.

/// Begins an empty log. The domain is paused for a moment. Errors: inval (there is one), nomem, opnotsupp (not for its kind), restart:
/// call again, and then it goes on with that.
Status dirty_log_start(Domain& d);
/// Ends the log, if there is one. Errors: restart, call again.
Status dirty_log_stop(Domain& d);
/// Makes the set complete: what was written before this began is in it when it is over, and no CPU can write on by a translation
/// that was noted before. Goes on from reading.stage == harvest, in parts, to copy; `last`: the domain has stopped, and what is
/// written without a trace counts as written. Errors: restart.
Status dirty_log_harvest(Domain& d, DirtyLog& log, bool last);

}  // namespace hv
