// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>

#include "toolstack/xend/core/ports.hpp"

namespace xend {

/// An Ethernet frame in which a card asks everybody for its own address (RFC 903): switches learn where it is. Errors: inval: no MAC.
base::Outcome<std::array<std::byte, 60>> reverse_arp(const std::string& mac);

/// Bridges of this machine.
class LinuxNeighbours final : public Neighbours {
public:
    base::Outcome<> announce(base::DomId front, uint32_t devid, const std::string& mac) override;
};

}  // namespace xend
