// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace config {

/// A domain's 128-bit identity: what stays when the domain id changes over a reboot.
struct Uuid {
    std::array<uint8_t, 16> bytes{};

    auto operator<=>(const Uuid&) const = default;
    /// True for the all-zero value, which means "not chosen yet" (and is dom0's own).
    bool is_nil() const;
    /// The 8-4-4-4-12 form in lower case.
    std::string text() const;
    /// Accepts the 8-4-4-4-12 form or 32 bare hex digits; nothing else.
    static std::optional<Uuid> parse(std::string_view text);
    /// A random (version 4) value from the kernel's generator.
    static Uuid random();
};

/// The MAC address of vif number `index` of domain `uuid`: 00:16:3e and 23 bits that depend on nothing else, so that
/// the neighbours' ARP caches stay right over every restart.
std::string derived_mac(const Uuid& uuid, uint32_t index);

/// Normalises "0:16:3E:1:2:3" to "00:16:3e:01:02:03"; nullopt when it is not six hex bytes or is a multicast address.
std::optional<std::string> normal_mac(std::string_view text);

}  // namespace config
