// SPDX-License-Identifier: Apache-2.0
/// A log that somebody else may make grow: when it is full it becomes FILE.1, in the place of an earlier one, and begins anew.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "toolstack/service/fd.hpp"

namespace xenconsoled {

class CappedLog {
public:
    /// `limit`: bytes of the file; 0: none.
    explicit CappedLog(uint64_t limit = 0) : limit_(limit) {}
    /// Goes on with the file at `path`. Errors: the system's; it is closed then.
    base::Outcome<> open(const std::string& path);
    bool is_open() const { return static_cast<bool>(file_); }
    /// Appends what there is room for on the disk.
    void append(std::string_view bytes);

private:
    void make_room(size_t bytes);

    uint64_t limit_;
    uint64_t size_ = 0;
    std::string path_;
    service::Fd file_;
};

}  // namespace xenconsoled
