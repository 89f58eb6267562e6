// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "toolstack/service/fd.hpp"
#include "toolstack/xend/adapters/nbd_protocol.hpp"

namespace xend {

/// Linux' driver of network block devices, told by netlink: a device belongs to nobody's process, and says whose it is. Devices
/// that somebody still has open are never given to another one. Source: linux/nbd-netlink.h.
class NbdLink {
public:
    /// Errors: noent: the driver is not there; the system's.
    static base::Outcome<NbdLink> open();
    /// A device, free until now, that reads and writes through the socket: its number. Errors: the system's.
    base::Outcome<uint32_t> connect(int socket, const NbdExport& what, const std::string& owner);
    /// From now on this link is told of servers that died, of all devices.
    base::Outcome<> hear_deaths();
    /// Whether it was told of any since the last time, or may have been. Does not wait.
    bool heard_deaths();
    /// Says good-bye to its server; what is under way fails. Errors: the system's; noent: it is not connected.
    base::Outcome<> disconnect(uint32_t device);

private:
    NbdLink(service::Fd socket, uint16_t family, uint32_t deaths)
        : socket_(std::move(socket)), family_(family), deaths_(deaths) {}
    service::Fd socket_;
    uint16_t family_;
    uint32_t deaths_;  // the group that is told; 0: Linux has none
};

/// A device, and whom it was connected for.
struct NbdDevice {
    uint32_t number;
    std::string owner;
};
/// Those that are connected for somebody who is named.
std::vector<NbdDevice> nbd_devices(const std::string& sys_block = "/sys/block");

}  // namespace xend
