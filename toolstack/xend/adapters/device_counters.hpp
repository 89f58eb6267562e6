// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace xend {

/// What Linux's block back end has counted of one disk.
struct DiskCounters {
    uint32_t domain = 0, devid = 0;
    uint64_t no_room = 0;  // requests that waited for a descriptor
    uint64_t reads = 0, writes = 0, flushes = 0, discards = 0;
    uint64_t read_sectors = 0, written_sectors = 0;  // of 512 bytes
};

/// What Linux has counted of dom0's end of one card, as the guest sees it: what dom0 receives the guest has sent.
struct CardCounters {
    struct Way {
        uint64_t bytes = 0, packets = 0, drops = 0, errors = 0;
    };
    uint32_t domain = 0, devid = 0;
    std::string name;  // of dom0's interface; empty: there is none yet, and nothing was counted
    Way sent, received;
};

struct DeviceCounters {
    std::vector<DiskCounters> disks;
    std::vector<CardCounters> cards;
};

/// Of all devices that back ends in dom0 serve. `sys` is where sysfs is; a file that is not there counts as 0.
DeviceCounters device_counters(const std::string& sys);

}  // namespace xend
