// SPDX-License-Identifier: Apache-2.0
// Network interfaces as config files describe them: "mac=…,bridge=…".
#include "toolstack/config/vif.hpp"

#include <algorithm>
#include <array>

#include "lib/base/number.hpp"
#include "toolstack/config/split.hpp"
#include "toolstack/config/vnet_id.hpp"

namespace config {

using base::Errc;
using base::Outcome;

namespace {

constexpr uint32_t most_devid = 255;

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

/// One that programs take for a name, whatever they call themselves with: not for an option, or for two words.
Outcome<std::string> vif_name(std::string_view value) {
    if (value.size() > 15) return base::fail(Errc::inval, "has more than 15 characters");
    const bool odd = std::ranges::any_of(
        value, [](char c) { return c <= ' ' || c > '~' || std::string_view(":\"'\\").find(c) != std::string_view::npos; });
    if (odd || value.starts_with('-') || value == "." || value == "..")
        return base::fail(Errc::inval, "is not a name of an interface");
    return interface_name(value);
}

Outcome<std::string> vif_type(std::string_view value) {
    if (value == "vif") return std::string("netfront");  // as xl calls it
    if (value.empty() || value == "netfront" || value == "ioemu") return std::string(value);
    return base::fail(Errc::inval, "is neither netfront nor ioemu");
}

Outcome<std::string> rate(std::string_view value) {
    if (!value.empty()) OTRY(rate_limit(value));
    return std::string(value);
}

Outcome<std::string> mtu(std::string_view value) {
    const auto bytes = base::parse_number<uint32_t>(value);
    if (!value.empty() && (!bytes || *bytes < 68 || *bytes > 65535)) return base::fail(Errc::inval, "is not from 68 to 65535");
    return std::string(value);
}

Outcome<std::string> flag(std::string_view value) {
    if (value.empty() || value == "1") return std::string();
    if (value == "0") return std::string(value);
    return base::fail(Errc::inval, "is neither 0 nor 1");
}

Outcome<std::string> vnet(std::string_view value) {
    if (value.empty()) return std::string();
    return OTRY(VnetId::parse(value)).text();
}

Outcome<std::string> devid(std::string_view value) {
    const auto number = base::parse_number<uint32_t>(value);
    if (!value.empty() && (!number || *number > most_devid)) return base::fail(Errc::inval, "is not a number of a card");
    return value.empty() ? std::string() : std::to_string(*number);
}

constexpr std::array keys = {
    VifKey{"type", &Vif::type, vif_type},
    VifKey{"mac", &Vif::mac, mac},
    VifKey{"bridge", &Vif::bridge, interface_name},
    VifKey{"vnet", &Vif::vnet, vnet},
    VifKey{"script", &Vif::script, nullptr},
    VifKey{"vifname", &Vif::vifname, vif_name},
    VifKey{"ip", &Vif::ip, nullptr},
    VifKey{"rate", &Vif::rate, rate},
    VifKey{"model", &Vif::model, nullptr},
    VifKey{"mtu", &Vif::mtu, mtu},
    VifKey{"gatewaydev", &Vif::gatewaydev, interface_name},
    VifKey{"trusted", &Vif::trusted, flag},
    VifKey{"devid", &Vif::devid, devid},
    VifKey{"backend", &Vif::backend, nullptr},
};

/// Words of other versions that ask for what is not there.
constexpr std::array<std::string_view, 3> refused = {"accel", "policy", "label"};

Outcome<> set_key(Vif& vif, std::string_view name, std::string_view value) {
    const auto at = std::find_if(keys.begin(), keys.end(), [&](const VifKey& key) { return key.name == name; });
    if (at == keys.end()) {
        const bool known = std::find(refused.begin(), refused.end(), name) != refused.end();
        if (known && value.empty()) return base::ok;
        if (known) return base::fail(Errc::inval, "Invalid vif option: " + std::string(name) + " is not supported");
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
    for (std::string_view field : split(spec, ',')) {
        // xl's words without a value.
        if (trim(field) == "trusted") field = "trusted=1";
        if (trim(field) == "untrusted") field = "trusted=0";
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

Outcome<RateLimit> rate_limit(std::string_view text) {
    const auto wrong = [] { return base::fail(Errc::inval, "is not a rate like 10Mb/s or 250KB/s@20ms"); };
    const auto large = [] { return base::fail(Errc::inval, "is out of range"); };
    const auto scale_of = [](char letter) -> uint64_t {
        return letter == 'K' ? 1'000 : letter == 'M' ? 1'000'000 : letter == 'G' ? 1'000'000'000 : 1;
    };
    std::string_view rest = text;
    const auto amount = base::take_number<uint64_t>(rest);
    if (!amount || rest.empty()) return wrong();
    const uint64_t scale = scale_of(rest[0]);
    if (scale != 1) rest.remove_prefix(1);
    if (!rest.starts_with("b/s") && !rest.starts_with("B/s")) return wrong();
    uint64_t bytes = 0;
    if (__builtin_mul_overflow(*amount, scale, &bytes)) return large();
    if (rest[0] == 'b') bytes /= 8;
    rest.remove_prefix(3);
    uint64_t window = 50'000;  // µs
    if (!rest.empty()) {
        if (rest[0] != '@') return wrong();
        rest.remove_prefix(1);
        const auto count = base::take_number<uint64_t>(rest);
        const uint64_t unit = rest == "us" ? 1 : rest == "ms" ? 1'000 : rest == "s" ? 1'000'000 : 0;
        if (!count || unit == 0) return wrong();
        if (__builtin_mul_overflow(*count, unit, &window)) return large();
    }
    if (__builtin_mul_overflow(bytes, window, &bytes)) return large();
    bytes /= 1'000'000;
    if (bytes == 0 || bytes > 0xffffffffULL || window > 0xffffffffULL) return large();
    return RateLimit{static_cast<uint32_t>(bytes), static_cast<uint32_t>(window)};
}

}  // namespace config
