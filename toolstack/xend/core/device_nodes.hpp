// SPDX-License-Identifier: Apache-2.0
#pragma once

// The store nodes of a device, as Linux' front and back ends expect them. Pure: no store, no files.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/types.hpp"
#include "toolstack/config/domain_config.hpp"
#include "toolstack/xend/core/settings.hpp"
#include "toolstack/xenstore/client.hpp"

namespace xend {

/// One folder of the store and what is in it.
struct NodeSet {
    std::string path;
    xenstore::Permissions permissions;
    std::vector<std::pair<std::string, std::string>> values;  // in the order they are written
};

/// Who the device is for and whose it is.
struct DeviceEnds {
    base::DomId front{0};
    base::DomId back{0};
};

struct DeviceNodes {
    std::string kind;  // "vbd", "vif", "console"
    uint32_t devid = 0;
    DeviceEnds ends;
    NodeSet front;
    NodeSet back;
    bool needs_script = true;
    std::string script;  // empty: xend connects it itself, as `disk` says
    config::Disk disk;   // of a vbd
};

enum class XenbusState : uint8_t { unknown = 0, initialising, init_wait, initialised, connected, closing, closed };

DeviceNodes vbd_nodes(const DeviceEnds& ends, const config::Disk& disk, const Settings& settings);
/// `vif` has its MAC address by now; `index` is its number in the guest.
DeviceNodes vif_nodes(const DeviceEnds& ends, const config::Vif& vif, uint32_t index, const std::string& script);

/// "/local/domain/0/backend/vbd/3/51712"
std::string backend_path(const DeviceEnds& ends, const std::string& kind, uint32_t devid);
/// "/local/domain/3/device/vbd/51712"
std::string frontend_path(const DeviceEnds& ends, const std::string& kind, uint32_t devid);

/// Permissions: everything to `owner`, reading to `reader`, nothing to others.
xenstore::Permissions owned_by(base::DomId owner, base::DomId reader);

}  // namespace xend
