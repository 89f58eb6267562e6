// SPDX-License-Identifier: Apache-2.0
// Pages that the hypervisor copies itself, which takes a fraction of mapping them. Xen cannot.
#pragma once

#include "abi/xenolith/copy_pages.hpp"
#include "toolstack/xencall/buffer.hpp"

namespace xenctrl {

/// What is said about each page of a call.
enum class PageState : uint8_t {
    data = xenolith::COPY_PAGES_DATA,
    zeros = xenolith::COPY_PAGES_ZEROS,
    refused = xenolith::COPY_PAGES_REFUSED,  ///< not the domain's, or to be written and a page table
};

/// Room for the pages of a call: 1 MiB, to be kept from one call to the next. A call could take more, but would not be cheaper for it.
/// Control::page_room() makes it. Must not outlive the Backend.
class PageRoom {
public:
    static constexpr size_t most = 256;
    static_assert(most <= xenolith::COPY_PAGES_MOST);

    void name(size_t i, base::Gfn frame, PageState state = PageState::data) {
        frames_[i] = frame.raw;
        states_[i] = static_cast<uint8_t>(state);
    }
    base::Gfn frame(size_t i) const { return base::Gfn{frames_[i]}; }
    PageState state(size_t i) const { return static_cast<PageState>(states_[i]); }
    std::byte* page(size_t i) const { return pages_.get() + i * base::page_size; }

private:
    friend class Control;
    template <class T>
    using Buffer = xencall::HypercallBuffer<T>;
    PageRoom(Buffer<xenolith::CopyPages> call, Buffer<uint64_t> frames, Buffer<uint8_t> states, Buffer<std::byte> pages)
        : call_(std::move(call)), frames_(std::move(frames)), states_(std::move(states)), pages_(std::move(pages)) {}

    Buffer<xenolith::CopyPages> call_;
    Buffer<uint64_t> frames_;
    Buffer<uint8_t> states_;
    Buffer<std::byte> pages_;
};

}  // namespace xenctrl
