// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/types.hpp"

namespace xend {

/// Writes Prometheus' text format, version 0.0.4: families one after the other, each with its samples.
class PrometheusText {
    std::string text_;
    std::string family_;

public:
    using Labels = std::vector<std::pair<std::string_view, std::string>>;
    static constexpr const char* mime_type = "text/plain; version=0.0.4; charset=utf-8";

    /// What follows belongs to this family. A counter's name ends in _total.
    void gauge(std::string_view name, std::string_view help) { begin(name, "gauge", help); }
    void counter(std::string_view name, std::string_view help) { begin(name, "counter", help); }
    void sample(const Labels& labels, uint64_t value) { add(labels, std::to_string(value)); }
    void sample(const Labels& labels, base::Nanos seconds);
    std::string take() { return std::move(text_); }

private:
    void begin(std::string_view name, std::string_view type, std::string_view help);
    void add(const Labels& labels, const std::string& value);
};

}  // namespace xend
