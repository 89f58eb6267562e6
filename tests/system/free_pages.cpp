// SPDX-License-Identifier: Apache-2.0
// Prints the hypervisor's count of free pages, exactly: `xm info` rounds to MiB, and a leak is a page at a time.
// Pages that wait to be scrubbed count as free: they will be.
#include <cstdio>

#include "toolstack/xencall/privcmd.hpp"
#include "toolstack/xenctrl/control.hpp"

int main() {
    auto backend = xencall::open_privcmd();
    if (!backend) {
        std::fprintf(stderr, "free-pages: %s\n", backend.failure().text.c_str());
        return 1;
    }
    xenctrl::Control control(**backend);
    const auto info = control.physinfo();
    if (!info) {
        std::fprintf(stderr, "free-pages: %s\n", info.failure().text.c_str());
        return 1;
    }
    std::printf("%llu\n", static_cast<unsigned long long>(info->free_pages));
    return 0;
}
