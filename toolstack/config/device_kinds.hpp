// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "toolstack/config/domain_config.hpp"

namespace config {

/// What is written of one device, in order: `(uname phy:/dev/x) (dev xvda) (mode w)`.
using Pairs = std::vector<std::pair<std::string, std::string>>;

/// One kind of device as a configuration has it; device_kinds.cpp holds the table. What xend makes of it in the store is
/// the row of the same name in xend/core/device_drivers.cpp.
struct DeviceKind {
    std::string_view name;      // of its element: (device (vbd …)); also of its folders in the store
    std::string_view alias;     // taken for it when an s-expression is read; may be empty
    std::string_view variable;  // the list of specifiers in a configuration file
    std::string_view json;      // the list in JSON
    size_t (*count)(const DomainConfig&);
    void (*resize)(DomainConfig&, size_t);
    void (*erase)(DomainConfig&, size_t index);
    Pairs (*show)(const DomainConfig&, size_t index);
    /// Appends one from its specifier in a file, `phy:/dev/x,xvda,w`. Errors: inval, the text names the specifier.
    base::Outcome<> (*add)(DomainConfig&, std::string_view specifier);
    /// The specifier of what show() gave: one parser, one set of checks, wherever a device comes from. Keys it does not
    /// know are left out. Errors: inval for what no specifier can say.
    base::Outcome<std::string> (*specifier)(const Pairs&);
    /// Checks the devices against each other. Errors: inval.
    base::Outcome<> (*check)(const DomainConfig&);
};

/// In the order in which a configuration is written.
std::span<const DeviceKind> device_kinds();
/// The kind with this name or alias; null when there is none.
const DeviceKind* device_kind(std::string_view name);

}  // namespace config
