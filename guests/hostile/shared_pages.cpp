// SPDX-License-Identifier: Apache-2.0
/// Garbage in every page that is shared with somebody: the rings of console and store, the page of the hypervisor, start info, grant
/// entries; and everybody is told to look.
#include "guests/hostile/hostile.hpp"
#include "guests/tiny/events.hpp"
#include "guests/tiny/grants.hpp"
#include "guests/tiny/store.hpp"

namespace {

using namespace hostile;
using namespace xen;

void fill(void* to, size_t bytes, Random& random) {
    auto* words = static_cast<volatile uint64_t*>(to);
    for (size_t i = 0; i < bytes / 8; ++i) words[i] = random.next();
}

void store(Random& random) {
    XenstoreDomainInterface& ring = *store_ring();
    const uint32_t indexes[] = {0, 1, 1023, 1024, 1025, 0x7fffffff, 0x80000000, 0xffffffff};
    for (int i = 0; i < 400; ++i) {
        fill(&ring, sizeof ring.req, random);
        if (random.one_in(2)) {
            // A header that is nearly right.
            auto* head = reinterpret_cast<XsdSockMsg*>(&ring.req[0]);
            ring.req_prod = 0;
            *head = {static_cast<uint32_t>(random.below(24)), static_cast<uint32_t>(random.next()), 0,
                     static_cast<uint32_t>(random.one_in(2) ? random.below(4200) : random.odd())};
            __atomic_store_n(&ring.req_cons, 0, __ATOMIC_RELEASE);
            ring.req_prod = static_cast<uint32_t>(random.below(1025));
        } else {
            ring.req_prod = random.one_in(2) ? random.of(indexes) : static_cast<uint32_t>(random.next());
            ring.rsp_cons = random.of(indexes);
            if (random.one_in(2)) ring.req_cons = random.of(indexes);
            if (random.one_in(2)) ring.rsp_prod = random.of(indexes);
        }
        wake_store();
        if (random.one_in(8)) sleep(2'000'000);
    }
    fill(&ring, sizeof ring, random);
    wake_store();
}

void console(Random& random) {
    XenconsInterface& ring = *console_ring();
    for (int i = 0; i < 400; ++i) {
        for (char& c : ring.out) c = static_cast<char>(random.next());
        ring.out_prod = static_cast<uint32_t>(random.next());
        if (random.one_in(2)) ring.out_cons = static_cast<uint32_t>(random.next());
        ring.in_cons = static_cast<uint32_t>(random.next());
        ring.in_prod = static_cast<uint32_t>(random.next());
        send(info->console.domU.evtchn);
        if (random.one_in(8)) sleep(2'000'000);
    }
}

}  // namespace

int guest_main() {
    Random random(option("seed", 1));
    grant_table();
    store(random);
    print("guest: now the console itself\nguest: status ", failures, "\n");
    drain_console();
    sleep(500'000'000);  // the daemon writes what it has before there is garbage behind it
    console(random);
    fill(grant_table(), page_bytes, random);
    fill(const_cast<StartInfo*>(info), sizeof *info, random);
    for (int i = 0; i < 2000; ++i) {
        fill(&shared_info(), page_bytes, random);
        mask_upcalls();
        hypercall(HYPERVISOR_xen_version, 0);
    }
    shut_down(0);
}
