// SPDX-License-Identifier: Apache-2.0
/// The hypervisor's trace buffers, mapped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "toolstack/xenctrl/control.hpp"

namespace xentrace {

/// What waits in one CPU's buffer: records, of which the end of the buffer may cut one run into two.
struct Window {
    std::span<const std::byte> first, second;
    size_t bytes() const { return first.size() + second.size(); }
};

/// One CPU's buffer. The hypervisor puts records in; what is consumed makes room.
class Ring {
    xencall::ForeignMapping pages_;
    uint32_t size_;  ///< bytes of records

public:
    explicit Ring(xencall::ForeignMapping pages);
    /// Errors: io, the buffer's own figures make no sense.
    base::Outcome<Window> waiting() const;
    /// So many bytes of what waiting() gave are not needed any more.
    void consume(size_t bytes);
};

/// Maps the buffers; where there are none yet, makes them with `pages` for each CPU. Buffers are made once a boot: those that there are
/// keep their size. Errors: those of the hypervisor, nomem.
base::Outcome<std::vector<Ring>> open_rings(xenctrl::Control& control, uint32_t pages);

}  // namespace xentrace
