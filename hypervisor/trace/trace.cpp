// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/trace/trace.hpp"

#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/mm/heap.hpp"
#include "hypervisor/rt/log.hpp"
#include "hypervisor/trace/buffer.hpp"
#include "hypervisor/trace/counters.hpp"

namespace hv::trace {

namespace detail {
std::atomic<uint32_t> wanted{0};
}

namespace {

std::atomic<Buffer*> buffers[max_cpus];
uint32_t event_mask = xen::TRC_ALL;
CpuMask left_out;  ///< CPUs that leave no records
std::atomic<bool> enabled{false};
std::atomic<uint32_t> epoch{0};  ///< how often tracing has begun

/// An event is wanted when one of its class bits is, and one of its subclass bits.
bool matches(uint32_t mask, uint32_t event) {
    const uint32_t both = mask & event & xen::TRC_ALL;
    return both >> xen::TRC_CLS_SHIFT && (both >> xen::TRC_SUBCLS_SHIFT & 0xf);
}

static_assert(!(xen::TRC_ALL & counting_too));
void record_these(uint32_t mask) { detail::wanted.fetch_or(mask, std::memory_order_release); }
void record_none() { detail::wanted.fetch_and(~xen::TRC_ALL, std::memory_order_release); }

/// The pages are control domains' to write: what is wrong there ends the tracing and nothing else.
void end_for_nonsense(unsigned cpu) {
    record_none();
    if (enabled.exchange(false, std::memory_order_seq_cst))
        log(LogLevel::warning, "Trace buffer of CPU%u: its reader wrote an offset that is none, tracing ends", cpu);
}

}  // namespace

void detail::record(uint32_t event, const uint32_t* words, unsigned n, bool timed) {
    const uint32_t mask = wanted.load(std::memory_order_acquire);
    if (mask & counting_too) counters::count_event(event, words);
    if (!matches(mask, event)) return;
    Cpu& cpu = this_cpu();
    Buffer* const buffer = buffers[cpu.id].load(std::memory_order_acquire);
    if (!buffer || left_out.test(cpu.id)) return;
    const Buffer::Record r{event, words, n, timed, arch::read_tsc()};
    switch (buffer->add(r, running_vcpu(), epoch.load(std::memory_order_relaxed))) {
        case Buffer::Added::half_full: cpu.raise(SoftIrq::trace); return;
        case Buffer::Added::nonsense: end_for_nonsense(cpu.id); return;
        default: return;
    }
}

base::Status make_buffers(unsigned cpus) {
    for (unsigned cpu = 0; cpu < cpus; ++cpu)
        if (!buffers[cpu].load(std::memory_order_relaxed)) buffers[cpu].store(TRY(make<Buffer>()), std::memory_order_release);
    return base::ok;
}

void give_pages(unsigned cpu, uint8_t* const* pages, uint32_t count) {
    buffers[cpu].load(std::memory_order_relaxed)->give(pages, count);
}

void set_events(uint32_t mask) {
    event_mask = mask & xen::TRC_ALL;
    if (!enabled.load(std::memory_order_relaxed)) return;
    record_none();
    record_these(event_mask);
}
uint32_t events() { return event_mask; }

void set_cpus(const CpuSet& cpus) {
    left_out.store(CpuSet::any().where([&](unsigned cpu) { return !cpus.has(cpu); }));
}

void enable() {
    epoch.fetch_add(1, std::memory_order_relaxed);
    enabled.store(true, std::memory_order_relaxed);
    record_these(event_mask);
}

void disable() {
    enabled.store(false, std::memory_order_relaxed);
    record_none();
}

bool wants(uint32_t event) { return matches(detail::wanted.load(std::memory_order_relaxed), event); }

}  // namespace hv::trace
