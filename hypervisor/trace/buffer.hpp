// SPDX-License-Identifier: Apache-2.0
/// One CPU's ring of trace records, shared with who reads it.
#pragma once

#include <cstdint>

#include "abi/xen/trace.hpp"

namespace hv::trace {

/// Only its CPU writes it, with interrupts off: no lock. Offsets run to twice the size, as xen::TBuf has them, so that full and empty
/// differ. Readers map the pages and may write anything anywhere: `produced_` is our own, and `cons` is looked at each time.
class Buffer {
    uint8_t* const* pages_ = nullptr;
    uint32_t size_ = 0;        ///< bytes of records: the pages but the head
    uint32_t produced_ = 0;    ///< where the next record begins
    uint32_t lost_ = 0;        ///< records that found no room since the last one that did
    uint64_t first_lost_ = 0;  ///< when the first of them was
    uint32_t epoch_ = 0;       ///< of the tracing that those belong to

    struct Plan;
    xen::TBuf& head() const { return *reinterpret_cast<xen::TBuf*>(pages_[0]); }
    /// Of where the next record begins, in the records.
    uint32_t offset() const { return produced_ < size_ ? produced_ : produced_ - size_; }
    void word(uint32_t w);

public:
    struct Record {
        uint32_t event;
        const uint32_t* words;
        unsigned n;  ///< words
        bool timed;  ///< `now` is part of it
        uint64_t now;

        uint32_t bytes() const { return 4 + (timed ? 8 : 0) + n * 4; }
    };
    enum class Added : uint8_t {
        yes,
        half_full,  ///< and now half the room is taken, which it was not before: readers should hear of it
        no,         ///< it is full, or has no pages: counted
        nonsense,   ///< the reader's offset is none
    };
    /// Pages that stay, and are the buffer's; it has had none.
    void give(uint8_t* const* pages, uint32_t count);
    /// Adds a record, behind one that says how many were lost. `whose`: the vCPU that runs, for that one. With another `epoch`
    /// than the last time counting begins anew.
    Added add(const Record& r, uint32_t whose, uint32_t epoch);

private:
    void put(const Record& r);
    /// Fills what is left to the end, unless `bytes` fit there, with a record that says so.
    void wrap_before(uint32_t bytes, uint64_t now);
    void put_lost(uint32_t whose, uint64_t now);
};

}  // namespace hv::trace
