// SPDX-License-Identifier: Apache-2.0
// link: xencall
// The device interface against the public headers it was written from.
#include <gtest/gtest.h>
#include <sys/ioctl.h>

extern "C" {
#include <xen/xen.h>  // first: the others use its types

#include <xen/sys/evtchn.h>
#include <xen/sys/gntdev.h>
#include <xen/sys/privcmd.h>
}

#include "toolstack/xencall/devices_abi.hpp"
#include "toolstack/xencall/privcmd.hpp"

namespace {

namespace dev = xencall::dev;

TEST(DevicesAbi, PrivcmdMatchesItsHeader) {
    EXPECT_EQ(dev::privcmd_hypercall, IOCTL_PRIVCMD_HYPERCALL);
    EXPECT_EQ(dev::privcmd_map_batch, IOCTL_PRIVCMD_MMAPBATCH_V2);
    EXPECT_EQ(dev::privcmd_map_resource, IOCTL_PRIVCMD_MMAP_RESOURCE);
    EXPECT_EQ(offsetof(dev::MapBatch, domain), offsetof(privcmd_mmapbatch_v2_t, dom));
    EXPECT_EQ(offsetof(dev::MapBatch, frames), offsetof(privcmd_mmapbatch_v2_t, arr));
    EXPECT_EQ(offsetof(dev::MapBatch, errors), offsetof(privcmd_mmapbatch_v2_t, err));
    EXPECT_EQ(offsetof(dev::MapResource, type), offsetof(privcmd_mmap_resource_t, type));
    EXPECT_EQ(offsetof(dev::MapResource, count), offsetof(privcmd_mmap_resource_t, num));
    EXPECT_EQ(offsetof(dev::MapResource, address), offsetof(privcmd_mmap_resource_t, addr));
}

TEST(DevicesAbi, EventChannelsMatchTheirHeader) {
    EXPECT_EQ(dev::evtchn_bind_virq, IOCTL_EVTCHN_BIND_VIRQ);
    EXPECT_EQ(dev::evtchn_bind_interdomain, IOCTL_EVTCHN_BIND_INTERDOMAIN);
    EXPECT_EQ(dev::evtchn_bind_unbound, IOCTL_EVTCHN_BIND_UNBOUND_PORT);
    EXPECT_EQ(dev::evtchn_unbind, IOCTL_EVTCHN_UNBIND);
    EXPECT_EQ(dev::evtchn_notify, IOCTL_EVTCHN_NOTIFY);
    EXPECT_EQ(dev::evtchn_reset, IOCTL_EVTCHN_RESET);
}

TEST(DevicesAbi, GrantsMatchTheirHeader) {
    EXPECT_EQ(dev::gntdev_map, IOCTL_GNTDEV_MAP_GRANT_REF);
    EXPECT_EQ(dev::gntdev_unmap, IOCTL_GNTDEV_UNMAP_GRANT_REF);
    EXPECT_EQ(offsetof(dev::MapGrants, index), offsetof(ioctl_gntdev_map_grant_ref, index));
    EXPECT_EQ(offsetof(dev::MapGrants, refs), offsetof(ioctl_gntdev_map_grant_ref, refs));
    EXPECT_EQ(offsetof(dev::UnmapGrants, count), offsetof(ioctl_gntdev_unmap_grant_ref, count));
}

TEST(OpenPrivcmd, SaysWhatIsMissing) {
    if (::access("/dev/xen/privcmd", F_OK) == 0) GTEST_SKIP() << "this is a dom0";
    EXPECT_EQ(xencall::open_privcmd().failure().text,
              "Cannot open /dev/xen/privcmd: not running as a Xen dom0, or module xen-privcmd is not loaded");
    EXPECT_EQ(xencall::open_event_channels().failure().code, base::Errc::noent);
    EXPECT_EQ(xencall::open_grants().failure().code, base::Errc::noent);
}

}  // namespace
