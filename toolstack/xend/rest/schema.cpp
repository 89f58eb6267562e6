// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/rest/schema.hpp"

#include <algorithm>

#include "toolstack/config/device_kinds.hpp"
#include "toolstack/config/fields.hpp"

namespace xend::rest {

using base::Errc;
using Kind = Schema::Kind;

namespace {

const Member* member_named(const Schema& schema, const std::string& name) {
    const auto at = std::ranges::find(schema.members, name, &Member::name);
    return at == schema.members.end() ? nullptr : &*at;
}

std::string type_of(const Json& value) {
    if (value.is_number()) return "a number";
    if (value.is_object()) return "an object";
    if (value.is_array()) return "a list";
    if (value.is_string()) return "a text";
    return value.is_null() ? "null" : "true or false";
}

/// Faults of one value that is looked at.
struct Check {
    JsonFault& fault;

    bool no(std::string at, std::string text) const {
        fault = {Errc::inval, std::move(at), std::move(text)};
        return false;
    }
    bool wants(const char* what, const Json& value, const std::string& at) const {
        return no(at, std::string(what) + " is wanted, not " + type_of(value));
    }
    bool object(const Schema& schema, const Json& value, const std::string& at) const {
        if (!value.is_object()) return wants("an object", value, at);
        for (const auto& [name, inner] : value.items()) {
            const Member* const member = member_named(schema, name);
            if (member == nullptr) return no(pointer_to(at, name.substr(0, 60)), "there is no such member");
            if (!one(member->schema, inner, pointer_to(at, name))) return false;
        }
        for (const Member& member : schema.members)
            if (member.need == Need::wanted && !value.contains(member.name))
                return no(pointer_to(at, member.name), "it is missing");
        return true;
    }
    bool list(const Schema& schema, const Json& value, const std::string& at) const {
        if (!value.is_array()) return wants("a list", value, at);
        if (value.size() > schema.most) return no(at, "it has more than " + std::to_string(schema.most) + " items");
        for (size_t i = 0; i < value.size(); ++i)
            if (!one(*schema.item, value[i], pointer_to(at, std::to_string(i)))) return false;
        return true;
    }
    bool text(const Schema& schema, const Json& value, const std::string& at) const {
        if (!value.is_string()) return wants("a text", value, at);
        const auto& is = value.get_ref<const std::string&>();
        if (is.size() > schema.most) return no(at, "it is longer than " + std::to_string(schema.most) + " bytes");
        if (schema.words.empty() || std::ranges::find(schema.words, is) != schema.words.end()) return true;
        std::string all;
        for (const std::string_view word : schema.words) all.append(all.empty() ? "" : ", ").append(word);
        return no(at, "one of these is wanted: " + all);
    }
    bool number(const Schema& schema, const Json& value, const std::string& at) const {
        if (!value.is_number_integer()) return wants("a whole number", value, at);
        const bool above = value.is_number_unsigned() || value.get<int64_t>() >= 0;  // zero: two comparisons without a sign
        const bool fits = above ? value.get<uint64_t>() <= schema.high &&
                                      (schema.low <= 0 || value.get<uint64_t>() >= static_cast<uint64_t>(schema.low))
                                : value.get<int64_t>() >= schema.low;
        if (fits) return true;
        return no(at, "a number from " + std::to_string(schema.low) + " to " + std::to_string(schema.high) + " is wanted");
    }
    bool one(const Schema& schema, const Json& value, const std::string& at) const {
        switch (schema.kind) {
            case Kind::object: return object(schema, value, at);
            case Kind::list: return list(schema, value, at);
            case Kind::text: return text(schema, value, at);
            case Kind::number: return number(schema, value, at);
            case Kind::flag: return value.is_boolean() || wants("true or false", value, at);
            case Kind::config: return value.is_object() || wants("an object", value, at);
            case Kind::any: return true;
        }
        return false;
    }
};

Json config_schema() {
    Json out{{"type", "object"}};
    Json& members = out["properties"] = Json::object();
    for (const config::Field& field : config::fields()) {
        Json& one = members[std::string(field.json)];
        if (field.is_number()) one = {{"type", {"integer", "string"}}, {"minimum", field.low}};
        else one = {{"type", {"string", "integer"}}};
    }
    for (const config::DeviceKind& kind : config::device_kinds()) {
        members[std::string(kind.json)] = {
            {"type", "array"}, {"items", {{"type", "object"}, {"additionalProperties", {{"type", {"string", "integer"}}}}}}};
    }
    out["additionalProperties"] = false;
    return out;
}

Json object_schema(const Schema& schema, Side side, Json& named) {
    Json out{{"type", "object"}};
    Json& members = out["properties"] = Json::object();
    Json wanted = Json::array();
    for (const Member& member : schema.members) {
        Json one = json_schema(member.schema, side, named);
        if (!member.what.empty()) one["description"] = member.what;
        members[std::string(member.name)] = std::move(one);
        if (member.need == Need::wanted) wanted.push_back(member.name);
    }
    if (!wanted.empty()) out["required"] = std::move(wanted);
    if (side == Side::request) out["additionalProperties"] = false;
    return out;
}

Json shape(const Schema& schema, Side side, Json& named) {
    switch (schema.kind) {
        case Kind::object: return object_schema(schema, side, named);
        case Kind::list: {
            Json item = json_schema(*schema.item, side, named);
            Json out{{"type", "array"}, {"items", std::move(item)}};
            if (side == Side::request) out["maxItems"] = schema.most;
            return out;
        }
        case Kind::text: {
            Json out{{"type", "string"}};
            if (!schema.words.empty()) out["enum"] = Json(schema.words);
            else if (side == Side::request) out["maxLength"] = schema.most;
            return out;
        }
        case Kind::number: return {{"type", "integer"}, {"minimum", schema.low}, {"maximum", schema.high}};
        case Kind::flag: return {{"type", "boolean"}};
        case Kind::config: return config_schema();
        case Kind::any: return Json::object();
    }
    return {};
}

}  // namespace

bool conforms(const Schema& schema, const Json& value, JsonFault& fault) { return Check{fault}.one(schema, value, ""); }

Json json_schema(const Schema& schema, Side side, Json& named) {
    const std::string name(schema.name);
    if (name.empty() || !named.contains(name)) {
        if (!name.empty()) named[name] = nullptr;  // it may contain itself
        Json out = shape(schema, side, named);
        if (!schema.what.empty()) out["description"] = schema.what;
        if (name.empty()) return out;
        named[name] = std::move(out);
    }
    return {{"$ref", "#/components/schemas/" + name}};
}

}  // namespace xend::rest
