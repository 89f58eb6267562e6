// SPDX-License-Identifier: Apache-2.0
// Work in several steps that is either finished or leaves nothing behind.
#pragma once

#include <functional>
#include <utility>
#include <vector>

namespace builder {

/// Runs the registered steps, newest first, unless commit() was called. Steps must not throw.
class Undo {
public:
    Undo() = default;
    Undo(const Undo&) = delete;
    Undo& operator=(const Undo&) = delete;
    ~Undo() {
        for (; !steps_.empty(); steps_.pop_back()) steps_.back()();
    }
    void on_failure(std::function<void()> step) { steps_.push_back(std::move(step)); }
    void commit() { steps_.clear(); }

private:
    std::vector<std::function<void()>> steps_;
};

}  // namespace builder
