// SPDX-License-Identifier: Apache-2.0
#include "toolstack/config/vnet_id.hpp"

#include <algorithm>
#include <charconv>

#include "lib/base/number.hpp"

namespace config {

using base::Errc;
using base::Outcome;

std::string VnetId::text() const {
    const bool is_short = std::all_of(fields.begin(), fields.end() - 1, [](uint16_t field) { return field == 0; });
    std::string out;
    for (size_t i = is_short ? fields.size() - 1 : 0; i < fields.size(); ++i) {
        std::array<char, 4> digits{};
        const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), fields[i], 16);
        out.append(out.empty() ? "" : ":").append(digits.data(), end.ptr);
    }
    return out;
}

uint32_t VnetId::vni() const {
    const bool fits =
        std::all_of(fields.begin(), fields.end() - 2, [](uint16_t field) { return field == 0; }) && fields[6] <= 0xff;
    return fits ? (uint32_t{fields[6]} << 16U) | fields[7] : 0;
}

Outcome<VnetId> VnetId::parse(std::string_view text) {
    const auto wrong = [] {
        return base::fail(Errc::inval,
                          "is not the id of a vnet: a hexadecimal number up to ffff, or eight with colons between them");
    };
    VnetId out;
    const bool is_short = text.find(':') == std::string_view::npos;
    for (size_t i = is_short ? 7 : 0; i < out.fields.size(); ++i) {
        const size_t colon = text.find(':');
        const std::string_view field = text.substr(0, colon);
        const auto number = field.size() <= 4 ? base::parse_number<uint16_t>(field, 16) : std::nullopt;
        if (!number || (colon == std::string_view::npos) != (i == 7)) return wrong();
        out.fields[i] = *number;
        text.remove_prefix(i == 7 ? text.size() : colon + 1);
    }
    if (out == VnetId{}) return wrong();
    return out;
}

}  // namespace config
