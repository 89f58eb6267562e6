// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/hypercall/pv/mmu_refusal.hpp"

#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/guest/pv/types.hpp"
#include "hypervisor/rt/log.hpp"

namespace hv {
namespace {

const char* in_use_as(PageType t) {
    switch (t) {
        case PageType::none: break;
        case PageType::l1: return "the frame is in use as an L1 table";
        case PageType::l2: return "the frame is in use as an L2 table";
        case PageType::l3: return "the frame is in use as an L3 table";
        case PageType::l4: return "the frame is in use as an L4 table";
        case PageType::segdesc: return "the frame is in use as a descriptor table";
        case PageType::writable: return "the frame is mapped writable";
    }
    return "the frame's contents are not allowed";
}

const char* in_words(Errc e) {
    switch (e) {
        case Errc::perm: return "not permitted";
        case Errc::srch: return "no such domain";
        case Errc::nomem: return "no memory";
        case Errc::fault: return "the argument cannot be read";
        case Errc::busy: return "the table is being validated";
        case Errc::nosys: return "no such operation";
        default: return "not valid";
    }
}

/// Why `d` may not use frame `m` as a `wanted`; `otherwise` when nothing speaks against the frame.
const char* why_not(const Domain& d, Mfn m, PageType wanted, const char* otherwise) {
    if (!mfn_valid(m)) return "there is no such frame";
    const PageInfo& p = page_of(m);
    if (p.owner.load(std::memory_order_relaxed) != d.id.raw) return "the frame is not the domain's";
    const uint64_t x = p.type.load(std::memory_order_relaxed);
    if ((x & page::users_mask) && type_of(x) != wanted) return in_use_as(type_of(x));
    return otherwise;
}

/// The level of the table that `m` is; 0: none.
unsigned level_of(Mfn m) {
    if (!mfn_valid(m)) return 0;
    const uint64_t x = page_of(m).type.load(std::memory_order_relaxed);
    return (x & page::users_mask) && is_table(type_of(x)) ? static_cast<unsigned>(type_of(x)) : 0;
}

const char* why_entry(const MmuTarget& t, uint64_t entry, unsigned level, Errc e) {
    const Mfn m = Mfn::of_address(entry & pte::frame_mask);
    if (!(entry & pte::present) || e == Errc::busy) return in_words(e);
    if (level > 1) {
        if (entry & pte::pse) return "large pages are not offered";
        return why_not(*t.tables, m, static_cast<PageType>(level - 1), "the frame's contents are not allowed");
    }
    if (!(entry & pte::rw))
        return why_not(*t.pages, m, type_of(mfn_valid(m) ? page_of(m).type.load(std::memory_order_relaxed) : 0), in_words(e));
    return why_not(*t.pages, m, PageType::writable, in_words(e));
}

const char* why_update(const MmuTarget& t, const xen::MmuUpdate& u, unsigned level, Errc e) {
    if ((u.ptr & 7) == xen::MMU_MACHPHYS_UPDATE) return why_not(*t.pages, Mfn::of_address(u.ptr), PageType::none, in_words(e));
    const Mfn table = Mfn::of_address(u.ptr);
    if (level == 0) return why_not(*t.tables, table, PageType::writable, in_words(e));
    if (!mfn_valid(table) || page_of(table).owner.load(std::memory_order_relaxed) != t.tables->id.raw)
        return "the table is not the domain's";
    return why_entry(t, u.val, level, e);
}

PageType pinned_as(uint32_t cmd) {
    switch (cmd) {
        case xen::MMUEXT_PIN_L1_TABLE: return PageType::l1;
        case xen::MMUEXT_PIN_L2_TABLE: return PageType::l2;
        case xen::MMUEXT_PIN_L3_TABLE: return PageType::l3;
        case xen::MMUEXT_PIN_L4_TABLE:
        case xen::MMUEXT_NEW_BASEPTR:
        case xen::MMUEXT_NEW_USER_BASEPTR: return PageType::l4;
        default: return PageType::none;
    }
}

}  // namespace

void log_refused_update(const Vcpu& v, const MmuTarget& t, const xen::MmuUpdate& u, Errc e) {
    // Its frames go back one after the other: a daemon that maps one of them late has done nothing wrong.
    if (&*t.pages != &v.domain && t.pages->dying.load(std::memory_order_relaxed) != DyingState::alive) return;
    if (!guest_log_wanted(LogLevel::warning)) return;
    const unsigned level = level_of(Mfn::of_address(u.ptr));
    guest_log(LogLevel::warning, "d%uv%u: mmu_update refused: ptr %016lx, value %016lx, L%u: %s (error %u)", v.domain.id.raw,
              v.id.raw, u.ptr, u.val, level, why_update(t, u, level, e), static_cast<unsigned>(e));
}

void log_refused_operation(const Vcpu& v, const MmuTarget& t, const xen::MmuextOp& op, Errc e) {
    if (!guest_log_wanted(LogLevel::warning)) return;
    const PageType wanted = pinned_as(op.cmd);
    const char* why = wanted == PageType::none
                          ? in_words(e)
                          : why_not(*t.pages, Mfn(op.arg1.mfn), wanted, "an entry of the table is not allowed");
    guest_log(LogLevel::warning, "d%uv%u: mmuext_op %u refused: %lx, %lx, L%u: %s (error %u)", v.domain.id.raw, v.id.raw, op.cmd,
              op.arg1.mfn, op.arg2.src_mfn, static_cast<unsigned>(wanted), why, static_cast<unsigned>(e));
}

}  // namespace hv
