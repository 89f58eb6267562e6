// SPDX-License-Identifier: Apache-2.0
// The only translation unit that sees spdlog.
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <filesystem>

#include "toolstack/service/log.hpp"

namespace service {

namespace {

spdlog::level::level_enum spdlog_level(LogLevel level) {
    switch (level) {
        case LogLevel::debug: return spdlog::level::debug;
        case LogLevel::info: return spdlog::level::info;
        case LogLevel::warning: return spdlog::level::warn;
        case LogLevel::error: return spdlog::level::err;
    }
    return spdlog::level::info;
}

class SpdLog final : public LogTarget {
    std::shared_ptr<spdlog::logger> logger_;

public:
    SpdLog(std::shared_ptr<spdlog::logger> logger, LogLevel least) : logger_(std::move(logger)) {
        logger_->set_pattern("[%Y-%m-%d %H:%M:%S.%e xend %P] %^%l%$ %v");
        logger_->set_level(spdlog_level(least));
        logger_->flush_on(spdlog::level::debug);
    }
    void write(LogLevel level, std::string_view text) override { logger_->log(spdlog_level(level), "{}", text); }
};

}  // namespace

base::Outcome<std::unique_ptr<LogTarget>> rotating_log(const std::string& path, LogLevel least) {
    std::error_code ignored;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
    try {
        return std::unique_ptr<LogTarget>(new SpdLog(spdlog::rotating_logger_mt("xend", path, 1U << 20U, 5), least));
    } catch (const spdlog::spdlog_ex& e) { return base::fail(base::Errc::io, "cannot write " + path + ": " + e.what()); }
}

base::Outcome<std::unique_ptr<LogTarget>> terminal_log(LogLevel least) {
    return std::unique_ptr<LogTarget>(new SpdLog(spdlog::stderr_logger_mt("xend"), least));
}

}  // namespace service
