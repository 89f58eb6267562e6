// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/server/monitor.hpp"

#include "toolstack/xend/server/metrics.hpp"

namespace xend {

using base::Errc;
using base::Outcome;

namespace {

/// Text of one line, whatever a failure says.
std::string one_line(std::string text) {
    for (char& c : text) {
        if (c < ' ' && c >= 0) c = ' ';
    }
    return text;
}

void line(std::string& out, const char* what, const Outcome<>& result) {
    out += result ? "ok " : "not ok ";
    out += what;
    if (!result) out += ": " + one_line(result.failure().text);
    out += '\n';
}

}  // namespace

Reply Monitor::handle(const Request& request) {
    if (request.method != Request::Method::get) return {405, "text/plain", {}, "Only GET is understood here.\n"};
    if (request.path == "/healthz") return health();
    auto text = metrics();
    if (text) return {200, PrometheusText::mime_type, {}, std::move(text).take()};
    return {503, "text/plain", {}, one_line(text.failure().text) + "\n"};
}

/// A store that hangs answers nobody for seconds: those who look every second must not take all threads for looks.
Outcome<> Monitor::ask_store() {
    constexpr std::chrono::seconds patience{1};
    const std::unique_lock asking(asking_, std::try_to_lock);
    if (!asking) {
        const std::lock_guard guard(asked_mutex_);
        if (!since_ || std::chrono::steady_clock::now() - *since_ < patience) return answer_;
        return base::fail(Errc::timedout, "it was asked and has not answered yet");
    }
    {
        const std::lock_guard guard(asked_mutex_);
        since_ = std::chrono::steady_clock::now();
    }
    const auto value = manager_.store_value("/local/domain/0/name");
    const std::lock_guard guard(asked_mutex_);
    since_.reset();
    answer_ = value ? Outcome<>(base::ok) : Outcome<>(value.failure());
    return answer_;
}

Reply Monitor::health() {
    const Outcome<> store = ask_store();
    const auto host = manager_.hypervisor().host();
    const auto unfinished = vitals_.unfinished();
    Reply reply{store && host && unfinished.empty() ? 200 : 503, "text/plain; charset=utf-8", {}, {}};
    line(reply.body, "store", store);
    line(reply.body, "hypervisor", host ? Outcome<>(base::ok) : Outcome<>(host.failure()));
    if (unfinished.empty()) line(reply.body, "recovery", base::ok);
    for (const auto& [what, why] : unfinished) line(reply.body, "recovery", base::fail(Errc::again, what + ": " + why));
    return reply;
}

Outcome<std::string> Monitor::metrics() {
    PrometheusText out;
    OTRY(write_host_metrics(out, manager_));
    OTRY(write_domain_metrics(out, manager_, clock_.unix_seconds(), sys_));
    write_own_metrics(out, vitals_, load_());
    return out.take();
}

}  // namespace xend
