// SPDX-License-Identifier: Apache-2.0
// link: hvcore
// Lists that a CPU always wanted elsewhere is given come to their end, with the answer that they would have had at once.
#include <functional>
#include <iterator>

#include "hypervisor/arch/x86/paging.hpp"
#include "hypervisor/guest/pv/pt_update.hpp"
#include "tests/host/hv_preempt.hpp"

namespace {

using namespace hvtest;

struct List {
    const char* name;
    unsigned least_restarts;
    std::function<void(World&, uint64_t (&)[6])> prepare;
    bool control = false;
    int64_t answer = 0;  ///< what it ends with; negative: the error
    unsigned vcpus = 2;
};

constexpr uint64_t elements = 200;

void grant_list(uint64_t (&args)[6], uint64_t n = elements) {
    args[1] = lists;
    args[2] = n;
}

/// A reservation of the guest's in the argument, with `n` frames listed: its own, or numbers.
xen::MemoryReservation reservation(World& w, uint64_t n, bool own, uint64_t list = lists) {
    for (uint64_t i = 0; i < n; ++i) at<uint64_t>(list)[i] = own ? w.guest.page().raw : i;
    auto r = xen::zeroed<xen::MemoryReservation>();
    r.extent_start = {list};
    r.nr_extents = n;
    r.domid = guest_id;
    return r;
}

/// A root over all of the guest's pages and one table in many entries.
void tall_root(World& w) {
    constexpr uint64_t bits = pte::present | pte::rw | pte::user;
    const auto table = [&](unsigned i) { return map_mfn<uint64_t>(w.pages[i]); };
    for (unsigned i = 0; i < 512; ++i) {
        table(0)[i] = w.pages[4].address() | bits;  // L1
        table(1)[i] = w.pages[0].address() | bits;  // L2
        table(2)[i] = w.pages[1].address() | bits;  // L3
        if (i < l4_slot_m2p) table(3)[i] = w.pages[2].address() | bits;
    }
}

xen::MmuextOp ext(uint32_t cmd, Mfn m) {
    auto op = xen::zeroed<xen::MmuextOp>();
    op.cmd = cmd;
    op.arg1.mfn = m.raw;
    return op;
}

template <class T>
T& arg_as() {
    return *at<T>(argument);
}

const List to_the_end[] = {
    {"GNTTABOP_map_grant_ref", elements / 32, [](World&, auto& args) { grant_list(args); }},
    {"GNTTABOP_unmap_grant_ref", elements / 32, [](World&, auto& args) { grant_list(args); }},
    {"GNTTABOP_unmap_and_replace", elements / 32, [](World&, auto& args) { grant_list(args); }},
    {"GNTTABOP_copy", elements - 1, [](World&, auto& args) { grant_list(args); }},
    {"GNTTABOP_transfer", elements - 1, [](World&, auto& args) { grant_list(args); }},
    {"GNTTABOP_swap_grant_ref", elements - 1, [](World&, auto& args) { grant_list(args); }},
    {"GNTTABOP_cache_flush", elements - 1, [](World&, auto& args) { grant_list(args); }},
    {"GNTTABOP_setup_table", 62 + 63,
     [](World&, auto& args) {
         grant_list(args, 1);
         at<xen::GnttabSetupTable>(lists)->dom = xen::DOMID_SELF;
         at<xen::GnttabSetupTable>(lists)->nr_frames = 64;
         at<xen::GnttabSetupTable>(lists)->frame_list = {lists + 4096};
     }},
    {"GNTTABOP_dump_table", 63,
     [](World& w, auto& args) {
         w.as_dom0();
         (void)must(get_grant_frame(w.guest, 63));
         grant_list(args, 1);
         at<xen::GnttabDumpTable>(lists)->dom = guest_id;
     }},
    {"GNTTABOP_set_version", 63,
     [](World& w, auto& args) {
         (void)must(get_grant_frame(w.guest, 63));
         grant_list(args, 1);
         at<xen::GnttabSetVersion>(lists)->version = 2;
     }},
    {"GNTTABOP_get_status_frames", 7,
     [](World& w, auto& args) {
         (void)must(get_grant_frame(w.guest, 63));
         while (!grants_set_version(w.guest, 2)) {}
         grant_list(args, 1);
         auto* op = at<xen::GnttabGetStatusFrames>(lists);
         op->dom = xen::DOMID_SELF;
         op->nr_frames = 8;
         op->frame_list = {lists + 4096};
     }},
    {"EVTCHNOP_reset", 3000 / 32,
     [](World& w, auto&) {
         for (int i = 0; i < 3000; ++i) (void)must(event_bind_ipi(w.guest, VcpuId(0)));
         arg_as<xen::EvtchnReset>().dom = xen::DOMID_SELF;
     }},
    {"XENMEM_populate_physmap", elements - 1,
     [](World& w, auto&) { arg_as<xen::MemoryReservation>() = reservation(w, elements, false); }, true, elements},
    {"XENMEM_increase_reservation", elements - 1,
     [](World& w, auto&) { arg_as<xen::MemoryReservation>() = reservation(w, elements, false); }, true, elements},
    {"XENMEM_decrease_reservation", elements - 1,
     [](World& w, auto&) { arg_as<xen::MemoryReservation>() = reservation(w, elements, true); }, false, elements},
    {"XENMEM_exchange", elements - 1,
     [](World& w, auto&) {
         auto& x = arg_as<xen::MemoryExchange>();
         x.in = reservation(w, elements, true);
         x.out = reservation(w, elements, false, lists + 0x8000);
     }},
    {"XENMEM_acquire_resource", 62 + 63,
     [](World&, auto&) {
         auto& r = arg_as<xen::MemAcquireResource>();
         r.domid = guest_id;
         r.type = xen::XENMEM_resource_grant_table;
         r.nr_frames = 64;
         r.frame_list = {lists};
     },
     true},
    {"HYPERVISOR_multicall", elements - 1,
     [](World&, auto& args) {
         for (uint64_t i = 0; i < elements; ++i) at<xen::MulticallEntry>(lists)[i].op = xen::HYPERVISOR_xen_version;
         args[0] = lists;
         args[1] = elements;
     }},
    {"MMU_NORMAL_PT_UPDATE", elements / 16 - 1, [](World&, auto& args) { args[1] = elements; }},
    {"MMU_MACHPHYS_UPDATE", elements / 16 - 1, [](World&, auto& args) { args[1] = elements; }},
    {"MMUEXT_TLB_FLUSH_LOCAL", elements - 1, [](World&, auto& args) { args[1] = elements; }},
    {"MMUEXT_CLEAR_PAGE", elements - 1, [](World&, auto& args) { args[1] = elements; }},
    {"MMUEXT_PIN_L4_TABLE", 500,
     [](World& w, auto& args) {
         tall_root(w);
         *at<xen::MmuextOp>(lists + 0x100000) = ext(xen::MMUEXT_PIN_L4_TABLE, w.pages[3]);
         args[1] = 1;
     }},
    {"MMUEXT_UNPIN_TABLE", 500,
     [](World& w, auto& args) {
         tall_root(w);
         ASSERT_TRUE(pin_table(w.guest, w.pages[3], PageType::l4));
         *at<xen::MmuextOp>(lists + 0x100000) = ext(xen::MMUEXT_UNPIN_TABLE, w.pages[3]);
         args[1] = 1;
     }},
    {"CONSOLEIO_write", 9,
     [](World&, auto& args) {
         args[1] = 1280;
         args[2] = lists;
     }},
    {"XEN_DOMCTL_destroydomain", 100,
     [](World& w, auto&) {
         for (int i = 0; i < 3000; ++i) (void)must(event_bind_ipi(w.guest, VcpuId(0)));
         for (int i = 0; i < 1000; ++i) (void)w.guest.page();
     },
     true},
    {"XEN_DOMCTL_max_vcpus", 30,
     [](World& w, auto&) {
         // A domain whose vCPUs are not made yet.
         w.guest.destroy();
         domains_reap();
         DomainLimits limits;
         limits.max_vcpus = 32;
         w.guest.d = must(domain_create(DomId(guest_id), pv_guest, limits, false));
         at<xen::Domctl>(argument)->u.max_vcpus.max = 32;
     },
     true},
    {"XEN_SYSCTL_getdomaininfolist", 1,
     [](World&, auto&) {
         auto& l = at<xen::Sysctl>(argument)->u.getdomaininfolist;
         l.max_domains = 1000;
         l.buffer = {lists};
     },
     true},
    {"XEN_SYSCTL_debug_keys", 255,
     [](World&, auto&) {
         auto& k = at<xen::Sysctl>(argument)->u.debug_keys;
         k.nr_keys = 256;
         k.keys = {lists};
     },
     true},
};

TEST(Preemption, ListsComeToTheirEnd) {
    map_region();
    for (const List& l : to_the_end) {
        SCOPED_TRACE(l.name);
        const Operation& o = operation(l.name);
        World w(l.vcpus);
        w.guest->max_pages = 8192;
        uint64_t args[6] = {};
        arguments(w, o, 0, args);
        if (l.control) w.as_dom0();
        l.prepare(w, args);
        const Ran r = run(w, o.handler, args, 20000, l.name);
        ASSERT_TRUE(r.ended) << "after " << r.restarts << " restarts";
        EXPECT_GE(r.restarts, l.least_restarts);
        const int64_t answer = r.answer ? static_cast<int64_t>(r.answer.value()) : -static_cast<int64_t>(r.answer.error());
        EXPECT_EQ(answer, l.answer);
    }
}

}  // namespace
