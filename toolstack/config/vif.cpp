// SPDX-License-Identifier: Apache-2.0
// Network interfaces as config files describe them: "mac=…,bridge=…".
#include "toolstack/config/vif.hpp"

#include <algorithm>
#include <array>

#include "toolstack/config/split.hpp"

namespace config {

using base::Errc;
using base::Outcome;

namespace {

Outcome<std::string> mac(std::string_view value) {
    if (value.empty() || value == "random") return std::string();  // derived from the uuid later
    const auto normal = normal_mac(value);
    if (!normal) return base::fail(Errc::inval, "is not a unicast MAC address");
    return *normal;
}

Outcome<std::string> interface_name(std::string_view value) {
    if (value.find('/') != std::string_view::npos) return base::fail(Errc::inval, "is not a name of an interface");
    return std::string(value);
}

Outcome<std::string> vif_name(std::string_view value) {
    if (value.size() > 15) return base::fail(Errc::inval, "has more than 15 characters");
    return interface_name(value);
}

constexpr std::array keys = {
    VifKey{"type", &Vif::type, nullptr},
    VifKey{"mac", &Vif::mac, mac},
    VifKey{"bridge", &Vif::bridge, interface_name},
    VifKey{"script", &Vif::script, nullptr},
    VifKey{"vifname", &Vif::vifname, vif_name},
    VifKey{"ip", &Vif::ip, nullptr},
    VifKey{"rate", &Vif::rate, nullptr},
    VifKey{"model", &Vif::model, nullptr},
    VifKey{"backend", &Vif::backend, nullptr},
};

/// Words of other versions that change nothing here.
constexpr std::array<std::string_view, 3> ignored = {"accel", "policy", "label"};

Outcome<> set_key(Vif& vif, std::string_view name, std::string_view value) {
    const auto at = std::find_if(keys.begin(), keys.end(), [&](const VifKey& key) { return key.name == name; });
    if (at == keys.end()) {
        if (std::find(ignored.begin(), ignored.end(), name) != ignored.end()) return base::ok;
        return base::fail(Errc::inval, "Invalid vif option: " + std::string(name));
    }
    if (at->normal == nullptr) {
        vif.*at->member = value;
        return base::ok;
    }
    auto normal = at->normal(value);
    if (!normal) {
        return base::fail(Errc::inval,
                          "Invalid vif option: " + std::string(name) + "=" + std::string(value) + " " + normal.failure().text);
    }
    vif.*at->member = *normal;
    return base::ok;
}

}  // namespace

std::span<const VifKey> vif_keys() { return keys; }

Outcome<Vif> parse_vif(std::string_view spec) {
    Vif vif;
    if (trim(spec).empty()) return vif;
    for (const std::string_view field : split(spec, ',')) {
        const size_t equals = field.find('=');
        if (trim(field).empty()) continue;
        if (equals == std::string_view::npos) {
            return base::fail(Errc::inval, "Invalid vif specifier: " + std::string(trim(field)) +
                                               " should be a pair, separated by an equals sign.");
        }
        OTRY(set_key(vif, trim(field.substr(0, equals)), trim(field.substr(equals + 1))));
    }
    return vif;
}

}  // namespace config
