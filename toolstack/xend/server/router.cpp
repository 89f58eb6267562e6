// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/server/router.hpp"

#include <algorithm>
#include <array>

#include "lib/base/number.hpp"
#include "toolstack/config/domain_sxp.hpp"
#include "toolstack/xend/server/request_fields.hpp"

namespace xend {

using base::Errc;
using base::Outcome;
using proto::Sxp;

namespace {

/// In the order of xenctrl::Trigger.
constexpr std::array<std::string_view, 5> trigger_names = {"nmi", "reset", "init", "power", "sleep"};

Outcome<uint64_t> number_field(const Request& request, const char* name, uint64_t most) {
    const auto value = base::parse_number<uint64_t>(OTRY(field(request, name)));
    if (!value || *value > most)
        return base::fail(Errc::inval,
                          std::string("Invalid parameter: ") + name + ": not a number up to " + std::to_string(most));
    return *value;
}

bool flag(const Request& request, const char* name) {
    const std::string value = field_or(request, name, "0");
    return value == "1" || value == "true" || value == "yes";
}

/// "/xend/domain/x" -> "domain", "x"
std::pair<std::string, std::string> split_path(std::string path) {
    if (path.starts_with("/xend")) path.erase(0, 5);
    while (path.starts_with("/")) path.erase(0, 1);
    while (path.ends_with("/")) path.pop_back();
    const size_t slash = path.find('/');
    if (slash == std::string::npos) return {path, ""};
    return {path.substr(0, slash), path.substr(slash + 1)};
}

Reply done() { return sxp_reply(Sxp::list()); }

}  // namespace

Reply sxp_reply(const Sxp& sxp) { return {200, "application/sxp", {}, proto::to_string(sxp)}; }

Reply error_reply(const base::Failure& failure) { return sxp_reply(Sxp::list({Sxp::atom("xend.err"), Sxp::atom(failure.text)})); }

Reply Router::handle(const Request& request) {
    const auto [head, below] = split_path(request.path);
    if (head.empty()) return sxp_reply(Sxp::list({Sxp::atom("ls"), Sxp::atom("node"), Sxp::atom("domain"), Sxp::atom("vnet")}));
    if (head == "node") return node(request, below);
    if (head == "domain") return below.empty() ? domain_folder(request) : domain(request, below);
    if (head == "vnet") return vnet(request, below);
    return text_reply(404, "Not found: " + request.path.substr(0, 200));
}

Reply Router::node(const Request& request, const std::string& below) {
    if (below == "dmesg") {
        const bool clear = request.method == Request::Method::post && field_or(request, "op", "") == "clear";
        auto text = manager_.hypervisor().console_ring(clear);
        return text ? text_reply(200, std::move(text).take()) : error_reply(text.failure());
    }
    if (below == "log") {
        auto text = log_text(log_file_);
        return text ? text_reply(200, std::move(text).take()) : error_reply(text.failure());
    }
    if (below == "pools") {
        auto reply = pools(request);
        return reply ? std::move(reply).take() : error_reply(reply.failure());
    }
    if (below == "hosts") {
        auto reply = hosts(request);
        return reply ? std::move(reply).take() : error_reply(reply.failure());
    }
    if (below == "config") {
        Sxp out = Sxp::named("config");
        for (const auto& [name, value] : options_) out.add(name, value);
        return sxp_reply(out);
    }
    if (!below.empty()) return text_reply(404, "Not found: " + request.path.substr(0, 200));
    if (request.method == Request::Method::post) {
        const std::string op = field_or(request, "op", "");
        if (op != "debug_keys") return no_operation(op);
        auto sent = manager_.hypervisor().debug_keys(field_or(request, "keys", ""));
        return sent ? done() : error_reply(sent.failure());
    }
    auto sxp = node_sxp(manager_);
    return sxp ? sxp_reply(*sxp) : error_reply(sxp.failure());
}

Reply Router::domain_folder(const Request& request) {
    if (request.method == Request::Method::post) {
        const std::string op = field_or(request, "op", "");
        if (op == "create" || op == "new") return create(request);
        if (op == "restore") return restore(request);
        if (op.empty()) return text_reply(406, "Invalid request");
        return no_operation(op);
    }
    auto views = manager_.domains();
    if (!views) return error_reply(views.failure());
    const bool detail = flag(request, "detail");
    const Detail how = flag(request, "full") ? Detail::full : Detail::brief;
    proto::SxpWriter out;
    out.open();
    for (const DomainGlance& view : *views) {
        if (!detail) out.atom(view.name);
        else if (flag(request, "columns")) write_columns(out, view);
        else out.add(domain_sxp(manager_, view, view.record.get(), how));
    }
    if (detail && flag(request, "managed")) {
        auto halted = manager_.halted();
        if (!halted) return error_reply(halted.failure());
        for (const config::DomainConfig& config : *halted) out.add(halted_sxp(config, manager_.is_suspended(config.uuid)));
    }
    if (detail && flag(request, "failed")) {
        auto failed = manager_.failed();
        if (!failed) return error_reply(failed.failure());
        for (const Record& record : *failed) out.add(failed_sxp(record));
    }
    out.close();
    return {200, "application/sxp", {}, out.take()};
}

Reply Router::create(const Request& request) {
    const auto make = [&]() -> Outcome<Reply> {
        const std::string text = OTRY(field(request, "config"));
        const Sxp sxp = OTRY(proto::parse_sxp(text).context("Invalid parameter: config"));
        config::DomainConfig config = OTRY(config::from_sxp(sxp));
        if (field_or(request, "op", "") == "new") {
            const std::string name = config.name;
            OTRY(manager_.define(std::move(config)));
            return sxp_reply(Sxp::pair("name", name));
        }
        const DomainView view = OTRY(manager_.create(std::move(config), flag(request, "start") ? Run::now : Run::later));
        const Sxp made = domain_sxp(manager_, view, Detail::full);
        Reply reply = sxp_reply(made);
        reply.status = 201;
        reply.location = "/xend/domain/" + view.name;
        return reply;
    };
    auto reply = make();
    return reply ? std::move(reply).take() : error_reply(reply.failure());
}

Reply Router::restore(const Request& request) {
    const auto make = [&]() -> Outcome<Reply> {
        const std::string file = OTRY(field(request, "file"));
        std::vector<std::string> warnings;
        const DomainView view = OTRY(manager_.restore(file, flag(request, "paused") ? Run::later : Run::now, warnings));
        Sxp made = domain_sxp(manager_, view, Detail::full);
        for (const std::string& warning : warnings) made.add("warning", warning);
        Reply reply = sxp_reply(made);
        reply.status = 201;
        reply.location = "/xend/domain/" + view.name;
        return reply;
    };
    auto reply = make();
    return reply ? std::move(reply).take() : error_reply(reply.failure());
}

Reply Router::domain(const Request& request, const std::string& who) {
    const std::string op = field_or(request, "op", "");
    if (request.method == Request::Method::post && op.empty()) return text_reply(406, "Invalid request");
    auto reply = domain_operation(request, who, op);
    return reply ? std::move(reply).take() : error_reply(reply.failure());
}

Outcome<Reply> Router::domain_operation(const Request& request, const std::string& who, const std::string& op) {
    if (op.empty() || op == "devices" || op == "vcpuinfo" || op == "migration") return domain_value_operation(request, who, op);
    // What changes something needs POST: a page of somebody else's must not be able to do it with a mere link.
    if (request.method != Request::Method::post) return no_operation(op);
    if (op == "pause") {
        OTRY(manager_.pause(who));
    } else if (op == "unpause") {
        OTRY(manager_.unpause(who));
    } else if (op == "shutdown") {
        OTRY(manager_.shutdown(who, field_or(request, "reason", "poweroff")));
        Reply reply = done();
        reply.status = 202;
        return reply;
    } else if (op == "destroy") {
        OTRY(manager_.destroy(who));
    } else if (op == "save") {
        const std::string file = OTRY(field(request, "file"));
        OTRY(manager_.save(who, file, flag(request, "checkpoint") ? AfterSave::resume : AfterSave::destroy));
    } else if (op == "migrate") {
        return migrate(request, who);
    } else if (op == "migrate_cancel") {
        OTRY(manager_.cancel_move(who));
    } else if (op == "start") {
        const DomainView view = OTRY(manager_.start_managed(who, flag(request, "paused") ? Run::later : Run::now));
        return sxp_reply(domain_sxp(manager_, view, Detail::full));
    } else if (op == "suspend") {
        OTRY(manager_.suspend_managed(who));
    } else if (op == "resume") {
        const DomainView view = OTRY(manager_.resume_managed(who, flag(request, "paused") ? Run::later : Run::now));
        return sxp_reply(domain_sxp(manager_, view, Detail::full));
    } else if (op == "delete") {
        OTRY(manager_.forget(who));
    } else if (op == "rename") {
        const std::string name = OTRY(field(request, "name"));
        OTRY(manager_.rename(who, name));
    } else if (op == "wait_for_devices") {
        OTRY(manager_.find(who));  // create() has waited for them
    } else if (op == "mem_target_set") {
        const uint64_t mib = OTRY(number_field(request, "target", 1U << 24U));
        OTRY(manager_.set_memory_target(who, mib));
    } else if (op == "maxmem_set") {
        const uint64_t mib = OTRY(number_field(request, "memory", 1U << 24U));
        OTRY(manager_.set_max_memory(who, mib));
    } else if (op == "device_create" || op == "device_configure" || op == "device_destroy") {
        return device_operation(request, who, op);
    } else if (op == "pincpu" || op == "set_vcpus" || op == "send_trigger") {
        OTRY(vcpu_operation(request, who, op));
    } else if (op == "dump") {
        const auto how = flag(request, "live") ? Manager::Dump::live : Manager::Dump::still;
        const std::string file = OTRY(manager_.dump_core(who, field_or(request, "file", ""), how));
        return sxp_reply(Sxp::pair("file", file));
    } else if (op == "sysrq") {
        const std::string key = OTRY(field(request, "key"));
        if (key.size() != 1) return base::fail(Errc::inval, "Invalid parameter: key");
        OTRY(manager_.sysrq(who, key[0]));
    } else {
        return domain_value_operation(request, who, op);
    }
    return done();
}

Outcome<Reply> Router::migrate(const Request& request, const std::string& who) {
    const std::string decision = field_or(request, "decision", "");
    if (decision == "reclaim" || decision == "forget") {
        OTRY(manager_.decide_departure(who, decision == "forget" ? Manager::Decision::forget : Manager::Decision::reclaim));
        return done();
    }
    MoveOrder order;
    order.host = OTRY(field(request, "destination"));
    order.live = flag(request, "live");
    if (request.fields.contains("port")) order.port = static_cast<uint16_t>(OTRY(number_field(request, "port", 65535)));
    if (order.port == 0) return base::fail(Errc::inval, "Invalid parameter: port: nobody listens at port 0");
    if (request.fields.contains("resource"))
        order.most_mbit = static_cast<uint32_t>(OTRY(number_field(request, "resource", 1U << 20U)));
    constexpr uint64_t longest_downtime = 60'000;
    if (request.fields.contains("max_downtime"))
        order.rounds.downtime = std::chrono::milliseconds{OTRY(number_field(request, "max_downtime", longest_downtime))};
    if (request.fields.contains("max_rounds"))
        order.rounds.rounds =
            static_cast<uint32_t>(OTRY(number_field(request, "max_rounds", migration::RoundLimits::most_rounds)));
    if (order.rounds.rounds == 0) return base::fail(Errc::inval, "Invalid parameter: max_rounds: the first one sends everything");
    order.rounds.strict = flag(request, "strict");
    const MoveReport report = OTRY(manager_.migrate(who, order));
    return sxp_reply(Sxp::named("migrated").add("report", report.text()));
}

Outcome<> Router::vcpu_operation(const Request& request, const std::string& who, const std::string& op) {
    constexpr uint64_t most = 1U << 16U;
    if (op == "set_vcpus") return manager_.set_vcpus(who, static_cast<uint32_t>(OTRY(number_field(request, "vcpus", most))));
    if (op == "pincpu") {
        std::optional<uint32_t> vcpu;
        if (field_or(request, "vcpu", "all") != "all") vcpu = static_cast<uint32_t>(OTRY(number_field(request, "vcpu", most)));
        const std::string cpus = OTRY(field(request, "cpumap"));
        return manager_.pin_vcpu(who, vcpu, cpus);
    }
    const uint32_t vcpu = request.fields.contains("vcpu") ? static_cast<uint32_t>(OTRY(number_field(request, "vcpu", most))) : 0;
    const std::string type = OTRY(field(request, "type"));
    const auto at = std::ranges::find(trigger_names, type);
    if (at == trigger_names.end()) return base::fail(Errc::inval, "Invalid trigger: " + type.substr(0, 40));
    return manager_.send_trigger(who, static_cast<xenctrl::Trigger>(at - trigger_names.begin()), vcpu);
}

Outcome<Reply> Router::device_operation(const Request& request, const std::string& who, const std::string& op) {
    if (op == "device_destroy") {
        const std::string kind = OTRY(field(request, "type")), device = OTRY(field(request, "dev"));
        OTRY(manager_.detach_device(who, kind, device, flag(request, "force") ? Manager::Force::yes : Manager::Force::no));
        return done();
    }
    const std::string text = OTRY(field(request, "config"));
    const Sxp sxp = OTRY(proto::parse_sxp(text).context("Invalid parameter: config"));
    const config::NamedDevice device = OTRY(config::device_from_sxp(sxp));
    if (op == "device_create") {
        const uint32_t devid = OTRY(manager_.attach_device(who, std::string(device.kind->name), device.specifier));
        return sxp_reply(Sxp::named(std::string(device.kind->name)).add("devid", std::to_string(devid)));
    }
    if (device.kind->name != "vbd") return base::fail(Errc::inval, "Refusing to reconfigure: this is no block device");
    OTRY(manager_.change_medium(who, device.specifier));
    return done();
}

Outcome<Reply> Router::domain_value_operation(const Request& request, const std::string& who, const std::string& op) {
    if (op == "domain_sched_get") {
        const xenctrl::Sched sched = OTRY(manager_.sched(who));
        Sxp out = Sxp::named("sched").add("scheduler", xenctrl::scheduler_name(sched.policy));
        for (const auto& [name, value] : sched.values) out.add(name, std::to_string(value));
        return sxp_reply(out);
    }
    if (op == "domain_sched_set") {
        const xenctrl::Sched wanted = OTRY(sched_of(request));
        OTRY(manager_.set_sched(who, wanted));
        return done();
    }
    if (op == "domain_sched_credit_get") {
        const auto params = OTRY(manager_.sched_params(who));
        return sxp_reply(Sxp::named("sched").add("weight", std::to_string(params.weight)).add("cap", std::to_string(params.cap)));
    }
    if (op == "domain_sched_credit_set") {
        auto params = OTRY(manager_.sched_params(who));
        if (request.fields.contains("weight"))
            params.weight = static_cast<uint16_t>(OTRY(number_field(request, "weight", 65535)));
        if (request.fields.contains("cap")) params.cap = static_cast<uint16_t>(OTRY(number_field(request, "cap", 65535)));
        OTRY(manager_.set_sched_params(who, params));
        return done();
    }
    if (op == "devices") {
        Sxp out = Sxp::list();
        const std::string kind = OTRY(field(request, "type"));
        for (const DeviceView& view : OTRY(manager_.devices(who, kind))) out.add(device_sxp(view));
        return sxp_reply(out);
    }
    if (op == "migration") {
        const auto move = OTRY(manager_.move_of(who));
        Sxp out = Sxp::named("migration");
        if (move)
            out.add("phase", move->phase.load())
                .add("sent", std::to_string(move->sent))
                .add("total", std::to_string(move->total));
        if (move && move->round != 0) out.add("round", std::to_string(move->round)).add("left", std::to_string(move->left));
        return sxp_reply(out);
    }
    const DomainView view = OTRY(manager_.find(who));
    if (op == "vcpuinfo") return sxp_reply(OTRY(vcpu_sxp(manager_, view)));
    if (op.empty()) return sxp_reply(domain_sxp(manager_, view, Detail::full));
    return no_operation(op);
}

}  // namespace xend
