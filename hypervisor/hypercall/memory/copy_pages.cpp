// SPDX-License-Identifier: Apache-2.0
/// HYPERVISOR_copy_pages (abi/xenolith/copy_pages.hpp). Nothing is held from one page to the next, and no lock at all: how far it came
/// stands in the caller's register, and whatever that says, each page is asked for anew.
#include "abi/xenolith/copy_pages.hpp"

#include "hypervisor/hypercall/handlers.hpp"
#include "hypervisor/hypercall/row.hpp"
#include "hypervisor/mm/dirty.hpp"

namespace hv {

namespace copy_pages {
namespace {

/// What every operation takes.
struct Call {
    Vcpu& v;
    uint32_t cmd;
    AnyGuestPtr arg;
    uint64_t first;
};

bool all_zeros(const uint8_t* page) {
    constexpr size_t at_once = 16;
    const auto* words = reinterpret_cast<const uint64_t*>(page);
    for (size_t i = 0; i < page_size / sizeof *words; i += at_once) {
        uint64_t some = 0;
#pragma GCC unroll 16
        for (size_t j = 0; j < at_once; ++j) some |= words[i + j];
        if (some != 0) return false;
    }
    return true;
}

/// A page of the domain's, and its place in the caller's lists.
struct Place {
    const Domain& d;
    Gfn frame;
    uint64_t bytes;
    GuestPtr<uint8_t> state;
};

/// Answers what became of it. Errors: fault.
Result<uint8_t> read_page(const Place& p) {
    const auto page = guest_page(p.d, p.frame);
    if (!page) return xenolith::COPY_PAGES_REFUSED;
    const uint8_t* from = map_mfn(page.value().mfn());
    if (all_zeros(from)) return xenolith::COPY_PAGES_ZEROS;
    // A guest that writes to it meanwhile finds itself in its log of dirty pages.
    if (!arch::copy_to_guest(p.bytes, from, page_size)) return Err{Errc::fault};
    return xenolith::COPY_PAGES_DATA;
}

/// The same. Errors: inval (an unknown state); fault, the page may be written in part then.
Result<uint8_t> write_page(const Place& p) {
    const uint8_t state = TRY(p.state.fetch());
    if (state > xenolith::COPY_PAGES_ZEROS) return Err{Errc::inval};
    const auto page = guest_page_to_write(p.d, p.frame);
    if (!page) return xenolith::COPY_PAGES_REFUSED;
    uint8_t* const to = page.value().data();
    bool done = true;
    if (state == xenolith::COPY_PAGES_ZEROS) memset(to, 0, page_size);
    else done = arch::copy_from_guest(to, p.bytes, page_size);
    dirtied(page.value().mfn());
    if (!done) return Err{Errc::fault};
    return state;
}

template <Result<uint8_t> (*one)(const Place&)>
Answer each_page(const Call& c) {
    const xenolith::CopyPages list = TRY(GuestPtr<xenolith::CopyPages>(c.arg).fetch());
    if (list.pad != 0) return Err{Errc::inval};
    if (list.count > xenolith::COPY_PAGES_MOST) return Err{Errc::toobig};
    const DomainRef d = TRY(find_domain(DomId(list.domid)));
    if (d->id == c.v.domain.id) return Err{Errc::inval};
    const auto frames = GuestPtr<uint64_t>::of(list.frames);
    const auto states = GuestPtr<uint8_t>::of(list.states);
    return preemptible(
        c.first, list.count,
        [&](uint64_t i) -> Status {
            const Gfn frame(TRY(frames.fetch(i)));
            return (states + i).store(TRY(one({*d, frame, list.pages.addr + i * page_size, states + i})));
        },
        [&](uint64_t i) { return restart_with(c.v, c.cmd, c.arg, i); });
}

Answer version(const Call&) { return xenolith::COPY_PAGES_VERSION; }

// clang-format off
using OnCopyPages = Operations<
    Op<xenolith::COPY_PAGES_version, version>,
    Op<xenolith::COPY_PAGES_read,    each_page<read_page>,  Who::control, Runs::in_parts>,
    Op<xenolith::COPY_PAGES_write,   each_page<write_page>, Who::control, Runs::in_parts>>;
// clang-format on

}  // namespace
}  // namespace copy_pages

Answer hypercall_copy_pages(Vcpu& v, uint32_t cmd, AnyGuestPtr arg, uint64_t first) {
    const copy_pages::Call c{v, cmd, arg, first};
    return copy_pages::OnCopyPages::run("copy_pages", cmd, c);
}

}  // namespace hv
