// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xenconsoled/console.hpp"

#include <array>

namespace xenconsoled {

namespace {

xen::XenconsInterface& page_at(void* page) { return *static_cast<xen::XenconsInterface*>(page); }

}  // namespace

ConsoleRing::ConsoleRing(void* page)
    : out_(page_at(page).out, &page_at(page).out_cons, &page_at(page).out_prod),
      in_(page_at(page).in, &page_at(page).in_cons, &page_at(page).in_prod) {}

bool ConsoleRing::take_output(const std::function<void(std::string_view)>& sink) {
    std::array<std::byte, sizeof(xen::XenconsInterface::out)> bytes;
    const auto n = out_.read(bytes);
    if (!n) {
        ++broken_;
        out_.discard();
        return true;
    }
    if (n.value() == 0) return false;
    sink(std::string_view(reinterpret_cast<const char*>(bytes.data()), n.value()));
    return true;
}

size_t ConsoleRing::input_room() {
    const auto room = in_.writable();
    return room ? room.value() : 0;
}

size_t ConsoleRing::put_input(std::string_view bytes) {
    const auto n = in_.write(std::as_bytes(std::span(bytes.data(), bytes.size())));
    return n ? n.value() : 0;
}

std::string safe_file_name(std::string_view name) {
    std::string safe(name.substr(0, 200));
    for (char& c : safe) {
        const bool harmless = c > ' ' && c < 0x7f && c != '/';
        if (!harmless) c = '_';
    }
    if (safe.empty() || safe[0] == '.') safe.insert(safe.begin(), '_');
    return safe;
}

}  // namespace xenconsoled
