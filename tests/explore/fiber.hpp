// SPDX-License-Identifier: Apache-2.0
/// A stack to run a function on, and the switch between two of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

namespace explore {

/// Saves the callee-saved registers on the stack, leaves its pointer in *save and goes on where `load` was saved.
extern "C" void explore_switch_stack(void** save, void* load);

class Fiber {
    static constexpr size_t stack_bytes = size_t{256} << 10;
    std::unique_ptr<uint8_t[]> stack_{new uint8_t[stack_bytes]};

public:
    void* sp = nullptr;

    /// The next switch to it calls `entry`, which never returns.
    void prepare(void (*entry)()) {
        auto* top = reinterpret_cast<uint64_t*>(stack_.get() + stack_bytes - 64);
        top = reinterpret_cast<uint64_t*>(reinterpret_cast<uintptr_t>(top) & ~uintptr_t{15});
        *--top = 0;  // where entry would return to
        *--top = reinterpret_cast<uint64_t>(entry);
        for (int i = 0; i < 6; ++i) *--top = 0;
        sp = top;
    }
};

}  // namespace explore
