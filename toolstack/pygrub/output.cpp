// SPDX-License-Identifier: Apache-2.0
#include "toolstack/pygrub/output.hpp"

namespace pygrub {

namespace {

/// The guest wrote these words: none of them may end the string that they stand in.
std::string quoted(const std::string& text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    return out + "\"";
}

}  // namespace

std::optional<OutputFormat> output_format(const std::string& name) {
    if (name == "sxp") return OutputFormat::sxp;
    if (name == "simple") return OutputFormat::simple;
    if (name == "simple0") return OutputFormat::simple0;
    return std::nullopt;
}

std::string print_boot(const Boot& boot, OutputFormat format) {
    if (format == OutputFormat::sxp) {
        std::string out = "linux (kernel " + boot.kernel + ")";
        if (!boot.ramdisk.empty()) out += "(ramdisk " + boot.ramdisk + ")";
        if (!boot.args.empty()) out += "(args " + quoted(boot.args) + ")";
        return out + "\n";
    }
    const char end = format == OutputFormat::simple ? '\n' : '\0';
    std::string out = "kernel " + boot.kernel + end;
    if (!boot.ramdisk.empty()) out += "ramdisk " + boot.ramdisk + end;
    if (!boot.args.empty()) out += "args " + boot.args + end;
    return out;
}

}  // namespace pygrub
