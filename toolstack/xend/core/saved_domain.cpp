// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/core/saved_domain.hpp"

#include "toolstack/config/domain_file.hpp"
#include "toolstack/config/domain_sxp.hpp"
#include "toolstack/config/libxl_json.hpp"
#include "toolstack/service/log.hpp"

namespace xend {

using base::Outcome;
using proto::saved::FileConfig;

namespace {

constexpr const char* our_tail = "xenolith";

/// The text is what counts, as for xl: what else we know of the domain is taken only as long as it says the same.
Outcome<config::DomainConfig> config_of(const FileConfig& file, const std::string& path, std::vector<std::string>& warnings) {
    const std::string where = "the configuration in " + path;
    if (const auto ours = proto::parse_sxp(file.tail); ours && ours->name() == our_tail && ours->child("vm") != nullptr) {
        auto config = config::from_sxp(*ours->child("vm")).context(where);
        if (!config || config::to_file(*config) == file.text) return config;
        warnings.push_back(where + " was changed since the domain was saved: the text in it counts");
    }
    auto loaded = OTRY(file.json ? config::from_libxl_json(file.text, where) : config::parse_config(file.text, where));
    OTRY(config::validate(loaded.config).context(where));
    warnings.insert(warnings.end(), loaded.warnings.begin(), loaded.warnings.end());
    return std::move(loaded.config);
}

}  // namespace

FileConfig file_config(const config::DomainConfig& config) {
    const proto::Sxp ours = proto::Sxp::named(our_tail).add(config::to_sxp(config));
    return {false, config::to_file(config), proto::to_string(ours)};
}

Outcome<config::DomainConfig> saved_config(const std::string& path) {
    const auto source = OTRY(migration::FileSource::open(path));
    const FileConfig file = OTRY(proto::saved::Reader(*source).file().context(path));
    std::vector<std::string> known;  // its owner is told when it is made
    return config_of(file, path, known);
}

Outcome<SavedDomain> open_saved(const std::string& path) {
    SavedDomain out;
    out.source = OTRY(migration::CheckedFile::open(path));
    out.image = std::make_unique<proto::saved::Reader>(*out.source);
    const FileConfig file = OTRY(out.image->file().context(path));
    out.config = OTRY(config_of(file, path, out.warnings));
    for (const std::string& warning : out.warnings) service::log(service::LogLevel::warning, warning);
    return out;
}

}  // namespace xend
