// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/base/outcome.hpp"
#include "lib/proto/sxp.hpp"
#include "toolstack/config/device_kinds.hpp"
#include "toolstack/config/domain_config.hpp"

namespace config {

/// `(vm (name …) (memory …) … (image (linux (kernel …) …)) (device (vbd …)) (device (vif …)))`: what xend receives,
/// `xm create -n` prints and xend keeps while the domain lives. Fields at their defaults of no consequence are left out.
proto::Sxp to_sxp(const DomainConfig& config);

/// The other way round; takes `(vm …)` and `(domain …)`. The result is validate()d.
/// Errors: Errc::inval, one line that names the element.
base::Outcome<DomainConfig> from_sxp(const proto::Sxp& sxp);

/// `(device (vbd …))` for number `index` of its kind.
proto::Sxp device_sxp(const DeviceKind& kind, const DomainConfig& config, size_t index);
/// A device by its kind and its specifier, as a file would have it.
struct NamedDevice {
    const DeviceKind* kind = nullptr;
    std::string specifier;
};
/// Of `(device (vbd …))`, or `(vbd …)` alone. Errors: inval.
base::Outcome<NamedDevice> device_from_sxp(const proto::Sxp& sxp);
/// `(image (linux …))`
proto::Sxp image_sxp(const DomainConfig& config);

}  // namespace config
