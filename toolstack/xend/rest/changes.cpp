// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/rest/changes.hpp"

#include "lib/proto/sxp.hpp"
#include "toolstack/config/domain_json.hpp"
#include "toolstack/config/domain_sxp.hpp"
#include "toolstack/config/load.hpp"
#include "toolstack/xend/rest/etag.hpp"
#include "toolstack/xend/rest/objects.hpp"
#include "toolstack/xend/server/dispatcher.hpp"

namespace xend::rest {

using base::Errc;
using base::Outcome;

base::Outcome<> check_match(const DomainView& view, const std::string& if_match) {
    if (if_match.empty()) return base::ok;
    const std::string etag = etag_of(print_json(domain_json(view, view.record ? &*view.record : nullptr)) + "\n");
    if (names_etag(if_match, etag, Compare::strong)) return base::ok;
    return base::fail(Errc::time, "Domain '" + view.name.substr(0, 128) + "' is not as If-Match says any more");
}

namespace changes {

namespace {

using Kind = Schema::Kind;
using enum Need;

constexpr auto reasons = std::to_array<std::string_view>({"poweroff", "halt", "suspend", "crash"});
constexpr uint64_t most_mib = 1U << 24U;
constexpr int64_t guest_patience = 300;  // seconds

constexpr Schema a_document{.kind = Kind::text, .most = 1U << 20U};
constexpr Schema a_reason{.kind = Kind::text, .words = reasons};
constexpr Schema some_mib{.kind = Kind::number, .low = 1, .high = most_mib};
constexpr Schema some_vcpus{.kind = Kind::number, .low = 1, .high = config::max_vcpus};
constexpr Schema a_port{.kind = Kind::number, .low = 1, .high = 65535};
constexpr Schema some_mbit{.kind = Kind::number, .high = 1U << 20U};
constexpr Schema some_ms{.kind = Kind::number, .high = 60'000};
constexpr Schema some_rounds{.kind = Kind::number, .low = 1, .high = migration::RoundLimits::most_rounds};

constexpr Schema nothing{.kind = Kind::object};
constexpr auto create_members = std::to_array<Member>({
    {"config", config_schema_of_domain, optional, "One of these three: as an object,"},
    {"text", a_document, optional, "as a configuration file has it, without programs,"},
    {"sxp", a_document, optional, "or as xm create -n prints it"},
    {"start", a_flag, optional, "It runs, and did not die at once; else it is left paused"},
});
constexpr auto restore_members = std::to_array<Member>({{"file", a_text}, {"paused", a_flag, optional}});
constexpr auto start_members = std::to_array<Member>({{"paused", a_flag, optional}});
constexpr auto shutdown_members = std::to_array<Member>({
    {"reason", a_reason, optional, "poweroff where it is not there"},
    {"wait", a_flag, optional, "The job ends when the guest has ended; it can be cancelled, what the guest was asked for cannot"},
});
constexpr auto reboot_members = std::to_array<Member>({{"wait", a_flag, optional, "As of shutdown"}});
constexpr auto rename_members = std::to_array<Member>({{"name", a_text}});
constexpr auto save_members =
    std::to_array<Member>({{"file", a_text}, {"checkpoint", a_flag, optional, "It goes on, whatever becomes of the file"}});
constexpr auto migrate_members = std::to_array<Member>({
    {"host", a_text},
    {"port", a_port, optional, "8002"},
    {"live", a_flag, optional},
    {"mbit", some_mbit, optional, "At most so many Mbit a second; 0: as fast as it goes"},
    {"max_downtime_ms", some_ms, optional},
    {"max_rounds", some_rounds, optional},
    {"strict", a_flag, optional, "Rather stay than stand still longer than that"},
});
constexpr auto memory_members = std::to_array<Member>({{"target_mib", some_mib, optional, "It is asked to get along with it"},
                                                       {"max_mib", some_mib, optional, "It does not get more"}});
constexpr auto vcpu_members = std::to_array<Member>({{"count", some_vcpus}});
constexpr auto device_members =
    std::to_array<Member>({{"specifier", a_text, wanted, "As an element of `disk` or `vif` in a configuration file"}});

constexpr Schema create_body{.kind = Kind::object, .name = "Create", .members = create_members};
constexpr Schema restore_body{.kind = Kind::object, .name = "Restore", .members = restore_members};
constexpr Schema start_body{.kind = Kind::object, .members = start_members};
constexpr Schema shutdown_body{.kind = Kind::object, .members = shutdown_members};
constexpr Schema reboot_body{.kind = Kind::object, .members = reboot_members};
constexpr Schema rename_body{.kind = Kind::object, .members = rename_members};
constexpr Schema save_body{.kind = Kind::object, .members = save_members};
constexpr Schema migrate_body{.kind = Kind::object, .name = "Migrate", .members = migrate_members};
constexpr Schema memory_body{.kind = Kind::object, .members = memory_members};
constexpr Schema vcpus_body{.kind = Kind::object, .members = vcpu_members};
constexpr Schema device_body{.kind = Kind::object, .members = device_members};

std::string text_in(const Json& body, const char* name) { return body.contains(name) ? body[name].get<std::string>() : ""; }
bool flag_in(const Json& body, const char* name) { return body.contains(name) && body[name].get<bool>(); }
uint64_t number_in(const Json& body, const char* name, uint64_t otherwise) {
    return body.contains(name) ? body[name].get<uint64_t>() : otherwise;
}

Outcome<config::DomainConfig> config_in(const Json& body) {
    const size_t forms = size_t{body.contains("config")} + size_t{body.contains("text")} + size_t{body.contains("sxp")};
    if (forms != 1) return base::fail(Errc::inval, "One of config, text and sxp is wanted");
    if (body.contains("config")) return config::from_json(print_json(body["config"])).context("config");
    if (body.contains("sxp")) {
        const proto::Sxp sxp = OTRY(proto::parse_sxp(text_in(body, "sxp")).context("sxp"));
        return config::from_sxp(sxp).context("sxp");
    }
    config::Loaded loaded = OTRY(config::parse_config(text_in(body, "text"), "text"));
    OTRY(config::validate(loaded.config).context("text"));
    return std::move(loaded.config);
}

Outcome<Json> shown(const DomainView& view) { return domain_json(view, view.record ? &*view.record : nullptr); }

Outcome<> prepare_match(const Call& call) {
    if (call.if_match.empty()) return base::ok;
    return base::fail(Errc::time, "There is no domain yet that If-Match could mean");
}

Outcome<Target> prepare_create(Context&, Call& call) {
    OTRY(prepare_match(call));
    const config::DomainConfig config = OTRY(config_in(call.body));
    return Target{config.name, Dispatcher::lane_of_domain(config.name)};
}

Outcome<Target> prepare_restore(Context&, Call& call) {
    OTRY(prepare_match(call));
    const std::string file = text_in(call.body, "file");
    if (!file.starts_with('/')) return base::fail(Errc::inval, "file: an absolute path is wanted");
    return Target{"", "file " + file};
}

Outcome<Target> prepare_kept(Context&, Call& call) {
    OTRY(prepare_match(call));
    return Target{call.words[0], Dispatcher::lane_of_domain(call.words[0])};
}

Outcome<Target> prepare_domain(Context& context, Call& call) {
    const DomainView view = OTRY(context.manager.find(call.words[0]));
    OTRY(check_match(view, call.if_match));
    call.words[0] = view.uuid.is_nil() ? std::to_string(view.info.id.raw) : view.uuid.text();
    return Target{view.name, Dispatcher::lane_of_domain(view.name)};
}

Outcome<Target> prepare_save(Context& context, Call& call) {
    if (!text_in(call.body, "file").starts_with('/')) return base::fail(Errc::inval, "file: an absolute path is wanted");
    return prepare_domain(context, call);
}

Outcome<Target> prepare_memory(Context& context, Call& call) {
    if (call.body.empty()) return base::fail(Errc::inval, "target_mib or max_mib is wanted");
    return prepare_domain(context, call);
}

Outcome<Json> act_create(Context& context, const Call& call) {
    config::DomainConfig config = OTRY(config_in(call.body));
    return shown(OTRY(context.manager.create(std::move(config), flag_in(call.body, "start") ? Run::now : Run::later)));
}

Outcome<Json> act_restore(Context& context, const Call& call) {
    std::vector<std::string> warnings;
    const Run run = flag_in(call.body, "paused") ? Run::later : Run::now;
    const DomainView view = OTRY(context.manager.restore(text_in(call.body, "file"), run, warnings));
    Json out = OTRY(shown(view));
    if (!warnings.empty()) out["warnings"] = warnings;
    return out;
}

Outcome<Json> act_start(Context& context, const Call& call) {
    return shown(OTRY(context.manager.start_managed(call.words[0], flag_in(call.body, "paused") ? Run::later : Run::now)));
}

/// What becomes of a domain that stays.
Outcome<Json> after(Context& context, const Call& call, const Outcome<>& done) {
    OTRY(Outcome<>(done));
    return shown(OTRY(context.manager.find(call.words[0])));
}

Outcome<Json> act_pause(Context& context, const Call& call) { return after(context, call, context.manager.pause(call.words[0])); }
Outcome<Json> act_unpause(Context& context, const Call& call) {
    return after(context, call, context.manager.unpause(call.words[0]));
}

/// The guest is asked; who waits for it does not hold up what else is done to the domain.
Outcome<Json> ask_guest(Context& context, const Call& call, const std::string& reason) {
    const DomainView view = OTRY(context.manager.find(call.words[0]));
    OTRY(context.manager.shutdown(call.words[0], reason));
    if (!flag_in(call.body, "wait")) return Json{{"asked", reason}};
    context.jobs.idle(call.job, "the guest was asked");
    context.watch.follow(Following{call.job, view.ref(), context.clock.unix_seconds() + guest_patience});
    return Json(nullptr);
}

Outcome<Json> act_shutdown(Context& context, const Call& call) {
    const std::string reason = text_in(call.body, "reason");
    return ask_guest(context, call, reason.empty() ? "poweroff" : reason);
}
Outcome<Json> act_reboot(Context& context, const Call& call) { return ask_guest(context, call, "reboot"); }

Outcome<Json> act_destroy(Context& context, const Call& call) {
    OTRY(context.manager.destroy(call.words[0]));
    return Json::object();
}

Outcome<Json> act_rename(Context& context, const Call& call) {
    return after(context, call, context.manager.rename(call.words[0], text_in(call.body, "name")));
}

Outcome<Json> act_save(Context& context, const Call& call) {
    const AfterSave then = flag_in(call.body, "checkpoint") ? AfterSave::resume : AfterSave::destroy;
    OTRY(context.manager.save(call.words[0], text_in(call.body, "file"), then));
    return Json{{"file", text_in(call.body, "file")}};
}

Outcome<Json> act_migrate(Context& context, const Call& call) {
    MoveOrder order;
    order.host = text_in(call.body, "host");
    order.port = static_cast<uint16_t>(number_in(call.body, "port", order.port));
    order.live = flag_in(call.body, "live");
    order.most_mbit = static_cast<uint32_t>(number_in(call.body, "mbit", 0));
    if (call.body.contains("max_downtime_ms"))
        order.rounds.downtime = std::chrono::milliseconds{number_in(call.body, "max_downtime_ms", 0)};
    order.rounds.rounds = static_cast<uint32_t>(number_in(call.body, "max_rounds", order.rounds.rounds));
    order.rounds.strict = flag_in(call.body, "strict");
    context.watch.follow(Moving{call.job, call.words[0]});
    const auto report = context.manager.migrate(call.words[0], order);
    context.watch.end(call.job);
    if (!report) return report.failure();
    return Json{
        {"report", report->text()}, {"bytes", report->bytes}, {"rounds", report->rounds}, {"still_us", report->still().count()}};
}

Outcome<> stop_migrate(Context& context, const Call& call) { return context.manager.cancel_move(call.words[0]); }

Outcome<Json> act_memory(Context& context, const Call& call) {
    if (call.body.contains("max_mib")) OTRY(context.manager.set_max_memory(call.words[0], number_in(call.body, "max_mib", 0)));
    if (call.body.contains("target_mib"))
        OTRY(context.manager.set_memory_target(call.words[0], number_in(call.body, "target_mib", 0)));
    return shown(OTRY(context.manager.find(call.words[0])));
}

Outcome<Json> act_vcpus(Context& context, const Call& call) {
    return after(context, call,
                 context.manager.set_vcpus(call.words[0], static_cast<uint32_t>(number_in(call.body, "count", 0))));
}

template <const char* Which>
Outcome<Json> act_attach(Context& context, const Call& call) {
    return Json{{"id", OTRY(context.manager.attach_device(call.words[0], Which, text_in(call.body, "specifier")))}};
}

template <const char* Which>
Outcome<Json> act_detach(Context& context, const Call& call) {
    const auto force = call.query.find("force");
    const bool forced = force != call.query.end() && force->second == "true";
    OTRY(context.manager.detach_device(call.words[0], Which, call.words[1], forced ? Manager::Force::yes : Manager::Force::no));
    return Json::object();
}

constexpr char vbd[] = "vbd", vif[] = "vif";

}  // namespace

const Change create{create_body, prepare_create, act_create};
const Change restore{restore_body, prepare_restore, act_restore};
const Change start{start_body, prepare_kept, act_start};
const Change pause{nothing, prepare_domain, act_pause};
const Change unpause{nothing, prepare_domain, act_unpause};
const Change shutdown{shutdown_body, prepare_domain, act_shutdown};
const Change reboot{reboot_body, prepare_domain, act_reboot};
const Change destroy{nothing, prepare_domain, act_destroy};
const Change rename{rename_body, prepare_domain, act_rename};
const Change save{save_body, prepare_save, act_save};
const Change migrate{migrate_body, prepare_domain, act_migrate, stop_migrate};
const Change memory{memory_body, prepare_memory, act_memory};
const Change set_vcpus{vcpus_body, prepare_domain, act_vcpus};
const Change attach_vbd{device_body, prepare_domain, act_attach<vbd>};
const Change attach_vif{device_body, prepare_domain, act_attach<vif>};
const Change detach_vbd{nothing, prepare_domain, act_detach<vbd>};
const Change detach_vif{nothing, prepare_domain, act_detach<vif>};

}  // namespace changes

}  // namespace xend::rest
