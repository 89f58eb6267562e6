// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/core/log.hpp"

namespace xend {

namespace {

LogSink& sink() {
    static LogSink instance;
    return instance;
}

}  // namespace

void set_log_sink(LogSink to) { sink() = std::move(to); }

void log(LogLevel level, const std::string& text) {
    if (sink()) sink()(level, text);
}

}  // namespace xend
