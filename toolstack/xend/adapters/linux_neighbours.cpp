// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/adapters/linux_neighbours.hpp"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <filesystem>

#include "toolstack/config/uuid.hpp"
#include "toolstack/service/fd.hpp"

namespace xend {

using base::Errc;
using base::Outcome;

namespace {

constexpr uint16_t rarp_type = 0x8035;

}  // namespace

Outcome<std::array<std::byte, 60>> reverse_arp(const std::string& text) {
    const auto mac = config::normal_mac(text);
    if (!mac) return base::fail(Errc::inval, "'" + text.substr(0, 40) + "' is no MAC address");
    std::array<std::byte, 6> address{};
    for (size_t i = 0; i < address.size(); ++i)
        address[i] = static_cast<std::byte>(std::stoul(mac->substr(3 * i, 2), nullptr, 16));
    std::array<std::byte, 60> frame{};
    auto at = std::ranges::fill_n(frame.begin(), 6, std::byte{0xff});  // to all
    at = std::ranges::copy(address, at).out;
    constexpr std::array<uint8_t, 10> head = {
        rarp_type >> 8U, rarp_type & 0xffU, 0, 1, 8, 0, 6, 4, 0, 3};  // Ethernet, IPv4; a request
    at = std::ranges::transform(head, at, [](uint8_t byte) { return std::byte{byte}; }).out;
    at = std::ranges::copy(address, at).out + 4;  // whose IPv4 address is not known
    std::ranges::copy(address, at);
    return frame;
}

Outcome<> LinuxNeighbours::announce(base::DomId front, uint32_t devid, const std::string& mac) {
    const auto frame = OTRY(reverse_arp(mac));
    std::error_code none;
    const std::string port = "vif" + std::to_string(front.raw) + "." + std::to_string(devid);
    const auto bridge = std::filesystem::read_symlink("/sys/class/net/" + port + "/master", none);
    if (none) return base::ok;  // it is on no bridge: nobody learns where it is
    sockaddr_ll to{};
    to.sll_family = AF_PACKET;
    to.sll_protocol = htons(rarp_type);
    to.sll_ifindex = static_cast<int>(::if_nametoindex(bridge.filename().c_str()));
    to.sll_halen = 6;
    std::ranges::fill_n(to.sll_addr, 6, uint8_t{0xff});
    const service::Fd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
    if (!fd ||
        ::sendto(fd.get(), frame.data(), frame.size(), MSG_DONTWAIT, reinterpret_cast<const sockaddr*>(&to), sizeof to) < 0)
        return service::system_failure("Cannot say on " + bridge.filename().string() + " where " + mac + " is");
    return base::ok;
}

}  // namespace xend
