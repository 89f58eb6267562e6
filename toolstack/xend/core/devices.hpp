// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "toolstack/xend/core/device_nodes.hpp"
#include "toolstack/xend/core/ports.hpp"

namespace xend {

/// A device as the store shows it: what block-list and network-list print.
struct DeviceView {
    std::string kind;
    uint32_t devid = 0;
    uint32_t backend = 0;
    std::string backend_path;
    std::vector<std::pair<std::string, std::string>> front;  // every leaf of the front end's folder
    std::vector<std::pair<std::string, std::string>> back;
};

/// Connects devices of a domain to their back ends and takes them off again. What it is about to do stands in the domain's
/// record before it does it, so that the next xend can finish. Disks of the classic types are connected without a script.
class Devices {
    struct Leaving;
    Ports& ports_;

    base::Outcome<> await_backend(xenstore::Store& store, const DeviceNodes& device);
    base::Outcome<BlockDevice> take_disk(DeviceNodes& device, const std::string& server);
    base::Outcome<> await_served(xenstore::Store& store, const DeviceNodes& device);
    base::Outcome<> hotplug(xenstore::Store& store, const DeviceNodes& device, DeviceIntent& intent);
    base::Outcome<> run_script(xenstore::Store& store, const DeviceIntent& intent, base::DomId front, bool attach);
    static base::Outcome<std::vector<Leaving>> leaving(xenstore::Store& store, base::DomId domain, const Record* record);
    static base::Outcome<> close(xenstore::Store& store, const Leaving& device);
    base::Outcome<> finish_close(xenstore::Store& store, const Leaving& device);
    base::Outcome<> take_off(xenstore::Store& store, const std::vector<Leaving>& devices);

public:
    explicit Devices(Ports& ports) : ports_(ports) {}

    /// Writes all nodes in one transaction, waits for each back end and runs its script. `record` is the domain's, and gets an
    /// intent for each that it has none for. Errors: timedout or io, "Device N (vbd) could not be connected. REASON"; the caller
    /// takes off what there is.
    base::Outcome<> attach(xenstore::Store& store, Record& record, std::vector<DeviceNodes> devices);

    /// Takes every device of `domain` off its back end by force: the guest is not asked. What does not close in time is logged and
    /// removed from the store all the same. `record`: null for a domain that is not ours. Errors: of the store, the first one; as
    /// much as could be done is done, and `record` has still all of them.
    base::Outcome<> detach_all(xenstore::Store& store, base::DomId domain, Record* record);

    /// The same for one, which stays in the record. Errors: of the store.
    base::Outcome<> detach(xenstore::Store& store, base::DomId domain, const DeviceIntent& intent);
    /// Asks the guest to let go of one. False: it does not in time, and has it as before. Errors: of the store.
    base::Outcome<bool> ask_to_close(xenstore::Store& store, base::DomId domain, const DeviceIntent& intent);

    /// The devices of one kind. Errors: of the store.
    static base::Outcome<std::vector<DeviceView>> list(xenstore::Store& store, base::DomId domain, const std::string& kind);
};

/// "Device 51712 (vbd)"
std::string device_label(const std::string& kind, uint32_t devid);

/// Puts what makes a folder with its permissions and values behind `changes`.
void add_changes(const NodeSet& set, std::vector<xenstore::Change>& changes);
/// Writes a folder with its permissions.
base::Outcome<> write_nodes(xenstore::Transaction& tx, const NodeSet& set);

}  // namespace xend
