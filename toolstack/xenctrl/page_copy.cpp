// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xenctrl/page_copy.hpp"

#include "toolstack/xenctrl/call.hpp"
#include "toolstack/xenctrl/control.hpp"

namespace xenctrl {

using base::Errc;

Outcome<std::optional<PageRoom>> Control::page_room() {
    const int64_t version = call(xenolith::HYPERVISOR_copy_pages, xenolith::COPY_PAGES_version);
    if (version == -static_cast<int64_t>(Errc::nosys)) return std::optional<PageRoom>();
    if (version < 0) return failure_of(version, "Cannot ask whether the hypervisor copies pages");
    if (static_cast<uint64_t>(version) != xenolith::COPY_PAGES_VERSION) return std::optional<PageRoom>();
    auto op = OTRY(Buffer<xenolith::CopyPages>::make(backend_));
    auto frames = OTRY(Buffer<uint64_t>::make(backend_, PageRoom::most));
    auto states = OTRY(Buffer<uint8_t>::make(backend_, PageRoom::most));
    auto pages = OTRY(Buffer<std::byte>::make(backend_, PageRoom::most * base::page_size));
    return std::optional(PageRoom(std::move(op), std::move(frames), std::move(states), std::move(pages)));
}

Outcome<> Control::copy_pages(DomId domain, PageRoom& room, size_t count, uint32_t operation, const char* what) {
    *room.call_ = {
        domain.raw, 0, static_cast<uint32_t>(count), {room.frames_.address()}, {room.states_.address()}, {room.pages_.address()}};
    const int64_t r = call(xenolith::HYPERVISOR_copy_pages, operation, room.call_.address(), 0);
    if (r < 0) return failure_of(r, std::string("Cannot ") + what + of_domain(domain));
    return base::ok;
}

Outcome<> Control::read_pages(DomId domain, PageRoom& room, size_t count) {
    return copy_pages(domain, room, count, xenolith::COPY_PAGES_read, "read memory");
}

Outcome<> Control::write_pages(DomId domain, PageRoom& room, size_t count) {
    return copy_pages(domain, room, count, xenolith::COPY_PAGES_write, "write memory");
}

}  // namespace xenctrl
