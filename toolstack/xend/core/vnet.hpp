// SPDX-License-Identifier: Apache-2.0
#pragma once

// A virtual network: an Ethernet of domains on several hosts, carried by VXLAN. Pure.

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/outcome.hpp"
#include "lib/proto/sxp.hpp"
#include "toolstack/config/vnet_id.hpp"

namespace xend {

inline constexpr uint16_t vxlan_port = 4789;
inline constexpr const char* vnet_group = "224.10.0.1";  // where classic Xen's vnets looked for each other
inline constexpr size_t most_vnet_peers = 64;

/// As its owner described it, with what he left out filled in.
struct Vnet {
    config::VnetId id;
    std::string bridge;              // of this host, which cards join
    std::string vnetif;              // the way to other hosts, which is on the bridge too
    uint32_t vni = 0;                // the network's number in VXLAN
    std::string group;               // by which hosts find each other; empty: they are told, by `peers`
    std::string device;              // the card that it is reached by; empty: that of the default route
    std::vector<std::string> peers;  // IPv4 addresses of the other hosts
    uint16_t port = vxlan_port;      // UDP

    bool operator==(const Vnet&) const = default;
    /// (vnet (id 97) (bridge vnet97) (vnetif vnif97) (security none) …)
    proto::Sxp sxp() const;
    /// What the script `vnet` is told.
    std::vector<std::string> words() const;
};

/// Errors: inval, one line with the word that is wrong.
base::Outcome<Vnet> read_vnet(const proto::Sxp& description);

/// One that xend keeps, and what is being done with it: what a xend that is killed leaves is undone by the next one, but for `kept`.
struct KeptVnet {
    enum class Step : uint8_t { kept, making, deleting };
    Vnet vnet;
    Step step = Step::kept;
};
inline constexpr std::array<std::string_view, 3> vnet_step_names = {"kept", "making", "deleting"};

}  // namespace xend
