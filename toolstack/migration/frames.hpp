// SPDX-License-Identifier: Apache-2.0
// Whole pages of a domain, read and written some at a time: the hypervisor copies them, or they are mapped where it does not.
#pragma once

#include <optional>
#include <span>

#include "lib/proto/saved/format.hpp"
#include "toolstack/xenctrl/control.hpp"

namespace migration {

/// The most pages at once.
inline constexpr size_t most_frames = xenctrl::PageRoom::most;
static_assert(proto::saved::batch_pages <= most_frames);

/// What both have: room for copies, or a mapping.
class Frames {
public:
    Frames(xenctrl::Control& control, base::DomId domain) : control_(control), domain_(domain) {}

protected:
    /// Whether the hypervisor copies. Errors: its.
    base::Outcome<bool> copies();
    /// Maps the pages, or names them in the room. True: it is the hypervisor that is to copy now. Errors: those of a mapping.
    base::Outcome<bool> open(std::span<const base::Gfn> frames, xencall::Access access);
    /// Behind a copy. Errors: inval: a page was refused; `why` ends the text.
    base::Outcome<> none_refused(const char* why) const;

    xenctrl::Control& control_;
    const base::DomId domain_;
    bool asked_ = false;
    std::optional<xenctrl::PageRoom> room_;
    xencall::ForeignMapping mapping_;
    size_t count_ = 0;
};

/// To be kept from one read to the next. What was read of a guest that runs is as the pages were at one moment or another; by a mapping it
/// goes on to change.
class FrameReader : private Frames {
public:
    using Frames::Frames;

    /// No more than most_frames. Errors: inval, noent: one of them is not the domain's; nomem.
    base::Outcome<> read(std::span<const base::Gfn> frames);
    /// Page `i` of the last read(), until the next; null: all zeros.
    const std::byte* page(size_t i) const;
    /// Lets go of what was read.
    void done() { mapping_.reset(); }
};

/// A page may be written while it is no page table.
class FrameWriter : private Frames {
public:
    using Frames::Frames;

    /// Whether memory that a domain was given, and nobody has written, is all zeros. Errors: the hypervisor's.
    base::Outcome<bool> finds_clear_memory() { return copies(); }
    /// Where page `i` of the next list stands already when it is written; empty when pages are mapped.
    base::Outcome<std::span<std::byte>> storage();
    /// These, no more than most_frames, are to be written. Errors: as FrameReader::read().
    base::Outcome<> begin(std::span<const base::Gfn> frames);
    /// Where the bytes of page `i` go: all of them.
    std::byte* page(size_t i) const;
    /// Instead: zeros.
    void zeros(size_t i);
    /// Writes them. Errors: inval: one of them is not the domain's, or a page table.
    base::Outcome<> end();
};

}  // namespace migration
