// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/server/dispatcher.hpp"

#include <algorithm>
#include <array>

#include "lib/proto/sxp.hpp"

namespace xend {

namespace {

constexpr std::string_view domain_folder = "/xend/domain", vnet_folder = "/xend/vnet";
/// Operations of a domain that change nothing, although clients may POST them; and the one that tells the job that works on it to end.
constexpr std::array<std::string_view, 6> looks = {"devices",          "vcpuinfo",         "domain_sched_credit_get",
                                                   "domain_sched_get", "wait_for_devices", "migrate_cancel"};

Reply safe_answer(const Dispatcher::Answer& answer, const Request& request) {
    try {
        return answer(request);
    } catch (const std::exception&) {  // out of memory and the like must not end the server
        return {200, "application/sxp", {}, "(xend.err 'internal error: exception')"};
    }
}

/// The name in the configuration of a domain that is to be made.
std::string name_in(const Request& request) {
    const auto config = request.fields.find("config");
    if (config == request.fields.end()) return {};
    const auto sxp = proto::parse_sxp(config->second);
    return sxp ? sxp->child_value("name", "") : std::string();
}

}  // namespace

Dispatcher::Dispatcher(Answer answer, unsigned job_threads, unsigned look_threads)
    : answer_(std::move(answer)), looks_(look_threads), jobs_(job_threads) {}

std::string Dispatcher::lane_of(const Request& request) {
    if (request.method == Request::Method::post && request.path.starts_with(vnet_folder)) return vnet_lane;
    if (request.method != Request::Method::post || !request.path.starts_with(domain_folder)) return {};
    const auto op = request.fields.find("op");
    if (op == request.fields.end() || std::find(looks.begin(), looks.end(), op->second) != looks.end()) return {};
    std::string_view who = std::string_view(request.path).substr(domain_folder.size());
    while (who.starts_with('/')) who.remove_prefix(1);
    while (who.ends_with('/')) who.remove_suffix(1);
    // A file that hangs holds up who reads it, and no other one.
    const auto file = request.fields.find("file");
    if (who.empty() && op->second == "restore" && file != request.fields.end()) return "file " + file->second;
    if (who.empty()) return lane_of_domain(name_in(request));
    return lane_of_domain(std::string(who));
}

void Dispatcher::handle(Request request, Done done) {
    const std::string lane = lane_of(request);
    const auto job = [this, request = std::move(request), done = std::move(done)] { done(safe_answer(answer_, request)); };
    if (lane.empty()) {
        looks_.post(std::to_string(next_look_++), job);
    } else {
        post(lane, job);
    }
}

void Dispatcher::post(const std::string& lane, service::JobQueues::Job job) {
    jobs_.post(lane, [this, job = std::move(job)] {
        job();
        changed_();
    });
}

void Dispatcher::finish() {
    jobs_.finish();
    looks_.finish();
}

}  // namespace xend
