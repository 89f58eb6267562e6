// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/rt/timestamp.hpp"

#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/rt/clock.hpp"
#include "lib/base/calendar.hpp"

namespace hv {
namespace {

constexpr uint64_t second = 1'000'000'000;

size_t format_date(char* to, size_t size, bool milliseconds) {
    const clock::Wallclock w = clock::wallclock();
    const auto ns = static_cast<uint64_t>(clock::now().n) + w.nsec;
    const uint64_t s = w.sec + ns / second;
    const base::Date d = base::date_of(s / 86400);
    const auto of_day = static_cast<unsigned>(s % 86400);
    size_t n =
        format(to, size, "[%lu-%02u-%02u %02u:%02u:%02u", d.year, d.month, d.day, of_day / 3600, of_day / 60 % 60, of_day % 60);
    if (milliseconds) n += format(to + n, size - n, ".%03lu", ns % second / 1'000'000);
    return n + format(to + n, size - n, "] ");
}

}  // namespace

size_t format_timestamp(char* to, size_t size, Timestamps t) {
    switch (t) {
        case Timestamps::none: return 0;
        case Timestamps::raw: return format(to, size, "[%016lx] ", arch::read_tsc());
        case Timestamps::date:
        case Timestamps::date_ms:
            // Before the clock has been read there is only the time since power-on.
            if (clock::wallclock().sec != 0) return format_date(to, size, t == Timestamps::date_ms);
            [[fallthrough]];
        case Timestamps::boot: break;
    }
    const auto ns = static_cast<uint64_t>(clock::now().n);
    return format(to, size, "[%5lu.%06lu] ", ns / second, ns % second / 1000);
}

}  // namespace hv
