// SPDX-License-Identifier: Apache-2.0
// Domains' memory: limits, population, page tables, mappings.
#include <algorithm>

#include "abi/xen/domctl.hpp"
#include "abi/xen/memory.hpp"
#include "toolstack/xenctrl/call.hpp"
#include "toolstack/xenctrl/control.hpp"

namespace xenctrl {

using base::Unit;

Outcome<> Control::set_max_memory(DomId domain, uint64_t kib) {
    auto op = OTRY(domctl_buffer(domain, xen::XEN_DOMCTL_max_mem));
    op->u.max_mem.max_memkb = kib;
    return domctl(op, "set the memory limit");
}

Outcome<size_t> Control::reservation(DomId domain, uint32_t command, Buffer<uint64_t>& frames, unsigned order, const char* what) {
    auto op = OTRY(Buffer<xen::MemoryReservation>::make(backend_));
    op->extent_start.addr = frames.address();
    op->nr_extents = frames.size();
    op->extent_order = order;
    op->domid = domain.raw;
    const int64_t r = call(xen::HYPERVISOR_memory_op, command, op.address());
    if (r < 0) return failure_of(r, std::string("Cannot ") + what + of_domain(domain));
    return std::min(static_cast<size_t>(r), frames.size());
}

Outcome<> Control::claim(DomId domain, uint64_t pages) {
    auto op = OTRY(Buffer<xen::MemoryReservation>::make(backend_));
    op->nr_extents = pages;
    op->domid = domain.raw;
    const int64_t r = call(xen::HYPERVISOR_memory_op, xen::XENMEM_claim_pages, op.address());
    if (r < 0)
        return failure_of(r, "Cannot set aside " + std::to_string(pages * 4) + " KiB for domain " + std::to_string(domain.raw));
    return Unit{};
}

Outcome<size_t> Control::populate(DomId domain, std::span<uint64_t> frames, unsigned order) {
    auto list = OTRY(Buffer<uint64_t>::copy_of(backend_, frames));
    const size_t made = OTRY(reservation(domain, xen::XENMEM_populate_physmap, list, order, "allocate memory"));
    std::copy_n(list.get(), made, frames.begin());
    return made;
}

Outcome<size_t> Control::decrease(DomId domain, std::span<const uint64_t> frames, unsigned order) {
    auto list = OTRY(Buffer<uint64_t>::copy_of(backend_, frames));
    return reservation(domain, xen::XENMEM_decrease_reservation, list, order, "free memory");
}

namespace {

struct [[gnu::packed]] E820Entry {  // as the BIOS call and XENMEM_memory_map lay it out
    uint64_t address;
    uint64_t size;
    uint32_t type;
};
static_assert(sizeof(E820Entry) == 20);

}  // namespace

Outcome<> Control::set_memory_map(DomId domain, std::span<const MemoryRange> map) {
    auto entries = OTRY(Buffer<E820Entry>::make(backend_, map.size()));
    for (size_t i = 0; i < map.size(); ++i) entries[i] = {map[i].start, map[i].size, map[i].type};
    auto op = OTRY(Buffer<xen::ForeignMemoryMap>::make(backend_));
    op->domid = domain.raw;
    op->map.nr_entries = static_cast<uint32_t>(map.size());
    op->map.buffer.addr = entries.address();
    const int64_t r = call(xen::HYPERVISOR_memory_op, xen::XENMEM_set_memory_map, op.address());
    if (r < 0) return failure_of(r, "Cannot set the memory map" + of_domain(domain));
    return Unit{};
}

Outcome<> Control::shadow_op(DomId domain, uint32_t command, const char* what) {
    auto op = OTRY(domctl_buffer(domain, xen::XEN_DOMCTL_shadow_op));
    op->u.shadow_op.op = command;
    return domctl(op, what);
}

Outcome<> Control::can_log_dirty(DomId domain) {
    auto asked = shadow_op(domain, xen::XEN_DOMCTL_SHADOW_OP_GET_ALLOCATION, "ask for a log of dirty pages");
    // A Xen that is built without shadow page tables says one or the other.
    if (!asked && asked.failure().code == base::Errc::inval)
        return base::fail(base::Errc::opnotsupp, std::move(asked).take_failure().text);
    return asked;
}

Outcome<> Control::start_dirty_log(DomId domain) {
    auto done = shadow_op(domain, xen::XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY, "log the dirty pages");
    if (done || done.failure().code != base::Errc::inval) return done;
    return base::fail(base::Errc::busy, "The dirty pages" + of_domain(domain) + " are logged already");
}

Outcome<> Control::stop_dirty_log(DomId domain) {
    return shadow_op(domain, xen::XEN_DOMCTL_SHADOW_OP_OFF, "end the log of dirty pages");
}

Outcome<std::vector<uint64_t>> Control::harvest_dirty_log(DomId domain, uint64_t pages, Harvest how) {
    constexpr uint64_t bits = 64;
    auto bitmap = OTRY(Buffer<uint64_t>::make(backend_, (pages + bits - 1) / bits));
    auto op = OTRY(domctl_buffer(domain, xen::XEN_DOMCTL_shadow_op));
    op->u.shadow_op.op = xen::XEN_DOMCTL_SHADOW_OP_CLEAN;
    op->u.shadow_op.mode = how == Harvest::final ? xen::XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL : 0;
    op->u.shadow_op.dirty_bitmap.addr = bitmap.address();
    op->u.shadow_op.pages = pages;
    OTRY(domctl(op, "read the log of dirty pages"));
    if (op->u.shadow_op.pages != pages)
        return base::fail(base::Errc::toobig, "The log of dirty pages" + of_domain(domain) + " names " +
                                                  std::to_string(op->u.shadow_op.pages) + " pages of " + std::to_string(pages));
    return std::vector<uint64_t>(bitmap.values().begin(), bitmap.values().end());
}

Outcome<> Control::hypercall_init(DomId domain, Gfn page) {
    auto op = OTRY(domctl_buffer(domain, xen::XEN_DOMCTL_hypercall_init));
    op->u.hypercall_init.gmfn = page.raw;
    return domctl(op, "write the hypercall page");
}

namespace {

constexpr size_t most_tables = 1024;  // a call

}  // namespace

/// How many of the first `most_tables` it did, and what it said.
Outcome<Control::TablesDone> Control::change_pins(DomId domain, std::span<const TablePin> tables, bool pins) {
    const auto some = tables.first(std::min(most_tables, tables.size()));
    auto ops = OTRY(Buffer<xen::MmuextOp>::make(backend_, some.size()));
    auto done = OTRY(Buffer<uint32_t>::make(backend_, 1));
    for (size_t i = 0; i < some.size(); ++i) {
        ops[i].cmd = pins ? xen::MMUEXT_PIN_L1_TABLE + some[i].level - 1 : xen::MMUEXT_UNPIN_TABLE;
        ops[i].arg1.mfn = some[i].table.raw;
    }
    const int64_t result = call(xen::HYPERVISOR_mmuext_op, ops.address(), some.size(), done.address(), domain.raw);
    return TablesDone{std::min<size_t>(done[0], some.size()), result};
}

Outcome<> Control::change_all_pins(DomId domain, std::span<const TablePin> tables, bool pins) {
    for (; !tables.empty(); tables = tables.subspan(std::min(most_tables, tables.size()))) {
        const TablesDone done = OTRY(change_pins(domain, tables, pins));
        if (done.result < 0) return failure_of(done.result, "The hypervisor refuses the page tables" + of_domain(domain));
    }
    return Unit{};
}

Outcome<> Control::pin(DomId domain, std::span<const TablePin> tables) { return change_all_pins(domain, tables, true); }

Outcome<> Control::unpin(DomId domain, std::span<const TablePin> tables) { return change_all_pins(domain, tables, false); }

Outcome<size_t> Control::pin_first(DomId domain, std::span<const TablePin> tables) {
    size_t pinned = 0;
    while (pinned < tables.size()) {
        const auto done = change_pins(domain, tables.subspan(pinned), true);
        if (!done) return pinned != 0 ? Outcome<size_t>(pinned) : done.failure();
        pinned += done->count;
        if (done->result < 0) break;
    }
    return pinned;
}

Outcome<> Control::pin_l4(DomId domain, Mfn table) {
    const TablePin pins[] = {{4, table}};
    return pin(domain, pins);
}

Outcome<> Control::frame_types(DomId domain, std::span<uint64_t> frames) {
    constexpr size_t most = 1024;  // a call
    for (; !frames.empty(); frames = frames.subspan(std::min(most, frames.size()))) {
        const auto some = frames.first(std::min(most, frames.size()));
        auto list = OTRY(Buffer<uint64_t>::copy_of(backend_, some));
        auto op = OTRY(domctl_buffer(domain, xen::XEN_DOMCTL_getpageframeinfo3));
        op->u.getpageframeinfo3.num = some.size();
        op->u.getpageframeinfo3.array.addr = list.address();
        OTRY(domctl(op, "ask what the memory is used for"));
        std::ranges::copy(list.values(), some.begin());
    }
    return Unit{};
}

Outcome<xencall::ForeignMapping> Control::map(DomId domain, std::span<const Gfn> frames, xencall::Access access) {
    return backend_.map_foreign(domain, frames, access);
}

}  // namespace xenctrl
