// SPDX-License-Identifier: Apache-2.0
#include "toolstack/service/log.hpp"

#include <fcntl.h>

#include <ctime>
#include <mutex>

#include "lib/base/plain_text.hpp"
#include "toolstack/service/fd.hpp"

namespace service {

namespace {

struct Front {
    std::mutex mutex;
    std::unique_ptr<LogTarget> target;
};

Front& front() {
    static Front instance;
    return instance;
}

class LineLog final : public LogTarget {
    std::string path_;
    Fd file_;

public:
    explicit LineLog(std::string path) : path_(std::move(path)) { LineLog::reopen(); }

    void reopen() override {
        if (!path_.empty()) file_ = Fd(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
    }

    void write(LogLevel, std::string_view text) override {
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
};

}  // namespace

void set_log(std::unique_ptr<LogTarget> target) {
    const std::lock_guard guard(front().mutex);
    front().target = std::move(target);
}

void log(LogLevel level, std::string_view text) {
    const std::lock_guard guard(front().mutex);
    // Parts of it may be what a guest or another host said.
    if (front().target) front().target->write(level, base::plain_text(text));
}

void reopen_log() {
    const std::lock_guard guard(front().mutex);
    if (front().target) front().target->reopen();
}

std::unique_ptr<LogTarget> line_log(std::string path) { return std::make_unique<LineLog>(std::move(path)); }

LogLevel log_level_named(std::string_view name) {
    if (name == "DEBUG") return LogLevel::debug;
    if (name == "WARNING") return LogLevel::warning;
    if (name == "ERROR" || name == "CRITICAL") return LogLevel::error;
    return LogLevel::info;
}

}  // namespace service
