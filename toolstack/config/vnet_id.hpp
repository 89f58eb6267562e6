// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "lib/base/outcome.hpp"

namespace config {

/// What tells one virtual network from another, on every host that has it: 128 bits, as classic Xen wrote them.
struct VnetId {
    std::array<uint16_t, 8> fields{};  // the first is the highest

    bool operator==(const VnetId&) const = default;
    /// "97", or all eight fields where the first seven are not zero.
    std::string text() const;
    /// The network's number in VXLAN, which has 24 bits; 0: it does not fit.
    uint32_t vni() const;

    /// "aaff:0:0:0:0:0:77:88", or the last field alone; hexadecimal. Errors: inval; the text goes on behind what was given.
    static base::Outcome<VnetId> parse(std::string_view text);
};

}  // namespace config
