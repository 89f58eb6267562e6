// SPDX-License-Identifier: Apache-2.0
/// How a serial line is set, as com1= and com2= of the command line have it.
#pragma once

#include <cstdint>
#include <string_view>

#include "lib/base/result.hpp"

namespace parse {

struct SerialSettings {
    uint32_t baud = 115200;  ///< 0: as the firmware set it
    uint16_t port = 0x3f8;
    uint8_t irq = 4;
    uint8_t line = 3;  ///< line control register: 8n1
};

/// "115200,8n1[,IO[,IRQ]]", each of them may be empty; `auto` keeps the rate the firmware set. Errors: inval, range.
base::Result<SerialSettings> parse_serial(std::string_view text, SerialSettings defaults);

}  // namespace parse
