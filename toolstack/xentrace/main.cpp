// SPDX-License-Identifier: Apache-2.0
/// xentrace: copies what the hypervisor records into a file, until it is told to end.
#include <poll.h>
#include <signal.h>

#include <cstdio>
#include <memory>

#include "toolstack/xencall/privcmd.hpp"
#include "toolstack/xentrace/options.hpp"
#include "toolstack/xentrace/output.hpp"
#include "toolstack/xentrace/rings.hpp"

namespace {

using base::Outcome;
using xentrace::Options;
using Clock = std::chrono::steady_clock;

constexpr uint32_t virq_trace_buffer = 4;
constexpr size_t usual_record_bytes = 32;  ///< by which a threshold of records is judged

volatile sig_atomic_t ended = 0;

void end_by_signals() {
    struct sigaction action {};
    action.sa_handler = [](int) { ended = 1; };
    for (const int s : {SIGHUP, SIGINT, SIGTERM, SIGPIPE}) ::sigaction(s, &action, nullptr);
}

/// Copies what waits, if it is `least` bytes.
Outcome<> drain(std::vector<xentrace::Ring>& rings, const xentrace::Output& out, size_t least) {
    for (uint32_t cpu = 0; cpu < rings.size(); ++cpu) {
        const xentrace::Window w = OTRY(rings[cpu].waiting());
        if (w.bytes() == 0 || w.bytes() < least) continue;
        OTRY(out.add(cpu, w));
        rings[cpu].consume(w.bytes());
    }
    return base::ok;
}

Outcome<> discard(std::vector<xentrace::Ring>& rings) {
    for (xentrace::Ring& r : rings) r.consume(OTRY(r.waiting()).bytes());
    return base::ok;
}

/// Until a buffer is half full, or the time has come for a look.
void wait(xencall::EventChannels& events, std::chrono::milliseconds time) {
    pollfd p{events.fd(), POLLIN, 0};
    if (::poll(&p, 1, static_cast<int>(time.count())) <= 0) return;
    if (const auto port = events.pending(); port && port.value()) (void)events.unmask(*port.value());
}

Outcome<> copy_until_the_end(std::vector<xentrace::Ring>& rings, const xentrace::Output& out, xencall::EventChannels& events,
                             const Options& o) {
    const auto end = Clock::now() + o.duration;
    while (!ended) {
        auto rest = o.sleep;
        if (o.duration.count() != 0) {
            const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
            if (left.count() <= 0) break;
            rest = std::min(rest, left);
        }
        wait(events, rest);
        OTRY(drain(rings, out, o.threshold * usual_record_bytes));
    }
    return base::ok;
}

Outcome<> run(const Options& o) {
    const xentrace::Output out = OTRY(xentrace::Output::open(o.file, o.reserve));
    const auto backend = OTRY(xencall::open_privcmd());
    const auto events = OTRY(backend->open_event_channels());
    xenctrl::Control control(*backend);
    std::vector<xentrace::Ring> rings = OTRY(xentrace::open_rings(control, o.pages));
    OTRY(events->bind_virq(virq_trace_buffer));
    if (o.events) OTRY(control.set_trace_events(*o.events));
    if (o.cpus) OTRY(control.set_trace_cpus(*o.cpus));
    if (o.discard) OTRY(discard(rings));
    end_by_signals();
    if (o.start) OTRY(control.trace(true));
    Outcome<> copied = copy_until_the_end(rings, out, *events, o);
    // Also when copying failed: nobody reads any more.
    if (!o.leave_on) OTRY(control.trace(false));
    OTRY(std::move(copied));
    return drain(rings, out, 0);
}

int complain(const base::Failure& f) {
    std::fprintf(stderr, "xentrace: %s\n", f.text.c_str());
    return 1;
}

}  // namespace

int main(int argc, char** argv) {
    const auto options = xentrace::parse(argc, argv);
    if (!options) return complain(options.failure());
    if (options.value().help || options.value().version) {
        std::fputs(options.value().help ? xentrace::usage : "xentrace of xenolith\n", stdout);
        return 0;
    }
    const auto done = run(options.value());
    return done ? 0 : complain(done.failure());
}
