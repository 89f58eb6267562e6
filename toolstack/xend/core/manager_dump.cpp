// SPDX-License-Identifier: Apache-2.0
// Core dumps, asked for and after a crash.
#include <array>
#include <ctime>

#include "toolstack/service/caught.hpp"
#include "toolstack/service/log.hpp"
#include "toolstack/service/process.hpp"
#include "toolstack/xend/core/job.hpp"

namespace xend {

using base::Outcome;
using service::log;
using service::LogLevel;

namespace {

/// FOLDER/2026-1122-0759.30-demo.3.core
std::string default_file(const std::string& folder, int64_t now, const DomainView& view) {
    const auto time = static_cast<std::time_t>(now);
    std::tm local{};
    ::localtime_r(&time, &local);
    std::array<char, 40> text{};
    std::strftime(text.data(), text.size(), "%Y-%m%d-%H%M.%S", &local);
    return folder + "/" + text.data() + "-" + view.name + "." + std::to_string(view.info.id.raw) + ".core";
}

}  // namespace

/// The record says so first: a xend that is killed meanwhile leaves no domain paused.
Outcome<> Manager::begin_dump(const DomainRef& domain, Record& record) {
    record.dumping = true;
    OTRY(ports_.records.note(record));
    return ports_.hypervisor.pause(domain);
}

Outcome<> Manager::end_dump(const DomainRef& domain, Record& record) {
    const auto info = OTRY(ports_.hypervisor.domain(domain.id));
    if (info && info->paused) OTRY(ports_.hypervisor.unpause(domain));
    record.dumping = false;
    return ports_.records.note(record);
}

Outcome<std::string> Manager::dump(const DomainView& view, const std::string& file, Dump how) {
    if (!file.empty() && !file.starts_with('/'))
        return base::fail(base::Errc::inval, "Unable to create file " + file + ": a whole path is wanted");
    const std::string path = file.empty() ? default_file(ports_.settings.dump_folder, ports_.clock.unix_seconds(), view) : file;
    if (file.empty()) OTRY(service::make_parent(path));
    OTRY(check_target(path));
    const bool stops = how == Dump::still && !view.info.paused && !view.info.shutdown;
    log(LogLevel::info, "dumping the core of domain '" + view.name + "' to " + path);
    std::optional<Record> record = view.record;
    if (stops) OTRY(record ? begin_dump(view.ref(), *record) : ports_.hypervisor.pause(view.ref()));
    const auto dumped = service::caught([&] { return ports_.hypervisor.dump_core(view.ref(), path); });
    if (stops) OTRY(record ? end_dump(view.ref(), *record) : ports_.hypervisor.unpause(view.ref()));
    if (!dumped) return dumped.failure();
    return path;
}

Outcome<std::string> Manager::dump_core(const std::string& who, const std::string& file, Dump how) {
    std::optional<Job> job;
    const DomainView view = OTRY(operate(who, Operation::dump, job));
    return dump(view, file, how);
}

}  // namespace xend
