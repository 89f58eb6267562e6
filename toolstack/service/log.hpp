// SPDX-License-Identifier: Apache-2.0
/// The log of a small daemon.
#pragma once

#include <string>
#include <string_view>

#include "toolstack/service/fd.hpp"

namespace service {

/// Lines with a time stamp to a file; to standard error when there is no file. Long-lived: reopen() after rotation.
class Log {
public:
    explicit Log(std::string path);
    void line(std::string_view text);
    void reopen();

private:
    std::string path_;
    Fd file_;
};

}  // namespace service
