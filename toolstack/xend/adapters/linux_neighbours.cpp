// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/adapters/linux_neighbours.hpp"

#include <ifaddrs.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>

#include "toolstack/service/fd.hpp"
#include "toolstack/xend/adapters/announcements.hpp"

namespace xend {

using base::Outcome;

namespace {

/// Whether the kernel answers on this card for what it has routes to: `option` of the card, or of all.
bool answers(const std::string& family, const std::string& card, const std::string& option) {
    return std::ranges::any_of(std::array{card, std::string("all")}, [&](const std::string& which) {
        int on = 0;
        std::ifstream("/proc/sys/net/" + family + "/conf/" + which + "/" + option) >> on;
        return on != 0;
    });
}

WireCard::Own own_of(const void* address, const void* mask, size_t size) {
    WireCard::Own out{std::vector<std::byte>(size), 0};
    std::memcpy(out.address.data(), address, size);
    std::vector<uint8_t> bits(size);
    std::memcpy(bits.data(), mask, size);
    for (const uint8_t byte : bits) out.bits += static_cast<unsigned>(std::popcount(byte));
    return out;
}

void note(WireCard& card, const ifaddrs& one) {
    if (one.ifa_addr->sa_family == AF_PACKET) {
        const auto* link = reinterpret_cast<const sockaddr_ll*>(one.ifa_addr);
        card.index = link->sll_ifindex;
        if (link->sll_halen == card.mac.size()) std::memcpy(card.mac.data(), link->sll_addr, card.mac.size());
    } else if (one.ifa_addr->sa_family == AF_INET && one.ifa_netmask != nullptr) {
        card.own.push_back(own_of(&reinterpret_cast<const sockaddr_in*>(one.ifa_addr)->sin_addr,
                                  &reinterpret_cast<const sockaddr_in*>(one.ifa_netmask)->sin_addr, sizeof(in_addr)));
    } else if (one.ifa_addr->sa_family == AF_INET6 && one.ifa_netmask != nullptr) {
        card.own.push_back(own_of(&reinterpret_cast<const sockaddr_in6*>(one.ifa_addr)->sin6_addr,
                                  &reinterpret_cast<const sockaddr_in6*>(one.ifa_netmask)->sin6_addr, sizeof(in6_addr)));
    }
}

/// The Ethernet cards that are up, but for `without`.
Outcome<std::vector<WireCard>> cards_of_this_machine(const std::string& without) {
    ifaddrs* first = nullptr;
    if (::getifaddrs(&first) != 0) return service::system_failure("Cannot see the cards of this machine");
    const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> all(first, ::freeifaddrs);
    std::map<std::string, WireCard> cards;
    for (const ifaddrs* one = first; one != nullptr; one = one->ifa_next) {
        const bool speaks = (one->ifa_flags & IFF_UP) != 0 && (one->ifa_flags & IFF_LOOPBACK) == 0;
        if (one->ifa_addr != nullptr && speaks && without != one->ifa_name) note(cards[one->ifa_name], *one);
    }
    std::vector<WireCard> out;
    for (auto& [name, card] : cards) {
        card.answers_ipv4 = answers("ipv4", name, "proxy_arp");
        card.answers_ipv6 = answers("ipv6", name, "proxy_ndp");
        if (card.index != 0 && card.mac != MacAddress{}) out.push_back(std::move(card));
    }
    return out;
}

Outcome<> send(const Announcement& what) {
    sockaddr_ll to{};
    to.sll_family = AF_PACKET;
    to.sll_ifindex = what.card;
    to.sll_halen = sizeof(MacAddress);
    std::memcpy(to.sll_addr, what.frame.data(), sizeof(MacAddress));
    const service::Fd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
    if (fd && ::sendto(fd.get(), what.frame.data(), what.frame.size(), MSG_DONTWAIT, reinterpret_cast<const sockaddr*>(&to),
                       sizeof to) >= 0)
        return base::ok;
    return service::system_failure("Cannot say to neighbours");
}

}  // namespace

Outcome<> LinuxNeighbours::announce(base::DomId front, uint32_t devid, const config::Vif& vif) {
    const MacAddress mac = OTRY(mac_of(vif.mac));
    const std::string port = vif.vifname.empty() ? "vif" + std::to_string(front.raw) + "." + std::to_string(devid) : vif.vifname;
    std::error_code none;
    const auto bridge = std::filesystem::read_symlink("/sys/class/net/" + port + "/master", none);
    std::vector<Announcement> all;
    // Open vSwitch's ports have a master too, which is no bridge: what is said there nobody hears.
    if (!none && !std::filesystem::exists("/sys/class/net" / bridge.filename() / "bridge", none)) return base::ok;
    if (!bridge.empty()) all.push_back({static_cast<int>(::if_nametoindex(bridge.filename().c_str())), reverse_arp(mac)});
    else if (!vif.ip.empty()) all = routed_announcements(vif.ip, OTRY(cards_of_this_machine(port)));
    for (const Announcement& one : all) OTRY(send(one).context("where " + vif.mac + " is"));
    return base::ok;
}

}  // namespace xend
