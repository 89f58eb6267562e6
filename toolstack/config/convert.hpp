// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "toolstack/config/load.hpp"

namespace config {

/// The forms in which the configuration of a domain is written down.
enum class FileForm : uint8_t {
    file,     // of xm and xl
    sxp,      // (vm …)
    json,     // ours, of the same fields
    libxl,    // the JSON of xl create -n and xl list -l
    libvirt,  // <domain type='xen'>
};

/// "file" (also "xm", "xl", "python"), "sxp", "json", "libxl", "libvirt" (also "xml").
std::optional<FileForm> file_form(std::string_view name);
std::string_view name_of(FileForm form);
/// By how it begins: every form but the first has a bracket of its own.
FileForm guess_form(std::string_view text);

/// Reads and validates one. `settings` and `run` are for a file alone. Errors: those of its reader; they begin with `where`.
base::Outcome<Loaded> read_form(FileForm form, std::string_view text, const std::string& where, std::span<const Setting> settings,
                                const Runner& run);
/// Writes one, its last line ended. Errors: opnotsupp, for what would come back as another machine.
base::Outcome<std::string> write_form(FileForm form, const DomainConfig& config);

/// What of `had` is not in `got`, a line each: "pool: 'fast' is lost", "vif 1, rate: '1Mb/s' becomes '126976B/s'". Two ways to say the same are
/// no difference: parts of the kernel's command line and the whole of it, a limit that is the same as the memory.
std::vector<std::string> differences(const DomainConfig& had, const DomainConfig& got);

}  // namespace config
