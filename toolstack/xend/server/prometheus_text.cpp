// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/server/prometheus_text.hpp"

namespace xend {

namespace {

/// Names come from the store and from other tools: what is no printable ASCII is shown as '?', so that the text is always UTF-8.
std::string escaped(std::string_view text) {
    constexpr size_t most = 256;
    std::string out;
    for (const char c : text.substr(0, most)) {
        if (c == '\\' || c == '"') out += '\\';
        if (c == '\n') out += "\\n";
        else out += c >= ' ' && c <= '~' ? c : '?';
    }
    return out;
}

}  // namespace

void PrometheusText::begin(std::string_view name, std::string_view type, std::string_view help) {
    family_ = name;
    text_.append("# HELP ").append(name).append(" ").append(help).append("\n# TYPE ").append(name).append(" ").append(type) +=
        '\n';
}

void PrometheusText::add(const Labels& labels, const std::string& value) {
    text_ += family_;
    char before = '{';
    for (const auto& [name, text] : labels) {
        text_ += before;
        text_.append(name).append("=\"").append(escaped(text)) += '"';
        before = ',';
    }
    text_.append(labels.empty() ? " " : "} ").append(value) += '\n';
}

void PrometheusText::sample(const Labels& labels, base::Nanos seconds) {
    constexpr int64_t second = 1'000'000'000;
    const std::string nanoseconds = std::to_string(second + seconds.n % second);  // with a 1 in front, for the zeros
    add(labels, std::to_string(seconds.n / second) + "." + nanoseconds.substr(1));
}

}  // namespace xend
