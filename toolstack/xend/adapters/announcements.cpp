// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/adapters/announcements.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <optional>
#include <span>
#include <sstream>

#include "toolstack/config/uuid.hpp"

namespace xend {

using base::Errc;
using base::Outcome;
using Address = std::vector<std::byte>;

namespace {

constexpr uint16_t ethertype_arp = 0x0806, ethertype_rarp = 0x8035, ethertype_ipv6 = 0x86dd;
constexpr uint16_t arp_request = 1, rarp_request = 3;
constexpr size_t shortest_frame = 60;
constexpr size_t ipv4_size = 4, ipv6_size = 16;
constexpr uint8_t icmpv6 = 58, neighbour_advertisement = 136;
// A router speaks, nobody has asked, and what was known before counts no more.
constexpr uint32_t router_and_override = 0xa000'0000;
constexpr uint8_t its_link_address = 2;  // an option of so many times 8 bytes
constexpr MacAddress to_all = {std::byte{0xff}, std::byte{0xff}, std::byte{0xff},
                               std::byte{0xff}, std::byte{0xff}, std::byte{0xff}};
constexpr MacAddress to_ipv6_hosts = {std::byte{0x33}, std::byte{0x33}, std::byte{0}, std::byte{0}, std::byte{0}, std::byte{1}};

/// Puts bytes behind each other, numbers in network order.
class Writer {
    Frame out_;

public:
    Writer& bytes(std::span<const std::byte> more) {
        out_.insert(out_.end(), more.begin(), more.end());
        return *this;
    }
    template <class T>
    Writer& number(T value) {
        for (size_t i = sizeof value; i-- > 0;) out_.push_back(static_cast<std::byte>(value >> (8 * i)));
        return *this;
    }
    Frame take() && { return std::move(out_); }
};

Frame arp_frame(uint16_t type, uint16_t operation, const MacAddress& mac, std::span<const std::byte> sender,
                const MacAddress& target, std::span<const std::byte> asked) {
    constexpr uint16_t ethernet = 1, ipv4 = 0x0800;
    Writer out;
    out.bytes(to_all).bytes(mac).number(type);
    out.number(ethernet).number(ipv4).number(uint8_t{sizeof(MacAddress)}).number(uint8_t{ipv4_size}).number(operation);
    out.bytes(mac).bytes(sender).bytes(target).bytes(asked);
    Frame frame = std::move(out).take();
    frame.resize(shortest_frame);
    return frame;
}

/// The Internet's checksum (RFC 1071) of an even number of bytes.
uint16_t checksum(std::span<const std::byte> bytes) {
    uint32_t sum = 0;
    for (size_t i = 0; i + 1 < bytes.size(); i += 2)
        sum += std::to_integer<uint32_t>(bytes[i]) << 8U | std::to_integer<uint32_t>(bytes[i + 1]);
    while (sum >> 16U != 0) sum = (sum & 0xffffU) + (sum >> 16U);
    return static_cast<uint16_t>(~sum);
}

Frame advertisement(const MacAddress& mac, std::span<const std::byte> own, std::span<const std::byte> target) {
    Address all_nodes(ipv6_size);  // ff02::1
    all_nodes[0] = std::byte{0xff}, all_nodes[1] = std::byte{2}, all_nodes.back() = std::byte{1};
    const auto message = [&](uint16_t sum) {
        Writer out;
        out.number(neighbour_advertisement).number(uint8_t{0}).number(sum).number(router_and_override).bytes(target);
        out.number(its_link_address).number(uint8_t{1}).bytes(mac);
        return std::move(out).take();
    };
    const Frame unsummed = message(0);
    Writer summed;
    summed.bytes(own).bytes(all_nodes).number(static_cast<uint32_t>(unsummed.size())).number(uint32_t{icmpv6}).bytes(unsummed);
    constexpr uint32_t version = 6U << 28U;
    constexpr uint8_t never_forwarded = 255;
    Writer out;
    out.bytes(to_ipv6_hosts).bytes(mac).number(ethertype_ipv6);
    out.number(version).number(static_cast<uint16_t>(unsummed.size())).number(icmpv6).number(never_forwarded);
    out.bytes(own).bytes(all_nodes).bytes(message(checksum(std::move(summed).take())));
    return std::move(out).take();
}

std::optional<Address> address_of(std::string text) {
    const bool is_ipv6 = text.find(':') != std::string::npos;
    const size_t slash = text.find('/');
    if (slash != std::string::npos && text.substr(slash) != (is_ipv6 ? "/128" : "/32")) return std::nullopt;
    text.resize(std::min(slash, text.size()));
    Address out(is_ipv6 ? ipv6_size : ipv4_size);
    if (::inet_pton(is_ipv6 ? AF_INET6 : AF_INET, text.c_str(), out.data()) != 1) return std::nullopt;
    return out;
}

bool has(const WireCard::Own& own, const Address& address) {
    if (own.address.size() != address.size() || own.bits > 8 * address.size()) return false;
    const size_t whole = own.bits / 8, rest = own.bits % 8;
    if (!std::equal(address.begin(), address.begin() + static_cast<std::ptrdiff_t>(whole), own.address.begin())) return false;
    if (rest == 0) return true;
    return ((address[whole] ^ own.address[whole]) >> (8 - rest)) == std::byte{0};
}

}  // namespace

Outcome<MacAddress> mac_of(const std::string& text) {
    const auto mac = config::normal_mac(text);
    if (!mac) return base::fail(Errc::inval, "'" + text.substr(0, 40) + "' is no MAC address");
    MacAddress out{};
    for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::byte>(std::stoul(mac->substr(3 * i, 2), nullptr, 16));
    return out;
}

Frame reverse_arp(const MacAddress& mac) {
    const std::array<std::byte, ipv4_size> unknown{};
    return arp_frame(ethertype_rarp, rarp_request, mac, unknown, mac, unknown);
}

std::vector<Announcement> routed_announcements(const std::string& ip, const std::vector<WireCard>& cards) {
    std::vector<Announcement> out;
    std::istringstream texts(ip);
    for (std::string text; texts >> text;) {
        const auto address = address_of(text);
        if (!address) continue;
        const bool is_ipv6 = address->size() == ipv6_size;
        for (const WireCard& card : cards) {
            if (!(is_ipv6 ? card.answers_ipv6 : card.answers_ipv4)) continue;
            const auto own = std::ranges::find_if(card.own, [&](const WireCard::Own& one) { return has(one, *address); });
            if (own == card.own.end()) continue;
            out.push_back({card.index, is_ipv6
                                           ? advertisement(card.mac, own->address, *address)
                                           : arp_frame(ethertype_arp, arp_request, card.mac, *address, MacAddress{}, *address)});
        }
    }
    return out;
}

}  // namespace xend
