// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/adapters/nbd_protocol.hpp"

#include <endian.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "toolstack/service/fd.hpp"

namespace xend {

using base::Errc;
using base::Outcome;
using service::system_failure;

namespace {

constexpr uint64_t greeting = 0x4e42444d41474943;  // "NBDMAGIC"
constexpr uint64_t options = 0x49484156454f5054;   // "IHAVEOPT"
constexpr uint16_t fixed_newstyle = 1U << 0U;
constexpr uint16_t no_zeroes = 1U << 1U;
constexpr uint32_t option_export_name = 1;
constexpr size_t most_name = 4096;

uint64_t swapped(uint64_t v) { return htobe64(v); }
uint32_t swapped(uint32_t v) { return htobe32(v); }
uint16_t swapped(uint16_t v) { return htobe16(v); }

/// False: the server has closed.
Outcome<bool> take(int socket, void* to, size_t bytes) {
    auto* at = static_cast<char*>(to);
    while (bytes > 0) {
        const ssize_t got = ::recv(socket, at, bytes, 0);
        if (got == 0) return false;
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return base::fail(Errc::timedout, "the server of the disk says nothing");
        if (got < 0) return system_failure("the server of the disk");
        at += got;
        bytes -= static_cast<size_t>(got);
    }
    return true;
}

template <class T>
Outcome<T> take_number(int socket) {
    T raw = 0;
    if (!OTRY(take(socket, &raw, sizeof raw))) return base::fail(Errc::badmsg, "the server of the disk went away");
    return swapped(raw);
}

Outcome<> give(int socket, const std::string& bytes) {
    size_t done = 0;
    while (done < bytes.size()) {
        const ssize_t put = ::send(socket, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return system_failure("the server of the disk");
        done += static_cast<size_t>(put);
    }
    return base::ok;
}

template <class T>
void append(std::string& out, T number) {
    const T raw = swapped(number);
    out.append(reinterpret_cast<const char*>(&raw), sizeof raw);
}

}  // namespace

Outcome<NbdExport> negotiate_nbd(int socket, const std::string& name) {
    if (name.size() > most_name) return base::fail(Errc::inval, "the name of the export is too long");
    if (OTRY(take_number<uint64_t>(socket)) != greeting || OTRY(take_number<uint64_t>(socket)) != options)
        return base::fail(Errc::badmsg, "this is no server of network block devices");
    const auto offered = OTRY(take_number<uint16_t>(socket));
    if ((offered & fixed_newstyle) == 0) return base::fail(Errc::badmsg, "the server of the disk is too old");
    const bool short_answer = (offered & no_zeroes) != 0;
    std::string ask;
    append(ask, uint32_t{fixed_newstyle} | (short_answer ? no_zeroes : 0U));
    append(ask, options);
    append(ask, option_export_name);
    append(ask, static_cast<uint32_t>(name.size()));
    OTRY(give(socket, ask + name));
    NbdExport out;
    // A server without that export closes the connection.
    if (!OTRY(take(socket, &out.bytes, sizeof out.bytes)))
        return base::fail(Errc::noent, "the server has no export named '" + name.substr(0, 80) + "'");
    out.bytes = swapped(out.bytes);
    out.flags = OTRY(take_number<uint16_t>(socket));
    std::array<char, 124> zeroes{};
    if (!short_answer && !OTRY(take(socket, zeroes.data(), zeroes.size())))
        return base::fail(Errc::badmsg, "the server of the disk went away");
    return out;
}

}  // namespace xend
