// SPDX-License-Identifier: Apache-2.0
#include "toolstack/config/uuid.hpp"

#include <algorithm>
#include <cstdio>
#include <random>

namespace config {

namespace {

int digit_of(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

}  // namespace

bool Uuid::is_nil() const {
    return std::all_of(bytes.begin(), bytes.end(), [](uint8_t b) { return b == 0; });
}

std::string Uuid::text() const {
    static const char* const digits = "0123456789abcdef";
    std::string out;
    for (size_t i = 0; i < bytes.size(); ++i) {
        if (i == 4 || i == 6 || i == 8 || i == 10) out += '-';
        out += digits[bytes[i] >> 4U];
        out += digits[bytes[i] & 15U];
    }
    return out;
}

std::optional<Uuid> Uuid::parse(std::string_view text) {
    const bool dashed = text.size() == 36;
    if (!dashed && text.size() != 32) return std::nullopt;
    Uuid out;
    size_t nibble = 0;
    for (size_t i = 0; i < text.size(); ++i) {
        if (dashed && (i == 8 || i == 13 || i == 18 || i == 23)) {
            if (text[i] != '-') return std::nullopt;
            continue;
        }
        const int digit = digit_of(text[i]);
        if (digit < 0) return std::nullopt;
        uint8_t& byte = out.bytes[nibble / 2];
        byte = static_cast<uint8_t>((unsigned{byte} << 4U) | static_cast<unsigned>(digit));
        ++nibble;
    }
    return out;
}

Uuid Uuid::random() {
    std::random_device source;  // the kernel's generator
    Uuid out;
    for (uint8_t& byte : out.bytes) byte = static_cast<uint8_t>(source());
    out.bytes[6] = static_cast<uint8_t>((out.bytes[6] & 0x0fU) | 0x40U);
    out.bytes[8] = static_cast<uint8_t>((out.bytes[8] & 0x3fU) | 0x80U);
    return out;
}

std::string derived_mac(const Uuid& uuid, uint32_t index) {
    // FNV-1a over uuid and index: spreads well, needs no library, and must never change.
    uint64_t hash = 14695981039346656037ULL;
    const auto mix = [&hash](uint8_t byte) { hash = (hash ^ byte) * 1099511628211ULL; };
    for (const uint8_t byte : uuid.bytes) mix(byte);
    for (unsigned shift = 0; shift < 32; shift += 8) mix(static_cast<uint8_t>(index >> shift));
    const auto folded = static_cast<uint32_t>((hash >> 32U) ^ hash);
    std::array<char, 24> buffer{};
    // Classic xend keeps the fourth byte below 0x80.
    std::snprintf(buffer.data(), buffer.size(), "00:16:3e:%02x:%02x:%02x", (folded >> 16U) & 0x7fU, (folded >> 8U) & 0xffU,
                  folded & 0xffU);
    return buffer.data();
}

std::optional<std::string> normal_mac(std::string_view text) {
    std::string out;
    unsigned value = 0, digits = 0, groups = 0;
    for (size_t i = 0; i <= text.size(); ++i) {
        if (i == text.size() || text[i] == ':' || text[i] == '-') {
            if (digits == 0 || ++groups > 6) return std::nullopt;
            if (groups == 1 && (value & 1U) != 0) return std::nullopt;  // multicast
            std::array<char, 4> buffer{};
            std::snprintf(buffer.data(), buffer.size(), "%02x", value & 0xffU);
            if (groups != 1) out += ':';
            out += buffer.data();
            value = digits = 0;
            continue;
        }
        const int digit = digit_of(text[i]);
        if (digit < 0 || ++digits > 2) return std::nullopt;
        value = value * 16 + static_cast<unsigned>(digit);
    }
    if (groups != 6) return std::nullopt;
    return out;
}

}  // namespace config
