// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/domain/dirty_log.hpp"

#include "hypervisor/domain/domain.hpp"
#include "hypervisor/domain/guest_kind.hpp"
#include "hypervisor/event/event.hpp"
#include "hypervisor/grant/grant.hpp"
#include "hypervisor/mm/heap.hpp"

namespace hv {

std::atomic<uint32_t> dirty_logs{0};

// -- sets of numbers ----------------------------------------------------------------------------------------------------

Status PageNumbers::create(uint64_t n) {
    leaf_count_ = (n + per_leaf - 1) / per_leaf;
    leaves_ = TRY(make_array<std::atomic<uint64_t*>>(leaf_count_));
    return ok;
}

void PageNumbers::destroy() {
    for (uint64_t i = 0; leaves_ && i < leaf_count_; ++i) heap::free_page(leaves_[i].load(std::memory_order_relaxed));
    destroy_array(leaves_, leaf_count_);
    leaves_ = nullptr;
    leaf_count_ = 0;
}

Result<uint64_t*> PageNumbers::leaf(uint64_t i) {
    uint64_t* have = leaves_[i].load(std::memory_order_acquire);
    if (have) [[likely]]
        return have;
    auto* fresh = static_cast<uint64_t*>(TRY(heap::alloc_page_zeroed()));
    if (leaves_[i].compare_exchange_strong(have, fresh, std::memory_order_acq_rel)) return fresh;
    heap::free_page(fresh);
    return have;
}

Status PageNumbers::prepare(uint64_t n) {
    for (uint64_t i = 0; i < leaf_count_ && i * per_leaf < n; ++i) TRY(leaf(i));
    return ok;
}

Result<bool> PageNumbers::add(uint64_t number) {
    if (number >= room()) return false;
    uint64_t* bits = TRY(leaf(number / per_leaf));
    uint64_t& word = bits[number / per_word % words_per_leaf];
    const uint64_t bit = uint64_t{1} << (number % per_word);
    // A harvest takes bits out when all that they stand for is written: a mark that it passes by is of this moment.
    return !(__atomic_fetch_or(&word, bit, __ATOMIC_SEQ_CST) & bit);
}

uint64_t PageNumbers::read(uint64_t word, uint64_t taken) {
    uint64_t* bits = leaves_[word / words_per_leaf].load(std::memory_order_acquire);
    if (!bits) return 0;
    uint64_t& w = bits[word % words_per_leaf];
    const uint64_t seen = __atomic_load_n(&w, __ATOMIC_SEQ_CST);
    return seen & taken ? __atomic_fetch_and(&w, ~taken, __ATOMIC_SEQ_CST) : seen;
}

void PageNumbers::put_back(uint64_t word, uint64_t bits) {
    if (bits)
        __atomic_fetch_or(&leaves_[word / words_per_leaf].load(std::memory_order_acquire)[word % words_per_leaf], bits,
                          __ATOMIC_SEQ_CST);
}

Status PageNumbers::add_to(PageNumbers& other) const {
    for (uint64_t l = 0; l < leaf_count_; ++l) {
        const uint64_t* bits = leaves_[l].load(std::memory_order_acquire);
        if (!bits) continue;
        uint64_t* to = TRY(other.leaf(l));
        for (uint64_t w = 0; w < words_per_leaf; ++w)
            if (const uint64_t some = __atomic_load_n(bits + w, __ATOMIC_SEQ_CST))
                __atomic_fetch_or(to + w, some, __ATOMIC_SEQ_CST);
    }
    return ok;
}

// -- marks --------------------------------------------------------------------------------------------------------------

namespace {

/// Keeps the log of a frame's owner, if it has one, while it is written to: dirty_log_stop() waits.
class Writing {
    Domain* d_;
    DirtyLog* log_ = nullptr;

public:
    explicit Writing(const PageInfo& p) : d_(page_owner(p.owner.load(std::memory_order_acquire))) {
        if (!d_ || !d_->dirty_log.load(std::memory_order_relaxed)) return;
        d_->dirty_log_writers.fetch_add(1, std::memory_order_seq_cst);
        log_ = d_->dirty_log.load(std::memory_order_seq_cst);
        if (!log_) leave();
    }
    ~Writing() {
        if (log_) leave();
    }
    Writing(const Writing&) = delete;
    Writing& operator=(const Writing&) = delete;
    explicit operator bool() const { return log_ != nullptr; }
    Domain& domain() const { return *d_; }
    DirtyLog& log() const { return *log_; }
    void mark(Mfn m) const {
        const auto added = log_->written.add(m2p(m));
        if (!added) log_->lost.store(true, std::memory_order_relaxed);
        else if (added.value()) log_->pages.fetch_add(1, std::memory_order_relaxed);
    }

private:
    void leave() { d_->dirty_log_writers.fetch_sub(1, std::memory_order_seq_cst); }
};

}  // namespace

void log_page(Mfn m) {
    if (const Writing w(page_of(m)); w) w.mark(m);
}

void log_word(const void* at) {
    const Mfn m = mfn_of(at);
    const Writing w(page_of(m));
    if (!w) return;
    w.mark(m);
    w.domain().kind.word_written(w.domain(), page_of(m), at);
}

void log_exposed(Mfn m) {
    const Writing w(page_of(m));
    if (!w) return;
    w.mark(m);
    if (!w.log().exposed.add(m2p(m))) w.log().lost.store(true, std::memory_order_relaxed);
}

// -- beginning and end ----------------------------------------------------------------------------------------------------

namespace {

void destroy_log(DirtyLog* log) {
    if (log->cursor) put_page(*log->cursor);
    log->written.destroy();
    log->exposed.destroy();
    destroy(log);
}

Result<DirtyLog*> make_log(Domain& d) {
    uint64_t pages = 0;
    {
        Guard g(d.page_list_lock);
        pages = d.tot_pages;
    }
    auto* log = TRY(make<DirtyLog>());
    Status s = log->written.create(max_frame);
    if (s) s = log->exposed.create(max_frame);
    if (s) s = log->written.prepare(pages);
    if (s) return log;
    destroy_log(log);
    return Err{s.error()};
}

/// Nobody marks in it any more when this returns.
void unpublish_log(Domain& d) {
    DirtyLog* log = d.dirty_log.exchange(nullptr, std::memory_order_seq_cst);
    while (d.dirty_log_writers.load(std::memory_order_seq_cst) != 0) detail::spin_wait();
    dirty_logs.fetch_sub(1, std::memory_order_acq_rel);
    destroy_log(log);
}

}  // namespace

namespace {

Status begin_log(Domain& d) {
    if (!d.kind.log_start) return Err{Errc::opnotsupp};
    DirtyLog* log = TRY(make_log(d));
    dirty_logs.fetch_add(1, std::memory_order_acq_rel);
    d.dirty_log.store(log, std::memory_order_seq_cst);
    const Status s = d.kind.log_start(d);
    if (!s) unpublish_log(d);
    return s;
}

}  // namespace

Status dirty_log_start(Domain& d) {
    const DirtyLog* before = d.dirty_log.load(std::memory_order_relaxed);
    if (before && before->reading.stage != LogReading::Stage::begin) return Err{Errc::inval};
    if (!before) TRY(begin_log(d));
    DirtyLog& log = *d.dirty_log.load(std::memory_order_relaxed);
    TRY(d.kind.log_exposed(d, log.cursor));
    log.reading.stage = LogReading::Stage::none;
    return ok;
}

Status dirty_log_stop(Domain& d) {
    if (!d.dirty_log.load(std::memory_order_relaxed)) return ok;
    TRY(d.kind.log_stop(d));
    unpublish_log(d);
    return ok;
}

// -- harvest --------------------------------------------------------------------------------------------------------------

namespace {

/// What others could write to is named as if they had.
void add_exposed(Domain& d, DirtyLog& log) {
    if (!log.exposed.add_to(log.written)) log.lost.store(true, std::memory_order_relaxed);
    for (uint32_t i = 0; i < d.limits.max_vcpus; ++i)
        if (const Vcpu* v = d.vcpus[i]; v && v->info_page) log_page(v->info_page.mfn());
    event_each_page(
        d, [](void*, Mfn m) { log_page(m); }, nullptr);
    d.kind.log_last(d);
}

}  // namespace

Status dirty_log_harvest(Domain& d, DirtyLog& log, bool last) {
    using Stage = LogReading::Stage;
    LogReading& r = log.reading;
    if (r.stage == Stage::harvest) {
        TRY(d.kind.log_harvest(d, r.done));
        r.stage = Stage::last;
        r.done = 0;
    }
    if (r.stage == Stage::last && last) {
        // A frame of the grant table at a time.
        while (grant_log_written(d, static_cast<uint32_t>(r.done))) {
            ++r.done;
            if (arch::preempt_wanted()) return Err{Errc::restart};
        }
        add_exposed(d, log);
    }
    if (r.stage == Stage::last) {
        r.stage = Stage::copy;
        r.done = 0;
    }
    return ok;
}

}  // namespace hv
