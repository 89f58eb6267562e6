// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/domain/watchdog.hpp"

#include "abi/xen/sched.hpp"
#include "hypervisor/rt/clock.hpp"
#include "hypervisor/rt/log.hpp"
#include "hypervisor/time/timer.hpp"

namespace hv {

namespace {
void expired(void* domain) {
    Domain& d = *static_cast<Domain*>(domain);
    guest_log(LogLevel::warning, "d%u: watchdog expired", unsigned{d.id.raw});
    domain_shutdown(d, xen::SHUTDOWN_watchdog);
}
}  // namespace

/// Made with the first SCHEDOP_watchdog. Domain lock.
struct DomainWatchdogs {
    Timer timers[max_watchdogs];
    bool used[max_watchdogs] = {};
    explicit DomainWatchdogs(Domain& d) : timers{{expired, &d}, {expired, &d}} {}
};

Result<uint64_t> domain_watchdog(Domain& d, uint32_t id, uint32_t seconds) {
    if (id > max_watchdogs) return Err{Errc::inval};
    Guard g(d.lock);
    if (d.dying.load(std::memory_order_acquire) != DyingState::alive) return Err{Errc::inval};
    if (!d.watchdogs) d.watchdogs = TRY(make<DomainWatchdogs>(d));
    DomainWatchdogs& w = *d.watchdogs;
    const Nanos deadline = clock::now() + Nanos::s(seconds);
    if (id == 0) {
        if (seconds == 0) return Err{Errc::inval};
        for (unsigned i = 0; i < max_watchdogs; ++i) {
            if (w.used[i]) continue;
            w.used[i] = true;
            timer::set(w.timers[i], deadline, this_cpu().id);
            return i + 1;
        }
        return Err{Errc::exist};
    }
    const unsigned i = id - 1;
    if (!w.used[i]) return Err{Errc::inval};
    if (seconds) {
        timer::set(w.timers[i], deadline, this_cpu().id);
    } else {
        // The callback takes the domain lock, which we hold: do not wait for it, only see that it comes to nothing new.
        timer::set(w.timers[i], Nanos::never(), this_cpu().id);
        w.used[i] = false;
    }
    return 0;
}

void domain_watchdogs_destroy(Domain& d) {
    DomainWatchdogs* w = nullptr;
    {
        Guard g(d.lock);
        w = std::exchange(d.watchdogs, nullptr);
    }
    if (!w) return;
    for (Timer& t : w->timers) timer::stop(t);
    destroy(w);
}

}  // namespace hv
