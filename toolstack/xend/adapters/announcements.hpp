// SPDX-License-Identifier: Apache-2.0
#pragma once

// What is said on the wires of this machine when a domain's card has come. Pure.

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "lib/base/outcome.hpp"

namespace xend {

using MacAddress = std::array<std::byte, 6>;
using Frame = std::vector<std::byte>;  // with its Ethernet header, and at least 60 bytes

/// Errors: inval: the text is no MAC address.
base::Outcome<MacAddress> mac_of(const std::string& text);

/// In which a card asks everybody for its own address (RFC 903): switches learn where it is.
Frame reverse_arp(const MacAddress& mac);

/// A card of this machine.
struct WireCard {
    /// In network order, 4 or 16 bytes; the first `bits` are those of all hosts on the wire.
    struct Own {
        std::vector<std::byte> address;
        unsigned bits;
    };
    int index = 0;  // the kernel's number for it
    MacAddress mac{};
    std::vector<Own> own;
    bool answers_ipv4 = false;  // for addresses that this machine has routes to
    bool answers_ipv6 = false;
};

struct Announcement {
    int card;  // its index
    Frame frame;
};

/// What tells the hosts on the wires of `cards` that this machine has the addresses in `ip` (of a card that is behind routes; blanks
/// between them, networks and what is no address left out): an ARP announcement (RFC 5227) for IPv4, an unsolicited neighbour
/// advertisement that overrides (RFC 4861) for IPv6; from each card that answers for others and has a network with that address.
std::vector<Announcement> routed_announcements(const std::string& ip, const std::vector<WireCard>& cards);

}  // namespace xend
