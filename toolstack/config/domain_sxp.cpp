// SPDX-License-Identifier: Apache-2.0
#include "toolstack/config/domain_sxp.hpp"

#include "toolstack/config/device_kinds.hpp"
#include "toolstack/config/fields.hpp"

namespace config {

using base::Errc;
using base::Outcome;
using proto::Sxp;

namespace {

void add_fields(Sxp& to, const DomainConfig& config, Place place) {
    for (const Field& field : fields()) {
        if (field.place == place && field.wanted(config)) to.add(std::string(field.sxp), field.print(config));
    }
}

/// The value's row has said what is wrong, beginning with the value in quotes or with the field; this says where.
base::Failure wrong(const Field& field, const std::string& text, base::Failure failure) {
    if (field.place == Place::image_kind) return std::move(failure).with(std::string(field.file));
    const std::string element = "(" + std::string(field.sxp) + " …)";
    if (field.is_number()) {
        return base::fail(Errc::inval, element + ": '" + text.substr(0, 40) + "' is not a number in range");
    }
    return failure.text.starts_with('\'') ? std::move(failure).with(element) : failure;
}

Outcome<> read_fields(const Sxp& sxp, const Sxp& image, DomainConfig& config) {
    // The type of the guest first: which fields there are hangs on it.
    for (const bool kind : {true, false}) {
        for (const Field& field : fields()) {
            if ((field.place == Place::image_kind) != kind || !field.has(config.guest)) continue;
            const auto text = kind ? std::optional(std::string(image.name()))
                                   : (field.place == Place::image ? image : sxp).child_value(field.sxp);
            if (!text) continue;
            auto read = field.read(config, field, *text);
            if (!read) return wrong(field, *text, read.failure());
        }
    }
    return base::ok;
}

Pairs pairs_of(const Sxp& device) {
    Pairs out;
    for (const Sxp* child : device.children()) {
        if (auto value = child->value()) out.emplace_back(child->name(), std::move(*value));
    }
    return out;
}

Outcome<> read_devices(const Sxp& sxp, DomainConfig& config) {
    for (const Sxp* device : sxp.children("device")) {
        for (const Sxp* one : device->children()) {
            if (one->name() == "console") continue;  // every domain has one
            const NamedDevice named = OTRY(device_from_sxp(*one));
            OTRY(named.kind->add(config, named.specifier));
        }
    }
    return base::ok;
}

}  // namespace

Sxp device_sxp(const DeviceKind& kind, const DomainConfig& config, size_t index) {
    Sxp out = Sxp::named(std::string(kind.name));
    for (auto& [key, value] : kind.show(config, index)) out.add(std::move(key), std::move(value));
    return Sxp::named("device").add(std::move(out));
}

Outcome<NamedDevice> device_from_sxp(const Sxp& sxp) {
    const std::vector<const Sxp*> inside = sxp.children();
    const Sxp& one = sxp.name() == "device" && inside.size() == 1 ? *inside[0] : sxp;
    NamedDevice out;
    out.kind = device_kind(one.name());
    if (out.kind == nullptr) return base::fail(Errc::inval, "unknown device type: " + std::string(one.name()));
    out.specifier = OTRY(out.kind->specifier(pairs_of(one)));
    return out;
}

Sxp image_sxp(const DomainConfig& config) {
    Sxp kind = Sxp::named(std::string(builder_of(config.guest)));
    add_fields(kind, config, Place::image);
    return Sxp::named("image").add(std::move(kind));
}

Sxp to_sxp(const DomainConfig& config) {
    Sxp out = Sxp::named("vm");
    add_fields(out, config, Place::vm);
    out.add(image_sxp(config));
    for (const DeviceKind& kind : device_kinds()) {
        for (size_t i = 0; i < kind.count(config); ++i) out.add(device_sxp(kind, config, i));
    }
    return out;
}

Outcome<DomainConfig> from_sxp(const Sxp& sxp) {
    if (sxp.name() != "vm" && sxp.name() != "domain") return base::fail(Errc::inval, "a domain configuration begins with (vm …");
    DomainConfig config;
    const Sxp* image = sxp.child("image");
    if (image == nullptr || image->children().empty()) return base::fail(Errc::inval, "(image …) is missing");
    OTRY(read_fields(sxp, *image->children().front(), config));
    OTRY(read_devices(sxp, config));
    OTRY(validate(config));
    return config;
}

}  // namespace config
