// SPDX-License-Identifier: Apache-2.0
/// Days since 1970-01-01 and dates of the Gregorian calendar.
#pragma once

#include <cstdint>

namespace base {

struct Date {
    uint64_t year;
    unsigned month, day;  ///< both from 1
    bool operator==(const Date&) const = default;
};

namespace detail {
// Years from March on: then the leap day is a year's last, and months follow one rule.
inline constexpr uint64_t march_of_year_0 = 719468;  ///< days before 1970-01-01
}  // namespace detail

/// Of a date from 1970 on.
constexpr uint64_t days_of(Date d) {
    const uint64_t y = d.month <= 2 ? d.year - 1 : d.year;
    const unsigned m = d.month <= 2 ? d.month + 9 : d.month - 3;
    return y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + d.day - 1 - detail::march_of_year_0;
}

constexpr Date date_of(uint64_t days) {
    constexpr uint64_t era_days = 146097;  // of 400 years
    const uint64_t z = days + detail::march_of_year_0;
    const uint64_t era = z / era_days, in_era = z % era_days;
    const uint64_t year_of_era = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    const uint64_t in_year = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const auto month_from_march = static_cast<unsigned>((5 * in_year + 2) / 153);
    const auto day = static_cast<unsigned>(in_year - (153 * month_from_march + 2) / 5 + 1);
    const unsigned month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    return {era * 400 + year_of_era + (month <= 2), month, day};
}

}  // namespace base
