// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/adapters/file_records.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "lib/base/number.hpp"
#include "toolstack/config/domain_sxp.hpp"
#include "toolstack/config/load.hpp"
#include "toolstack/service/log.hpp"

namespace xend {

using base::Errc;
using base::Outcome;
using proto::Sxp;
using service::log;
using service::LogLevel;

namespace {

constexpr size_t record_limit = 1U << 20U;

int64_t number(const Sxp& sxp, const char* name) { return base::parse_number<int64_t>(sxp.child_value(name, "0")).value_or(0); }

Outcome<Record> read_record(const std::string& path) {
    const std::string text = OTRY(config::read_file(path, record_limit));
    return record_from_sxp(OTRY(proto::parse_sxp(text)));
}

Sxp saving_sxp(const SaveIntent& saving) {
    Sxp out = Sxp::named("saving");
    out.add("step", std::string(save_step_names[static_cast<size_t>(saving.step)])).add("file", saving.file);
    out.add("identity", saving.identity).add("stays", saving.stays ? "1" : "0");
    if (!saving.transfer.empty()) out.add("transfer", saving.transfer);
    return out.add("until", std::to_string(saving.until));
}

Outcome<SaveIntent> saving_from_sxp(const Sxp& sxp) {
    const auto step = std::ranges::find(save_step_names, sxp.child_value("step", "asking"));
    if (step == save_step_names.end()) return base::fail(Errc::badmsg, "not a record of a domain");
    return SaveIntent{static_cast<SaveIntent::Step>(step - save_step_names.begin()),
                      sxp.child_value("file", ""),
                      sxp.child_value("identity", ""),
                      number(sxp, "stays") != 0,
                      number(sxp, "until"),
                      sxp.child_value("transfer", "")};
}

Sxp rings_sxp(const RingIntent& rings) {
    Sxp out = Sxp::named("rings");
    out.add("store_frame", std::to_string(rings.store_frame)).add("store_port", std::to_string(rings.store_port));
    return out.add("console_frame", std::to_string(rings.console_frame)).add("console_port", std::to_string(rings.console_port));
}

RingIntent rings_from_sxp(const Sxp& sxp) {
    const auto frame = [&sxp](const char* name) { return static_cast<uint64_t>(number(sxp, name)); };
    const auto port = [&sxp](const char* name) { return static_cast<uint32_t>(number(sxp, name)); };
    return {frame("store_frame"), port("store_port"), frame("console_frame"), port("console_port")};
}

}  // namespace

Sxp to_sxp(const Record& record) {
    Sxp out = Sxp::named("record");
    out.add("state", std::string(record_state_names[static_cast<size_t>(record.state)]));
    if (record.domid) out.add("domid", std::to_string(*record.domid));
    out.add("start_time", std::to_string(record.start_time));
    out.add("previous_restart", std::to_string(record.previous_restart));
    out.add("restarts", std::to_string(record.restarts));
    if (record.saving) out.add(saving_sxp(*record.saving));
    if (record.resuming) {
        Sxp resuming = Sxp::named("resuming");
        out.add(std::move(resuming.add("file", record.resuming->file).add("runs", record.resuming->runs ? "1" : "0")));
    }
    if (record.arriving) {
        Sxp arriving = Sxp::named("arriving");
        out.add(std::move(arriving.add("name", record.arriving->name).add("uuid", record.arriving->uuid.text())));
    }
    if (record.rings) out.add(rings_sxp(*record.rings));
    if (record.dumping) out.add("dumping", "1");
    if (!record.medium.empty()) out.add("medium", record.medium);
    if (!record.renaming.empty()) out.add("renaming", record.renaming);
    if (!record.reason.empty()) out.add("reason", record.reason);
    for (const DeviceIntent& device : record.devices) {
        Sxp one = Sxp::named("device");
        one.add("kind", device.kind).add("devid", std::to_string(device.devid)).add("back", std::to_string(device.back));
        if (!device.script.empty()) one.add("script", device.script);
        if (!device.running.empty()) one.add("running", device.running);
        if (!device.server.empty()) one.add("server", device.server);
        if (device.step != DeviceStep::none) one.add("step", std::string(device_step_names[static_cast<size_t>(device.step)]));
        out.add(std::move(one));
    }
    return out.add(config::to_sxp(record.config));
}

Outcome<Record> record_from_sxp(const Sxp& sxp) {
    const Sxp* vm = sxp.child("vm");
    const std::string state = sxp.child_value("state", "");
    const auto at = std::find(record_state_names.begin(), record_state_names.end(), state);
    if (sxp.name() != "record" || vm == nullptr || at == record_state_names.end())
        return base::fail(Errc::badmsg, "not a record of a domain");
    Record out;
    out.config = OTRY(config::from_sxp(*vm));
    out.state = static_cast<RecordState>(at - record_state_names.begin());
    if (sxp.child("domid") != nullptr) out.domid = static_cast<uint32_t>(number(sxp, "domid"));
    out.start_time = number(sxp, "start_time");
    out.previous_restart = number(sxp, "previous_restart");
    out.restarts = static_cast<uint32_t>(number(sxp, "restarts"));
    if (const Sxp* saving = sxp.child("saving")) out.saving = OTRY(saving_from_sxp(*saving));
    if (const Sxp* resuming = sxp.child("resuming"))
        out.resuming = ResumeIntent{resuming->child_value("file", ""), number(*resuming, "runs") != 0};
    if (const Sxp* arriving = sxp.child("arriving")) {
        const auto uuid = config::Uuid::parse(arriving->child_value("uuid", ""));
        if (!uuid) return base::fail(Errc::badmsg, "not a record of a domain");
        out.arriving = ArriveIntent{arriving->child_value("name", ""), *uuid};
    }
    if (const Sxp* rings = sxp.child("rings")) out.rings = rings_from_sxp(*rings);
    out.dumping = number(sxp, "dumping") != 0;
    out.medium = sxp.child_value("medium", "");
    out.renaming = sxp.child_value("renaming", "");
    out.reason = sxp.child_value("reason", "");
    for (const Sxp* device : sxp.children("device")) {
        const auto step = std::ranges::find(device_step_names, device->child_value("step", "none"));
        if (step == device_step_names.end()) return base::fail(Errc::badmsg, "not a record of a domain");
        out.devices.push_back({device->child_value("kind", ""), static_cast<uint32_t>(number(*device, "devid")),
                               static_cast<uint32_t>(number(*device, "back")), device->child_value("script", ""),
                               device->child_value("running", ""), static_cast<DeviceStep>(step - device_step_names.begin()),
                               device->child_value("server", "")});
    }
    return out;
}

Outcome<> FileRecords::prepare() {
    std::error_code error;
    std::filesystem::create_directories(folder_, error);
    if (!error) std::filesystem::permissions(folder_, std::filesystem::perms::owner_all, error);
    if (error) return base::fail(Errc::io, "cannot make " + folder_ + ": " + error.message());
    return base::ok;
}

Outcome<std::vector<RecordPtr>> FileRecords::load() {
    const std::lock_guard guard(mutex_);
    read_all();
    std::vector<RecordPtr> out;
    out.reserve(known_->size());
    for (const auto& [uuid, record] : *known_) out.push_back(record);
    return out;
}

/// The files are read once: nobody else writes them.
void FileRecords::read_all() {
    if (known_) return;
    known_.emplace();
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder_, error)) {
        if (entry.path().extension() != ".sxp") continue;
        auto record = read_record(entry.path().string());
        if (record) {
            const config::Uuid uuid = record->config.uuid;
            known_->insert_or_assign(uuid, std::make_shared<const Record>(std::move(record).take()));
        } else {
            log(LogLevel::error, entry.path().string() + " is ignored: " + record.failure().text);
        }
    }
}

Outcome<std::optional<Record>> FileRecords::find(const config::Uuid& uuid) {
    const std::lock_guard guard(mutex_);
    read_all();
    const auto at = known_->find(uuid);
    return at == known_->end() ? std::optional<Record>{} : std::optional<Record>{*at->second};
}

Outcome<> FileRecords::save(const Record& record) {
    const std::lock_guard guard(mutex_);
    const std::string to = path(record.config.uuid);
    const std::string fresh = to + ".new";
    const std::string text = proto::to_pretty_string(to_sxp(record)) + "\n";
    const int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return base::fail(Errc::io, "cannot write " + fresh + ": " + std::strerror(errno));
    const bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    const int error = errno;
    ::close(fd);
    if (!written) {
        ::unlink(fresh.c_str());
        return base::fail(Errc::nospc, "cannot write " + fresh + ": " + std::strerror(error));
    }
    if (::rename(fresh.c_str(), to.c_str()) != 0) return base::fail(Errc::io, "cannot write " + to + ": " + std::strerror(errno));
    read_all();
    known_->insert_or_assign(record.config.uuid, std::make_shared<const Record>(record));
    return base::ok;
}

Outcome<> FileRecords::remove(const config::Uuid& uuid) {
    const std::lock_guard guard(mutex_);
    if (::unlink(path(uuid).c_str()) != 0 && errno != ENOENT) {
        return base::fail(Errc::io, "cannot remove " + path(uuid) + ": " + std::strerror(errno));
    }
    if (known_) known_->erase(uuid);
    return base::ok;
}

}  // namespace xend
