// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/rt/timestamp.hpp"

#include "hypervisor/arch/x86/cpu.hpp"
#include "hypervisor/rt/clock.hpp"

namespace hv {
namespace {

constexpr uint64_t second = 1'000'000'000;

struct Date {
    uint64_t year;
    unsigned month, day;
};

/// Of a number of days since 1970-01-01, in the Gregorian calendar.
constexpr Date date_of(uint64_t days) {
    // Eras of 400 years, and years from March on: then the leap day is a year's last.
    constexpr uint64_t to_era = 719468, era_days = 146097;
    const uint64_t z = days + to_era;
    const uint64_t era = z / era_days, in_era = z % era_days;
    const uint64_t year_of_era = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    const uint64_t in_year = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const auto month_from_march = static_cast<unsigned>((5 * in_year + 2) / 153);
    const auto day = static_cast<unsigned>(in_year - (153 * month_from_march + 2) / 5 + 1);
    const unsigned month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    return {era * 400 + year_of_era + (month <= 2), month, day};
}
static_assert(date_of(0).year == 1970 && date_of(0).month == 1 && date_of(0).day == 1);
static_assert(date_of(11016).year == 2000 && date_of(11016).month == 2 && date_of(11016).day == 29);

size_t format_date(char* to, size_t size, bool milliseconds) {
    const clock::Wallclock w = clock::wallclock();
    const auto ns = static_cast<uint64_t>(clock::now().n) + w.nsec;
    const uint64_t s = w.sec + ns / second;
    const Date d = date_of(s / 86400);
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
