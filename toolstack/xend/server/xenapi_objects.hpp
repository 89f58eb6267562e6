// SPDX-License-Identifier: Apache-2.0
#pragma once

// The objects of the Xen-API 1.0, made of one look at the host. An object's reference is its uuid.

#include <span>

#include "toolstack/xend/core/manager.hpp"
#include "toolstack/xend/server/xmlrpc_message.hpp"

namespace xend::xenapi {

using xmlrpc::Value;

/// A domain that is kept and not there.
struct HaltedVm {
    config::DomainConfig config;
    bool suspended = false;
};

/// Everything that objects are made of.
struct Snapshot {
    HostState host;
    std::vector<DomainGlance> domains;
    std::vector<HaltedVm> halted;
    std::string host_name, host_ref;
    std::string sys;  // where sysfs is
    int64_t now = 0;
};

/// Errors: of the hypervisor and of the database of kept domains.
base::Outcome<Snapshot> take_snapshot(Manager& manager, int64_t now, const std::string& sys = "/sys");

/// "uuid" and what else it has, by the names of the description.
using Record = Value;

struct Class {
    std::string_view name;
    std::vector<Record> (*all)(const Snapshot&);
};

std::span<const Class> classes();
const Class* find_class(std::string_view name);
/// The uuid of what has none of its own: the same for the same words, on every host and for ever.
std::string derived_ref(std::string_view words);

}  // namespace xend::xenapi
