// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/server/log_file.hpp"

#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <filesystem>

#include "toolstack/xend/core/log.hpp"

namespace xend {

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

spdlog::level::level_enum level_named(const std::string& name) {
    if (name == "DEBUG") return spdlog::level::debug;
    if (name == "WARNING") return spdlog::level::warn;
    if (name == "ERROR" || name == "CRITICAL") return spdlog::level::err;
    return spdlog::level::info;
}

}  // namespace

base::Outcome<> open_log(const std::string& file, const std::string& level, LogTo to) {
    try {
        std::shared_ptr<spdlog::logger> logger;
        if (to == LogTo::terminal) {
            logger = spdlog::stderr_logger_mt("xend");
        } else {
            std::error_code ignored;
            std::filesystem::create_directories(std::filesystem::path(file).parent_path(), ignored);
            logger = spdlog::rotating_logger_mt("xend", file, 1U << 20U, 5);
        }
        logger->set_pattern("[%Y-%m-%d %H:%M:%S.%e xend %P] %^%l%$ %v");
        logger->set_level(level_named(level));
        logger->flush_on(spdlog::level::debug);
        set_log_sink([logger](LogLevel l, const std::string& text) { logger->log(spdlog_level(l), "{}", text); });
    } catch (const spdlog::spdlog_ex& e) { return base::fail(base::Errc::io, "cannot write " + file + ": " + e.what()); }
    return base::ok;
}

}  // namespace xend
