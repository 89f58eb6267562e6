// SPDX-License-Identifier: Apache-2.0
#pragma once

// The table of what xend does for each kind of device: device_drivers.cpp. How a configuration writes the same kind is
// config/device_kinds.cpp.

#include <span>

#include "toolstack/xend/core/device_nodes.hpp"
#include "toolstack/xend/core/record.hpp"
#include "toolstack/xend/core/settings.hpp"

namespace xend {

/// A device whose script is to run.
struct ScriptSubject {
    base::DomId front{0};
    uint32_t devid = 0;
    std::string renamed;  // "vifname" of the back end; empty: the default name
    bool attach = true;
};

/// What a script is told of its device.
struct ScriptWords {
    std::string command;
    std::vector<std::string> arguments;
    std::vector<std::pair<std::string, std::string>> environment;
};

struct DeviceDriver {
    std::string_view kind;  // of config::DeviceKind, and of the folders in the store
    bool in_kernel;         // a driver in the back end's kernel answers through `state`, and a script helps it

    // Devices of a configuration; null for a kind that none lists.
    /// Before anything is made, beside everything that has a record; may be null.
    base::Outcome<> (*check)(xenstore::Store&, const config::DomainConfig&, std::span<const RecordPtr>);
    std::string (*backend)(const config::DomainConfig&, size_t index);  // name or id of the back end's domain
    DeviceNodes (*nodes)(const DeviceEnds&, const config::DomainConfig&, size_t index, uint32_t devid, const Settings&);
    /// The device id for number `index`, beside those that the domain has.
    uint32_t (*devid)(const config::DomainConfig&, size_t index, std::span<const DeviceIntent> taken);
    /// The device id that a user's word for one says, if it does.
    std::optional<uint32_t> (*named)(const std::string& word);

    ScriptWords (*script)(const ScriptSubject&);  // null without a script

    /// How many of them `config` asks for.
    size_t count(const config::DomainConfig& config) const;
};

/// In the order in which devices are connected.
std::span<const DeviceDriver> device_drivers();
/// The driver of this kind; null when there is none.
const DeviceDriver* device_driver(std::string_view kind);

}  // namespace xend
