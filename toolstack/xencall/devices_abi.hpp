// SPDX-License-Identifier: Apache-2.0
// The ioctl interface of Linux's /dev/xen devices, as its public headers (sys/privcmd.h, sys/evtchn.h, sys/gntdev.h of
// libxen-dev, BSD-style licence) define it. tests/host/xencall_test.cpp compares numbers and sizes with them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace xencall::dev {

/// A request number without direction, as these devices use: size, device letter, number.
constexpr unsigned long request(char letter, unsigned number, size_t size) {
    return (static_cast<unsigned long>(size) << 16) | (static_cast<unsigned long>(static_cast<unsigned char>(letter)) << 8) |
           number;
}

struct Hypercall {
    uint64_t op;
    uint64_t arg[5];
};
struct MapBatch {  // mmapbatch_v2
    uint32_t count;
    uint16_t domain;
    uint64_t address;
    const uint64_t* frames;
    int* errors;
};
struct MapResource {
    uint16_t domain;
    uint32_t type;
    uint32_t id;
    uint32_t first;
    uint64_t count;
    uint64_t address;
};
inline constexpr unsigned long privcmd_hypercall = request('P', 0, sizeof(Hypercall));
inline constexpr unsigned long privcmd_map_batch = request('P', 4, sizeof(MapBatch));
inline constexpr unsigned long privcmd_map_resource = request('P', 7, sizeof(MapResource));

struct BindVirq {
    uint32_t virq;
};
struct BindInterdomain {
    uint32_t domain, port;
};
struct BindUnbound {
    uint32_t domain;
};
struct PortArgument {
    uint32_t port;
};
inline constexpr unsigned long evtchn_bind_virq = request('E', 0, sizeof(BindVirq));
inline constexpr unsigned long evtchn_bind_interdomain = request('E', 1, sizeof(BindInterdomain));
inline constexpr unsigned long evtchn_bind_unbound = request('E', 2, sizeof(BindUnbound));
inline constexpr unsigned long evtchn_unbind = request('E', 3, sizeof(PortArgument));
inline constexpr unsigned long evtchn_notify = request('E', 4, sizeof(PortArgument));
inline constexpr unsigned long evtchn_reset = request('E', 5, 0);

struct GrantRefArgument {
    uint32_t domain, ref;
};
struct MapGrants {  // followed by count - 1 more references
    uint32_t count, pad;
    uint64_t index;
    GrantRefArgument refs[1];
};
struct UnmapGrants {
    uint64_t index;
    uint32_t count, pad;
};
inline constexpr unsigned long gntdev_map = request('G', 0, sizeof(MapGrants));
inline constexpr unsigned long gntdev_unmap = request('G', 1, sizeof(UnmapGrants));

/// Asks /dev/xen/xenbus_backend for the port of domain 0's own store connection.
inline constexpr unsigned long xenbus_backend_port = request('B', 0, 0);

}  // namespace xencall::dev
