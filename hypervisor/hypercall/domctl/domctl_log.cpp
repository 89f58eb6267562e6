// SPDX-License-Identifier: Apache-2.0
/// XEN_DOMCTL_shadow_op: the log of a domain's dirty pages. There are no shadow page tables, and so nothing to give memory to.
#include "hypervisor/domain/dirty_log.hpp"
#include "hypervisor/hypercall/domctl/domctl.hpp"

namespace hv::domctl {
namespace {

using Stage = LogReading::Stage;

/// A whole word of page numbers, or the first few bits of one.
uint64_t first_bits(uint64_t n) { return n >= PageNumbers::per_word ? ~uint64_t{0} : (uint64_t{1} << n) - 1; }

/// The words of the set that the caller gets at once, and when it cannot have them are as before.
Status copy_words(DirtyLog& log, const LogReading::Wish& w, bool clean, uint64_t first) {
    constexpr uint64_t at_once = 64;
    uint64_t words[at_once];
    const uint64_t bits = w.pages - first * PageNumbers::per_word;
    const uint64_t n =
        bits >= at_once * PageNumbers::per_word ? at_once : (bits + PageNumbers::per_word - 1) / PageNumbers::per_word;
    const uint64_t bytes = bits >= at_once * PageNumbers::per_word ? sizeof words : (bits + 7) / 8;
    for (uint64_t i = 0; i < n; ++i) {
        const uint64_t wanted = first_bits(bits - i * PageNumbers::per_word);
        words[i] = log.written.read(first + i, clean ? wanted : 0) & wanted;
    }
    if (w.to == 0 ||
        GuestPtr<uint8_t>(w.to + first * sizeof(uint64_t)).store_many(reinterpret_cast<const uint8_t*>(words), bytes))
        return ok;
    for (uint64_t i = 0; clean && i < n; ++i) log.written.put_back(first + i, words[i]);
    return Err{Errc::fault};
}

Status copy(DirtyLog& log, const LogReading::Wish& w, bool clean) {
    constexpr uint64_t at_once = 64;
    uint64_t& word = log.reading.done;
    while (word * PageNumbers::per_word < w.pages) {
        TRY(copy_words(log, w, clean, word));
        word += at_once;
        if (word * PageNumbers::per_word < w.pages && arch::preempt_wanted()) return Err{Errc::restart};
    }
    return ok;
}

Status read_log(const Call& c, DirtyLog& log, const LogReading::Wish& w) {
    if (log.lost.load(std::memory_order_relaxed)) return Err{Errc::nomem};
    TRY(dirty_log_harvest(c.d, log, w.mode & xen::XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL));
    TRY(copy(log, w, w.operation == xen::XEN_DOMCTL_SHADOW_OP_CLEAN));
    return log.lost.load(std::memory_order_relaxed) ? Status(Err{Errc::nomem}) : Status(ok);
}

void tell_counts(DirtyLog& log, xen::DomctlShadowOp& s) {
    s.stats.fault_count = log.faults.load(std::memory_order_relaxed);
    s.stats.dirty_count = log.pages.load(std::memory_order_relaxed);
    if (s.op != xen::XEN_DOMCTL_SHADOW_OP_CLEAN) return;
    log.faults.store(0, std::memory_order_relaxed);
    log.pages.store(0, std::memory_order_relaxed);
}

/// CLEAN and PEEK: which pages were written, of the first so many. Errors: inval (no log), toobig, busy (another reading has begun and
/// is not over), fault (what was not delivered stays in the log), nomem (pages were written that are not in it).
Status clean_or_peek(const Call& c) {
    xen::DomctlShadowOp& s = c.op.u.shadow_op;
    if (s.mode & ~xen::XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL) return Err{Errc::inval};
    DirtyLog* log = c.d.dirty_log.load(std::memory_order_relaxed);
    if (!log || log->reading.stage == Stage::begin) return Err{Errc::inval};
    if (s.pages > log->written.room()) return Err{Errc::toobig};
    const LogReading::Wish w{c.v.domain.id.raw, s.op, s.mode, s.dirty_bitmap.addr, s.pages};
    LogReading& r = log->reading;
    if (r.stage == Stage::none) r = {Stage::harvest, w, 0};
    else if (r.wish != w) return Err{Errc::busy};
    const Status done = read_log(c, *log, w);
    if (!done && done.error() == Errc::restart) return c.again();
    r = {Stage::none, {}, 0};
    TRY(done);
    tell_counts(*log, s);
    return c.done();
}

Status going_on(const Call& c, Status s) {
    if (!s && s.error() == Errc::restart) return c.again();
    return s;
}

Status enable(const Call& c) {
    if (!c.d.vcpus[0]) return Err{Errc::inval};
    return going_on(c, dirty_log_start(c.d));
}

Status disable(const Call& c) { return going_on(c, dirty_log_stop(c.d)); }

}  // namespace

Status shadow_op(const Call& c) {
    xen::DomctlShadowOp& s = c.op.u.shadow_op;
    switch (s.op) {
        case xen::XEN_DOMCTL_SHADOW_OP_OFF: return disable(c);
        case xen::XEN_DOMCTL_SHADOW_OP_ENABLE:
            return s.mode == xen::XEN_DOMCTL_SHADOW_ENABLE_LOG_DIRTY ? enable(c) : Status(Err{Errc::opnotsupp});
        case xen::XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY: return enable(c);
        case xen::XEN_DOMCTL_SHADOW_OP_CLEAN:
        case xen::XEN_DOMCTL_SHADOW_OP_PEEK: return clean_or_peek(c);
        case xen::XEN_DOMCTL_SHADOW_OP_GET_ALLOCATION: s.mb = 0; return c.done();
        case xen::XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION: return s.mb == 0 ? Status(ok) : Status(Err{Errc::opnotsupp});
        case xen::XEN_DOMCTL_SHADOW_OP_ENABLE_TEST: return Err{Errc::opnotsupp};
        default: return Err{Errc::inval};
    }
}

}  // namespace hv::domctl
