// SPDX-License-Identifier: Apache-2.0
#include "toolstack/config/domain_json.hpp"

#include <nlohmann/json.hpp>

#include "lib/base/number.hpp"
#include "toolstack/config/device_kinds.hpp"
#include "toolstack/config/fields.hpp"

namespace config {

using base::Errc;
using base::Outcome;
using Json = nlohmann::ordered_json;

namespace {

constexpr size_t most_bytes = 1U << 20U;

base::Failure inval(std::string text) { return base::fail(Errc::inval, std::move(text)); }

/// A value as its row reads it.
Outcome<std::string> text_of(const std::string& name, const Json& value) {
    if (value.is_string()) return value.get<std::string>();
    if (value.is_number_unsigned()) return std::to_string(value.get<uint64_t>());
    if (value.is_number_integer()) return std::to_string(value.get<int64_t>());
    return inval(name + ": a text or a whole number is wanted, not " + value.type_name());
}

Outcome<> read_field(const Field& field, const Json& value, DomainConfig& config) {
    const std::string name(field.json);
    if (!field.has(config.guest)) return inval(name + ": a domain of this type has no such field");
    return field.read(config, field, OTRY(text_of(name, value))).context(name);
}

Outcome<> read_devices(const DeviceKind& kind, const Json& list, DomainConfig& config) {
    const std::string name(kind.json);
    if (!list.is_array()) return inval(name + ": a list is wanted, not " + list.type_name());
    for (const Json& device : list) {
        if (!device.is_object()) return inval(name + ": an object is wanted, not " + device.type_name());
        Pairs pairs;
        for (const auto& [key, value] : device.items()) {
            std::string where = name;
            where.append(".").append(key);
            pairs.emplace_back(key, OTRY(text_of(where, value)));
        }
        const std::string specifier = OTRY(kind.specifier(pairs));
        OTRY(kind.add(config, specifier));
    }
    return base::ok;
}

/// A member that nobody would read is a mistake of the writer's.
Outcome<> check_members(const Json& all) {
    for (const auto& item : all.items()) {
        const auto named = [&](const auto& row) { return row.json == item.key(); };
        const auto known = [&](const auto& rows) { return std::any_of(rows.begin(), rows.end(), named); };
        if (!known(fields()) && !known(device_kinds())) return inval("unknown member '" + item.key().substr(0, 60) + "'");
    }
    return base::ok;
}

}  // namespace

std::string to_json(const DomainConfig& config) {
    Json out = Json::object();
    for (const Field& field : fields()) {
        if (!field.wanted(config)) continue;
        const std::string text = field.print(config);
        if (field.is_number()) {
            out[std::string(field.json)] = base::parse_number<uint64_t>(text).value_or(0);
        } else {
            out[std::string(field.json)] = text;
        }
    }
    for (const DeviceKind& kind : device_kinds()) {
        Json list = Json::array();
        for (size_t i = 0; i < kind.count(config); ++i) {
            Json one = Json::object();
            for (const auto& [key, value] : kind.show(config, i)) one[key] = value;
            list.push_back(std::move(one));
        }
        if (!list.empty()) out[std::string(kind.json)] = std::move(list);
    }
    return out.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Outcome<DomainConfig> from_json(std::string_view text) {
    if (text.size() > most_bytes) return base::fail(Errc::toobig, "more than " + std::to_string(most_bytes) + " bytes of JSON");
    const Json all = Json::parse(text, nullptr, false);
    if (!all.is_object()) return inval("a domain configuration is one JSON object");
    OTRY(check_members(all));
    DomainConfig config;
    // The type of the guest first: which fields there are hangs on it.
    for (const bool kind : {true, false}) {
        for (const Field& field : fields()) {
            const auto at = all.find(std::string(field.json));
            if ((field.place == Place::image_kind) == kind && at != all.end()) OTRY(read_field(field, *at, config));
        }
    }
    for (const DeviceKind& kind : device_kinds()) {
        if (const auto at = all.find(std::string(kind.json)); at != all.end()) OTRY(read_devices(kind, *at, config));
    }
    OTRY(validate(config));
    return config;
}

}  // namespace config
