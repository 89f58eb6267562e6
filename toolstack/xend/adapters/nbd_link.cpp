// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/adapters/nbd_link.hpp"

#include <linux/genetlink.h>
#include <linux/nbd-netlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string_view>

#include "lib/base/number.hpp"

namespace xend {

using base::Errc;
using base::Outcome;
using service::Fd;
using service::system_failure;

namespace {

constexpr uint64_t sector = 512;

/// A request: a header and attributes behind it.
class Request {
    std::string bytes_;

    template <class T>
    void raw(const T& value) {
        bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
    void pad() { bytes_.resize(NLMSG_ALIGN(bytes_.size())); }

public:
    Request(uint16_t family, uint8_t command, uint16_t flags) {
        nlmsghdr head{};
        head.nlmsg_type = family;
        head.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
        genlmsghdr generic{};
        generic.cmd = command;
        generic.version = 1;
        raw(head);
        raw(generic);
    }
    Request& add(uint16_t type, std::string_view value) {
        raw(nlattr{static_cast<uint16_t>(NLA_HDRLEN + value.size()), type});
        bytes_ += value;
        pad();
        return *this;
    }
    template <class T>
    Request& number(uint16_t type, T value) {
        return add(type, {reinterpret_cast<const char*>(&value), sizeof value});
    }
    const std::string& finish() {
        const auto size = static_cast<uint32_t>(bytes_.size());
        bytes_.replace(0, sizeof size, reinterpret_cast<const char*>(&size), sizeof size);
        return bytes_;
    }
};

template <class T>
std::optional<T> read_as(std::string_view bytes) {
    T out{};
    if (bytes.size() < sizeof out) return std::nullopt;
    std::memcpy(&out, bytes.data(), sizeof out);
    return out;
}

/// The value of an attribute of an answer.
std::optional<std::string_view> attribute(std::string_view attributes, uint16_t wanted) {
    while (const auto head = read_as<nlattr>(attributes)) {
        if (head->nla_len < NLA_HDRLEN || head->nla_len > attributes.size()) break;
        if ((head->nla_type & NLA_TYPE_MASK) == wanted) return attributes.substr(NLA_HDRLEN, head->nla_len - NLA_HDRLEN);
        attributes.remove_prefix(std::min<size_t>(NLA_ALIGN(head->nla_len), attributes.size()));
    }
    return std::nullopt;
}

/// Sends the request and reads until Linux says how it went: the attributes of its answer, if it had one.
Outcome<std::string> ask(const Fd& socket, const std::string& request, const std::string& what) {
    if (::send(socket.get(), request.data(), request.size(), 0) < 0) return system_failure(what);
    std::string answer;
    std::array<char, 8192> buffer{};
    for (;;) {
        const ssize_t got = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return system_failure(what);
        std::string_view left(buffer.data(), static_cast<size_t>(got));
        while (const auto head = read_as<nlmsghdr>(left)) {
            if (head->nlmsg_len < NLMSG_HDRLEN || head->nlmsg_len > left.size()) break;
            const std::string_view body = left.substr(NLMSG_HDRLEN, head->nlmsg_len - NLMSG_HDRLEN);
            if (head->nlmsg_type == NLMSG_ERROR) {
                errno = -read_as<int32_t>(body).value_or(-EPROTO);
                if (errno != 0) return system_failure(what);
                return answer;
            }
            if (body.size() >= GENL_HDRLEN) answer = body.substr(GENL_HDRLEN);
            left.remove_prefix(std::min<size_t>(NLMSG_ALIGN(head->nlmsg_len), left.size()));
        }
    }
}

/// The first of the groups that a family has: nbd's one.
uint32_t first_group(std::string_view answer) {
    const auto groups = attribute(answer, CTRL_ATTR_MCAST_GROUPS);
    const auto first = groups ? read_as<nlattr>(*groups) : std::nullopt;
    if (!first || first->nla_len < NLA_HDRLEN || first->nla_len > groups->size()) return 0;
    const auto id = attribute(groups->substr(NLA_HDRLEN, first->nla_len - NLA_HDRLEN), CTRL_ATTR_MCAST_GRP_ID);
    return id ? read_as<uint32_t>(*id).value_or(0) : 0;
}

std::string nested(uint16_t type, std::string_view value) {
    const nlattr head{static_cast<uint16_t>(NLA_HDRLEN + value.size()), type};
    return std::string(reinterpret_cast<const char*>(&head), sizeof head).append(value);
}

}  // namespace

Outcome<NbdLink> NbdLink::open() {
    Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC));
    const timeval patience{10, 0};
    if (!socket || ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0)
        return system_failure("Cannot speak with Linux' drivers (netlink)");
    const std::string name = "nbd";
    const std::string_view text(name.c_str(), name.size() + 1);  // with its final zero
    auto said = ask(socket, Request(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, NLM_F_ACK).add(CTRL_ATTR_FAMILY_NAME, text).finish(),
                    "Cannot ask for Linux' driver nbd");
    if (!said) return std::move(said).take_failure();
    const auto id = attribute(*said, CTRL_ATTR_FAMILY_ID);
    const auto family = id ? read_as<uint16_t>(*id) : std::nullopt;
    if (!family) return base::fail(Errc::noent, "Linux does not name its driver nbd");
    return NbdLink(std::move(socket), *family, first_group(*said));
}

Outcome<> NbdLink::hear_deaths() {
    if (deaths_ == 0) return base::fail(Errc::noent, "Linux does not tell of servers that died");
    if (::setsockopt(socket_.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &deaths_, sizeof deaths_) != 0)
        return system_failure("Cannot hear of servers that died");
    return base::ok;
}

bool NbdLink::heard_deaths() {
    std::array<char, 8192> buffer{};
    for (bool heard = false;; heard = true) {
        // Too many of them are an error, and news all the same.
        if (::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT) < 0 && errno != ENOBUFS) return heard;
    }
}

Outcome<uint32_t> NbdLink::connect(int socket, const NbdExport& what, const std::string& owner) {
    const auto fd = static_cast<uint32_t>(socket);
    const std::string number = nested(NBD_SOCK_FD, {reinterpret_cast<const char*>(&fd), sizeof fd});
    const std::string sockets = nested(NBD_SOCK_ITEM | NLA_F_NESTED, number);
    Request request(family_, NBD_CMD_CONNECT, NLM_F_ACK);
    request.number(NBD_ATTR_SIZE_BYTES, what.bytes / sector * sector).number(NBD_ATTR_BLOCK_SIZE_BYTES, sector);
    request.number(NBD_ATTR_SERVER_FLAGS, uint64_t{what.flags}).add(NBD_ATTR_SOCKETS | NLA_F_NESTED, sockets);
    request.add(NBD_ATTR_BACKEND_IDENTIFIER, {owner.c_str(), owner.size() + 1});
    const std::string answer = OTRY(ask(socket_, request.finish(), "Cannot make a network block device"));
    const auto index = attribute(answer, NBD_ATTR_INDEX);
    const auto device = index ? read_as<uint32_t>(*index) : std::nullopt;
    if (!device) return base::fail(Errc::badmsg, "Linux does not say which network block device it made");
    return *device;
}

Outcome<> NbdLink::disconnect(uint32_t device) {
    Request request(family_, NBD_CMD_DISCONNECT, NLM_F_ACK);
    OTRY(ask(socket_, request.number(NBD_ATTR_INDEX, device).finish(), "Cannot disconnect /dev/nbd" + std::to_string(device)));
    return base::ok;
}

std::vector<NbdDevice> nbd_devices(const std::string& sys_block) {
    std::vector<NbdDevice> out;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(sys_block, error)) {
        const std::string name = entry.path().filename().string();
        if (!name.starts_with("nbd")) continue;
        const auto number = base::parse_number<uint32_t>(name.substr(3));
        std::string owner;
        if (number && std::getline(std::ifstream(entry.path() / "backend"), owner) && !owner.empty())
            out.push_back({*number, owner});
    }
    return out;
}

}  // namespace xend
