// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/core/vnet.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <set>

#include "lib/base/number.hpp"

namespace xend {

using base::Errc;
using base::Outcome;
using proto::Sxp;

namespace {

/// One that the kernel has for a card, and programs take for a name.
bool is_interface(std::string_view name) {
    const auto fits = [](char c) {
        const bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        return alnum || c == '_' || c == '-' || c == '.';
    };
    const bool begins = !name.empty() && name[0] != '-' && name[0] != '.';
    return begins && name.size() <= 15 && std::ranges::all_of(name, fits);
}

/// The address in host order; nothing when it is none.
std::optional<uint32_t> ipv4(const std::string& text) {
    in_addr address{};
    if (::inet_pton(AF_INET, text.c_str(), &address) != 1) return std::nullopt;
    return ntohl(address.s_addr);
}

base::Failure wrong(std::string_view word, std::string_view value, std::string_view why) {
    return base::fail(Errc::inval,
                      "vnet: (" + std::string(word) + " " + std::string(value.substr(0, 60)) + ") " + std::string(why));
}

Outcome<> take_name(std::string& to, std::string_view word, const std::string& value) {
    if (!is_interface(value))
        return wrong(word, value, "is no name of an interface: up to 15 letters, digits, and _ - . behind the first");
    to = value;
    return base::ok;
}

Outcome<> take_number(uint32_t& to, std::string_view word, const std::string& value, uint32_t most) {
    const auto number = base::parse_number<uint32_t>(value);
    if (!number || *number == 0 || *number > most) return wrong(word, value, "is no number from 1 to " + std::to_string(most));
    to = *number;
    return base::ok;
}

Outcome<> take_group(Vnet& vnet, const std::string& value) {
    const auto address = ipv4(value);
    if (!address || (*address >> 28U) != 0xe)
        return wrong("group", value, "is no IPv4 multicast address: 224.0.0.0 to 239.255.255.255");
    vnet.group = value;
    return base::ok;
}

Outcome<> take_peers(Vnet& vnet, const Sxp& line) {
    for (const Sxp* one : line.children()) {
        const auto address = ipv4(one->text());
        const bool of_a_host = address && (*address >> 28U) < 0xe && (*address >> 24U) != 0;
        if (!of_a_host) return wrong("peers", one->text(), "is no IPv4 address of a host");
        if (std::ranges::find(vnet.peers, one->text()) != vnet.peers.end()) return wrong("peers", one->text(), "is given twice");
        vnet.peers.push_back(one->text());
    }
    if (vnet.peers.empty() || vnet.peers.size() > most_vnet_peers)
        return base::fail(Errc::inval, "vnet: (peers …) has from 1 to " + std::to_string(most_vnet_peers) + " addresses");
    return base::ok;
}

Outcome<> take_security(const std::string& value) {
    if (value == "none") return base::ok;
    if (value == "auth" || value == "conf")
        return wrong("security", value, "is not supported: VXLAN has no keys. Carry it by IPsec or WireGuard, and say none");
    return wrong("security", value, "is none of none, auth, conf");
}

Outcome<> take(Vnet& vnet, const Sxp& line) {
    const std::string word(line.name());
    if (word == "peers") return take_peers(vnet, line);
    const auto value = line.value();
    if (!value || value->empty()) return base::fail(Errc::inval, "vnet: (" + word.substr(0, 60) + " …) has one value");
    if (word == "id") {
        const auto id = config::VnetId::parse(*value);
        if (!id) return wrong(word, *value, id.failure().text);
        vnet.id = *id;
        return base::ok;
    }
    if (word == "bridge") return take_name(vnet.bridge, word, *value);
    if (word == "vnetif") return take_name(vnet.vnetif, word, *value);
    if (word == "dev") return take_name(vnet.device, word, *value);
    if (word == "group") return take_group(vnet, *value);
    if (word == "security") return take_security(*value);
    if (word == "vni") return take_number(vnet.vni, word, *value, 0xffffff);
    if (word == "port") {
        uint32_t port = 0;
        OTRY(take_number(port, word, *value, 65535));
        vnet.port = static_cast<uint16_t>(port);
        return base::ok;
    }
    return base::fail(Errc::inval, "vnet: the word '" + word.substr(0, 60) + "' is not known");
}

/// What was left out.
Outcome<> fill_in(Vnet& vnet) {
    if (vnet.vni == 0) vnet.vni = vnet.id.vni();
    if (vnet.vni == 0)
        return base::fail(Errc::inval,
                          "vnet: the id " + vnet.id.text() +
                              " has more than the 24 bits of VXLAN: (vni NUMBER), the same on every host, stands for it");
    const std::string number = vnet.id.text();
    const std::string tail = number.find(':') == std::string::npos ? number : std::to_string(vnet.vni);
    if (vnet.bridge.empty()) vnet.bridge = "vnet" + tail;
    if (vnet.vnetif.empty()) vnet.vnetif = "vnif" + tail;
    if (vnet.bridge == vnet.vnetif) return wrong("vnetif", vnet.vnetif, "is the bridge's name too");
    if (!vnet.group.empty() && !vnet.peers.empty())
        return base::fail(Errc::inval, "vnet: hosts find each other by (group …) or by (peers …), not by both");
    if (vnet.group.empty() && vnet.peers.empty()) vnet.group = vnet_group;
    return base::ok;
}

}  // namespace

Outcome<Vnet> read_vnet(const Sxp& description) {
    if (description.name() != "vnet") return base::fail(Errc::inval, "vnet: (vnet (id ID) …) is wanted");
    Vnet vnet;
    std::set<std::string_view> seen;
    for (const Sxp* line : description.children()) {
        if (!line->is_list() || line->name().empty()) return base::fail(Errc::inval, "vnet: every word is written (word value)");
        if (!seen.insert(line->name()).second)
            return base::fail(Errc::inval, "vnet: (" + std::string(line->name().substr(0, 60)) + " …) is given twice");
        OTRY(take(vnet, *line));
    }
    if (!seen.contains("id")) return base::fail(Errc::inval, "vnet: (id ID) is missing");
    OTRY(fill_in(vnet));
    return vnet;
}

Sxp Vnet::sxp() const {
    Sxp out = Sxp::named("vnet");
    out.add("id", id.text()).add("bridge", bridge).add("vnetif", vnetif).add("security", "none").add("vni", std::to_string(vni));
    if (!group.empty()) out.add("group", group);
    if (!device.empty()) out.add("dev", device);
    if (!peers.empty()) {
        Sxp all = Sxp::named("peers");
        for (const std::string& peer : peers) all.add(Sxp::atom(peer));
        out.add(std::move(all));
    }
    return out.add("port", std::to_string(port));
}

std::vector<std::string> Vnet::words() const {
    std::vector<std::string> out = {"id=" + id.text(), "bridge=" + bridge, "vnetif=" + vnetif, "vni=" + std::to_string(vni),
                                    "port=" + std::to_string(port)};
    if (!group.empty()) out.push_back("group=" + group);
    if (!device.empty()) out.push_back("dev=" + device);
    for (const std::string& peer : peers) out.push_back("peer=" + peer);
    return out;
}

}  // namespace xend
