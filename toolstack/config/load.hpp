// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/outcome.hpp"
#include "toolstack/config/domain_config.hpp"
#include "toolstack/config/script.hpp"

namespace config {

/// `name=value` as the command line has it. For list variables (disk, vif) every mention adds an element.
struct Setting {
    std::string name;
    std::string value;
};

/// A configuration as read, with what its owner should know about it.
struct Loaded {
    DomainConfig config;
    std::vector<std::string> warnings;  // "FILE:LINE:COL: unknown variable 'x'"
};

/// Gives the variables of a file that is a program; run_program() is one.
using Runner = std::function<base::Outcome<Variables>(std::string_view text, const std::string& file, const Variables& preset)>;

/// Evaluates `text` and takes a DomainConfig from its variables; settings win over the file. Not yet validate()d.
/// `run` gets what is no plain declaration; without one it is refused. Errors: Errc::inval, nosys or toobig,
/// "FILE:LINE:COL: what is wrong".
base::Outcome<Loaded> parse_config(std::string_view text, const std::string& file, std::span<const Setting> settings = {},
                                   const Runner& run = {});

/// The text of a configuration, whatever its form. Errors: noent, access, isdir, io, toobig: "Cannot open config file "X": reason".
base::Outcome<std::string> read_config(const std::string& file);

/// Reads and parses `file`. Errors: also noent, access, isdir: "Cannot open config file "X": reason".
base::Outcome<Loaded> load_config(const std::string& file, std::span<const Setting> settings = {}, const Runner& run = {});

/// Where `name` is: itself when it exists (relative to here), else below each element of the colon-separated
/// `search_path`. Errors: noent `Cannot open config file "X"`.
base::Outcome<std::string> find_config(const std::string& name, std::string_view search_path = ".:/etc/xen");

/// The whole of a file, up to `limit` bytes. Errors: noent, access, isdir, io, toobig.
base::Outcome<std::string> read_file(const std::string& path, size_t limit);

}  // namespace config
