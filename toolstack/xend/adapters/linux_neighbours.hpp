// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "toolstack/xend/core/ports.hpp"

namespace xend {

/// The bridges and cards of this machine: on its bridge a card says where its MAC is, and for one that is behind routes this machine's
/// cards say that its addresses are here.
class LinuxNeighbours final : public Neighbours {
public:
    base::Outcome<> announce(base::DomId front, uint32_t devid, const config::Vif& vif) override;
};

}  // namespace xend
