// SPDX-License-Identifier: Apache-2.0
#include "lib/base/calendar.hpp"

#include <gtest/gtest.h>

#include <ctime>

namespace {

using base::date_of;
using base::days_of;

static_assert(date_of(0) == base::Date{1970, 1, 1});
static_assert(date_of(11016) == base::Date{2000, 2, 29});

TEST(Calendar, EachDayOfSixCenturiesIsTheLibrarys) {
    for (uint64_t day = 0; day < 600 * 366; ++day) {
        const auto seconds = static_cast<std::time_t>(day * 86400);
        std::tm tm{};
        ASSERT_TRUE(gmtime_r(&seconds, &tm));
        const base::Date d = date_of(day);
        ASSERT_EQ(d.year, static_cast<uint64_t>(tm.tm_year) + 1900) << day;
        ASSERT_EQ(d.month, static_cast<unsigned>(tm.tm_mon) + 1) << day;
        ASSERT_EQ(d.day, static_cast<unsigned>(tm.tm_mday)) << day;
        ASSERT_EQ(days_of(d), day);
    }
}

}  // namespace
