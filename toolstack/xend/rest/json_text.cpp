// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/rest/json_text.hpp"

#include <set>

namespace xend::rest {

using base::Errc;

namespace {

/// Builds the value as the parser meets it, and stops it at the first fault.
class Builder final : public nlohmann::json_sax<Json> {
    struct Level {
        Json* value;
        std::set<std::string> names;  // that an object has
        std::string name;             // of the member that comes
    };
    const JsonLimits& limits_;
    JsonFault& fault_;
    Json root_;
    std::vector<Level> levels_;
    size_t values_ = 0;

    std::string here() const {
        std::string at;
        for (const Level& level : levels_)
            at = pointer_to(at, level.value->is_object() ? level.name : std::to_string(level.value->size()));
        return at;
    }
    bool refuse(Errc code, std::string text) {
        fault_ = {code, here(), std::move(text)};
        return false;
    }
    /// Null: it is one too many.
    Json* put(Json value) {
        if (++values_ > limits_.values) {
            refuse(Errc::toobig, "there are more than " + std::to_string(limits_.values) + " values");
            return nullptr;
        }
        if (levels_.empty()) return &(root_ = std::move(value));
        Json& into = *levels_.back().value;
        if (into.is_array()) return &into.emplace_back(std::move(value));
        into.get_ref<Json::object_t&>().emplace_back(levels_.back().name, std::move(value));
        return &into.get_ref<Json::object_t&>().back().second;
    }
    bool begin(Json value) {
        if (levels_.size() >= limits_.depth)
            return refuse(Errc::toobig,
                          "lists and objects are in each other more than " + std::to_string(limits_.depth) + " deep");
        Json* const made = put(std::move(value));
        if (made == nullptr) return false;
        levels_.push_back({made, {}, {}});
        return true;
    }
    bool end() {
        levels_.pop_back();
        return true;
    }
    /// Of texts and names alike: what is made of them ends at a zero byte.
    bool without_zero(const std::string& text) {
        return text.find('\0') == std::string::npos || refuse(Errc::inval, "a text has the character U+0000");
    }

public:
    Builder(const JsonLimits& limits, JsonFault& fault) : limits_(limits), fault_(fault) {}
    Json take() { return std::move(root_); }

    bool null() override { return put(nullptr) != nullptr; }
    bool boolean(bool value) override { return put(value) != nullptr; }
    bool number_integer(int64_t value) override { return put(value) != nullptr; }
    bool number_unsigned(uint64_t value) override { return put(value) != nullptr; }
    bool number_float(double, const std::string&) override {
        return refuse(Errc::inval, "a whole number of at most 64 bits is wanted");
    }
    bool string(std::string& value) override { return without_zero(value) && put(std::move(value)) != nullptr; }
    bool binary(Json::binary_t&) override { return refuse(Errc::inval, "this is no JSON"); }
    bool start_object(size_t) override { return begin(Json::object()); }
    bool start_array(size_t) override { return begin(Json::array()); }
    bool end_object() override { return end(); }
    bool end_array() override { return end(); }
    bool key(std::string& name) override {
        Level& level = levels_.back();
        level.name = name.substr(0, 200);
        if (!without_zero(name)) return false;
        if (name.size() > 200) return refuse(Errc::inval, "the name is longer than 200 bytes");
        if (!level.names.insert(name).second) return refuse(Errc::inval, "it is there twice");
        return level.names.size() <= limits_.members ||
               refuse(Errc::toobig, "an object has more than " + std::to_string(limits_.members) + " members");
    }
    bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) override {
        fault_ = {Errc::inval, {}, "no JSON from byte " + std::to_string(position) + " on"};
        return false;
    }
};

}  // namespace

std::string pointer_to(const std::string& at, std::string_view name) {
    std::string out = at + "/";
    for (const char c : name) {
        if (c == '~') out += "~0";
        else if (c == '/') out += "~1";
        else out += c;
    }
    return out;
}

std::optional<Json> parse_json(std::string_view text, JsonFault& fault, const JsonLimits& limits) {
    if (text.size() > limits.bytes) {
        fault = {Errc::toobig, {}, "more than " + std::to_string(limits.bytes) + " bytes"};
        return std::nullopt;
    }
    Builder builder(limits, fault);
    if (!Json::sax_parse(text, &builder)) return std::nullopt;
    return builder.take();
}

std::string print_json(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace xend::rest
