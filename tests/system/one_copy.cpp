// SPDX-License-Identifier: Apache-2.0
// Watches, until SIGTERM, how many domains beside dom0 can run at one instant, every 5 ms, and says then: the most that there were at once, the
// least domains that there were in any state, and how often it looked. Where one guest moves about, these are 1 and 1.
#include <csignal>
#include <cstdio>

#include <algorithm>
#include <chrono>
#include <thread>

#include "toolstack/xencall/privcmd.hpp"
#include "toolstack/xenctrl/control.hpp"

namespace {

volatile std::sig_atomic_t stopped = 0;

bool can_run(const xenctrl::DomainInfo& domain) { return !domain.paused && !domain.shutdown && !domain.dying; }

int failed(const base::Failure& why) {
    std::fprintf(stderr, "one-copy: %s\n", why.text.c_str());
    return 1;
}

}  // namespace

int main() {
    std::signal(SIGTERM, [](int) { stopped = 1; });
    auto backend = xencall::open_privcmd();
    if (!backend) return failed(backend.failure());
    xenctrl::Control control(**backend);
    long most = 0, least = 1000, looks = 0;
    for (; stopped == 0; ++looks) {
        const auto domains = control.list();
        if (!domains) return failed(domains.failure());
        const auto guests = [&](auto&& is) {
            return static_cast<long>(std::ranges::count_if(*domains, [&](const auto& d) { return d.id.raw != 0 && is(d); }));
        };
        most = std::max(most, guests(can_run));
        least = std::min(least, guests([](const auto&) { return true; }));
        std::this_thread::sleep_for(std::chrono::milliseconds{5});
    }
    std::printf("%ld at most, %ld at least, in %ld looks\n", most, least, looks);
    return 0;
}
