// SPDX-License-Identifier: Apache-2.0
#pragma once

// What stands in a saved domain's file in front of its memory.

#include <memory>
#include <string>
#include <vector>

#include "lib/proto/saved/reader.hpp"
#include "toolstack/config/domain_config.hpp"
#include "toolstack/migration/saved_file.hpp"

namespace xend {

/// A file that is open, read up to the domain's memory.
struct SavedDomain {
    std::unique_ptr<migration::CheckedFile> source;
    std::unique_ptr<proto::saved::Reader> image;  // reads from `source`
    config::DomainConfig config;
    std::vector<std::string> warnings;  // what its owner should know; they are in the log
};

/// Errors: of the file; badmsg, opnotsupp, inval: it is no saved domain, or none that can be understood.
base::Outcome<SavedDomain> open_saved(const std::string& path);

/// What stands in front of the memory, whether that is whole or not. Errors: of open_saved().
base::Outcome<config::DomainConfig> saved_config(const std::string& path);

/// For xl the configuration in its words; behind it, where xl does not look, all of it in ours.
proto::saved::FileConfig file_config(const config::DomainConfig& config);

}  // namespace xend
