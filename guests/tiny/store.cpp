// SPDX-License-Identifier: Apache-2.0
#include "guests/tiny/store.hpp"

#include "guests/tiny/events.hpp"
#include "guests/tiny/paging.hpp"

namespace guest {

using namespace xen;

namespace {

uint32_t last_request;

constexpr uint64_t poll_ns = 1'000'000;

size_t length_of(const char* s) {
    size_t n = 0;
    while (s[n]) ++n;
    return n;
}

void put(XenstoreDomainInterface& ring, const void* data, size_t n) {
    const auto* bytes = static_cast<const char*>(data);
    for (size_t i = 0; i < n; ++i) {
        while (ring.req_prod - __atomic_load_n(&ring.req_cons, __ATOMIC_ACQUIRE) >= sizeof ring.req) wake_store(), sleep(poll_ns);
        ring.req[ring.req_prod % sizeof ring.req] = bytes[i];
        __atomic_store_n(&ring.req_prod, ring.req_prod + 1, __ATOMIC_RELEASE);
    }
}

/// Takes n bytes; those that do not fit into `room` are dropped.
void take(XenstoreDomainInterface& ring, void* data, size_t room, size_t n) {
    auto* bytes = static_cast<char*>(data);
    for (size_t i = 0; i < n; ++i) {
        while (ring.rsp_cons == __atomic_load_n(&ring.rsp_prod, __ATOMIC_ACQUIRE)) wake_store(), sleep(poll_ns);
        if (i < room) bytes[i] = ring.rsp[ring.rsp_cons % sizeof ring.rsp];
        __atomic_store_n(&ring.rsp_cons, ring.rsp_cons + 1, __ATOMIC_RELEASE);
    }
}

}  // namespace

XenstoreDomainInterface* store_ring() {
    return is_dom0() ? nullptr : static_cast<XenstoreDomainInterface*>(page_of(info->store_mfn));
}

void wake_store() { send(info->store_evtchn); }

uint32_t store_request(uint32_t type, const char* payload, size_t length, char* answer, size_t room, size_t* answered,
                       uint32_t transaction) {
    XenstoreDomainInterface& ring = *store_ring();
    XsdSockMsg head{type, ++last_request, transaction, static_cast<uint32_t>(length)};
    put(ring, &head, sizeof head);
    put(ring, payload, length);
    wake_store();
    for (;;) {
        take(ring, &head, sizeof head, sizeof head);
        const bool ours = head.type != XS_WATCH_EVENT && head.req_id == last_request;
        take(ring, answer, ours ? room : 0, head.len);
        wake_store();  // there is room again
        if (!ours) continue;
        if (answered) *answered = head.len;
        return head.type;
    }
}

bool store_exists(const char* path) { return store_request(XS_READ, path, length_of(path) + 1) != XS_ERROR; }

bool store_write(const char* path, const char* value) {
    char text[256];
    const size_t p = length_of(path) + 1, v = length_of(value);
    if (p + v > sizeof text) return false;
    for (size_t i = 0; i < p; ++i) text[i] = path[i];
    for (size_t i = 0; i < v; ++i) text[p + i] = value[i];
    return store_request(XS_WRITE, text, p + v) != XS_ERROR;
}

}  // namespace guest
