// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/trace/buffer.hpp"

#include <cstring>

#include "hypervisor/mm/frame.hpp"

namespace hv::trace {
namespace {

constexpr unsigned lost_words = 4;
constexpr uint32_t lost_bytes = 4 + 8 + lost_words * 4;

}  // namespace

/// How much room records take one behind the other. None lies across the end, so that readers find each in one piece.
struct Buffer::Plan {
    uint32_t size, at, needed = 0;

    void add(uint32_t bytes) {
        if (bytes > size - at) {
            needed += size - at;
            at = 0;
        }
        needed += bytes;
        at = at + bytes == size ? 0 : at + bytes;
    }
};

void Buffer::give(uint8_t* const* pages, uint32_t count) {
    pages_ = pages;
    size_ = static_cast<uint32_t>((uint64_t{count} << page_shift) - sizeof(xen::TBuf));
    head() = {};
}

void Buffer::word(uint32_t w) {
    const uint64_t at = sizeof(xen::TBuf) + uint64_t{offset()};
    std::memcpy(pages_[at >> page_shift] + (at & (page_size - 1)), &w, sizeof w);
    produced_ = produced_ + 4 == 2 * size_ ? 0 : produced_ + 4;
}

void Buffer::put(const Record& r) {
    word(r.event | r.n << xen::TRACE_EXTRA_SHIFT | (r.timed ? static_cast<uint32_t>(xen::TRC_HD_CYCLE_FLAG) : 0));
    if (r.timed) {
        word(static_cast<uint32_t>(r.now));
        word(static_cast<uint32_t>(r.now >> 32));
    }
    for (unsigned i = 0; i < r.n; ++i) word(r.words[i]);
}

void Buffer::wrap_before(uint32_t bytes, uint64_t now) {
    constexpr uint32_t zeros[xen::TRACE_EXTRA_MAX] = {};
    const uint32_t left = size_ - offset();
    if (bytes <= left) return;
    // Less than the longest record, which has the time and all the words.
    const unsigned words = (left - 4) / 4;
    const bool timed = words > xen::TRACE_EXTRA_MAX;
    put({xen::TRC_TRACE_WRAP_BUFFER, zeros, timed ? words - 2 : words, timed, now});
}

void Buffer::put_lost(uint32_t whose, uint64_t now) {
    const uint32_t words[lost_words] = {lost_, whose, static_cast<uint32_t>(first_lost_),
                                        static_cast<uint32_t>(first_lost_ >> 32)};
    put({xen::TRC_LOST_RECORDS, words, lost_words, true, now});
    lost_ = 0;
}

Buffer::Added Buffer::add(const Record& r, uint32_t whose, uint32_t epoch) {
    if (!pages_) return Added::no;
    if (epoch_ != epoch) lost_ = 0;
    epoch_ = epoch;
    const uint32_t consumed = __atomic_load_n(&head().cons, __ATOMIC_ACQUIRE);
    if (consumed >= 2 * size_ || consumed % 4 != 0) return Added::nonsense;
    const uint32_t used = produced_ >= consumed ? produced_ - consumed : produced_ + 2 * size_ - consumed;
    if (used > size_) return Added::nonsense;

    Plan plan{size_, offset()};
    if (lost_) plan.add(lost_bytes);
    plan.add(r.bytes());
    if (plan.needed > size_ - used) {
        if (lost_++ == 0) first_lost_ = r.now;
        return Added::no;
    }
    if (lost_) {
        wrap_before(lost_bytes, r.now);
        put_lost(whose, r.now);
    }
    wrap_before(r.bytes(), r.now);
    put(r);
    __atomic_store_n(&head().prod, produced_, __ATOMIC_RELEASE);
    const uint32_t half = size_ / 2;
    return used < half && used + plan.needed >= half ? Added::half_full : Added::yes;
}

}  // namespace hv::trace
