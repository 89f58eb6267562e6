// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xenstored/path.hpp"

#include <algorithm>

namespace xenstored {

namespace {

bool is_path_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '/' || c == '_' ||
           c == '@';
}

/// What is left of an absolute path below /local/domain/N/, or the whole path.
std::string_view local_part(std::string_view path) {
    constexpr std::string_view prefix = "/local/domain/";
    if (!path.starts_with(prefix)) return path;
    const size_t digits_end = path.find_first_not_of("0123456789", prefix.size());
    if (digits_end == std::string_view::npos || digits_end == prefix.size() || path[digits_end] != '/') return path;
    return path.substr(digits_end + 1);
}

}  // namespace

std::string home_of(base::DomId domid) { return "/local/domain/" + std::to_string(domid.raw); }

bool is_valid_path(std::string_view path) {
    if (path.empty() || path[0] != '/' || path.size() > absolute_path_max) return false;
    if (path == "/") return true;
    if (path.back() == '/' || path.find("//") != std::string_view::npos) return false;
    if (!std::all_of(path.begin(), path.end(), is_path_character)) return false;
    return local_part(path).size() <= relative_path_max;
}

base::Result<std::string> canonical(std::string_view sent, const std::string& home) {
    if (is_special(sent)) {
        if (sent.size() > relative_path_max) return base::Err{base::Errc::inval};
        return std::string(sent);
    }
    std::string path = sent.starts_with('/') ? std::string(sent) : home + "/" + std::string(sent);
    if (sent.empty() || !is_valid_path(path)) return base::Err{base::Errc::inval};
    return path;
}

std::string_view parent_of(std::string_view path) {
    const size_t slash = path.rfind('/');
    return slash == 0 || slash == std::string_view::npos ? std::string_view("/") : path.substr(0, slash);
}

std::string_view leaf_of(std::string_view path) { return path.substr(path.rfind('/') + 1); }

std::string joined(std::string_view parent, std::string_view leaf) {
    std::string path(parent);
    if (path != "/") path += '/';
    path += leaf;
    return path;
}

}  // namespace xenstored
