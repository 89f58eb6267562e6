// SPDX-License-Identifier: Apache-2.0
#include "toolstack/service/log.hpp"

#include <fcntl.h>

#include <ctime>

namespace service {

Log::Log(std::string path) : path_(std::move(path)) { reopen(); }

void Log::reopen() {
    if (!path_.empty()) file_ = Fd(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
}

void Log::line(std::string_view text) {
    std::timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    std::tm parts{};
    ::gmtime_r(&now.tv_sec, &parts);
    char stamp[40];
    const size_t n = std::strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ ", &parts);
    std::string whole(stamp, n);
    whole += text;
    whole += '\n';
    (void)!::write(file_ ? file_.get() : 2, whole.data(), whole.size());
}

}  // namespace service
