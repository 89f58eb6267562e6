// SPDX-License-Identifier: Apache-2.0
/// Hypercalls as a guest makes them, over the host build of the core: guest addresses are the test's own.
#pragma once

#include <cstdint>

#include "hypervisor/hypercall/table.hpp"
#include "tests/host/hv_fixture.hpp"

namespace hvtest {

/// The one dom0; it lives as long as the program.
inline Guest& control_domain() {
    static Guest* const d0 = [] {
        machine();
        return new Guest(0);
    }();
    machine();
    return *d0;
}

template <class T>
uint64_t address(T* p) {
    return reinterpret_cast<uint64_t>(p);
}

/// Enters the hypercall again as long as it wants to be restarted; `turns` tells how often.
inline Result<uint64_t> hypercall(Handler h, Vcpu& v, uint64_t a0 = 0, uint64_t a1 = 0, uint64_t a2 = 0,
                                  unsigned* turns = nullptr) {
    const uint64_t in[6] = {a0, a1, a2, 0, 0, 0};
    std::memcpy(v.hypercall.args, in, sizeof in);
    for (unsigned n = 1;; ++n) {
        v.hypercall.rearmed = false;
        auto r = h(v, v.hypercall.args);
        if (r || r.error() != Errc::restart) {
            if (turns) *turns = n;
            return r;
        }
        EXPECT_TRUE(v.hypercall.rearmed);
    }
}

/// What can be lost: frames and bytes of small objects.
struct Resources {
    uint64_t pages = heap::free_pages().n;
    size_t bytes = heap::bytes_in_use();
    bool operator==(const Resources&) const = default;
};
inline std::ostream& operator<<(std::ostream& o, const Resources& r) {
    return o << r.pages << " pages free, " << r.bytes << " bytes in use";
}

}  // namespace hvtest
