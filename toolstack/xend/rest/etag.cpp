// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/rest/etag.hpp"

#include <openssl/evp.h>

#include <array>

namespace xend::rest {

std::string etag_of(std::string_view body) {
    constexpr size_t shown = 16;
    constexpr std::string_view digits = "0123456789abcdef";
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned size = 0;
    EVP_Digest(body.data(), body.size(), digest.data(), &size, EVP_sha256(), nullptr);
    std::string out = "\"";
    for (size_t i = 0; i < shown; ++i) {
        out += digits[digest[i] >> 4U];
        out += digits[digest[i] & 15U];
    }
    return out + "\"";
}

bool names_etag(std::string_view list, std::string_view etag, Compare how) {
    while (!list.empty()) {
        if (list.front() == ' ' || list.front() == '\t' || list.front() == ',') {
            list.remove_prefix(1);
            continue;
        }
        if (list.front() == '*') return true;
        const bool weak = list.starts_with("W/");
        if (weak) list.remove_prefix(2);
        if (!list.starts_with('"')) return false;
        const size_t end = list.find('"', 1);
        if (end == std::string_view::npos) return false;
        if (list.substr(0, end + 1) == etag && (!weak || how == Compare::weak)) return true;
        list.remove_prefix(end + 1);
    }
    return false;
}

}  // namespace xend::rest
