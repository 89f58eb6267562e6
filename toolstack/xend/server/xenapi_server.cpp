// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/server/xenapi_server.hpp"

#include <algorithm>
#include <array>

#include "toolstack/xend/server/xenapi_objects.hpp"
#include "toolstack/xend/server/xmlrpc_methods.hpp"

namespace xend::xenapi {

using xmlrpc::Call;
using xmlrpc::Param;
using enum xmlrpc::ParamType;

namespace {

constexpr size_t most_sessions = 200;

Value text(std::string value) { return Value::of_text(std::move(value)); }

Value success(Value value) { return Value::record().add("Status", text("Success")).add("Value", std::move(value)); }

Value failure(std::vector<std::string> why) {
    Value list = Value::list();
    for (std::string& word : why) list.add(text(std::move(word)));
    return Value::record().add("Status", text("Failure")).add("ErrorDescription", std::move(list));
}

Value unknown(const std::string& method) { return failure({"MESSAGE_METHOD_UNKNOWN", method}); }

Value wrong_count(const std::string& method, size_t wanted, size_t got) {
    return failure({"MESSAGE_PARAMETER_COUNT_MISMATCH", method, std::to_string(wanted), std::to_string(got)});
}

/// What changes something, and what it stands for. Parameters are those behind the session.
struct Action {
    std::string_view name, path, op;
    std::vector<Param> params;
    std::vector<std::pair<std::string_view, std::string_view>> fields = {};  // that are always so
    bool tells = false;                                                      // the reply is a text
};

/// Parameters that are no field of their own: the name of one and its value, and a map of them; of these alone.
constexpr std::string_view field_name = "?", of_that_name = "=", some_fields = "*";
constexpr auto named_fields = std::to_array<std::string_view>({"weight", "cap", "port", "resource"});

constexpr std::string_view of_vm = "/xend/domain/", of_node = "/xend/node";

// clang-format off
const std::vector<Action>& actions() {
    constexpr Param vm{"", a_domain}, ignored{"", a_flag};
    static const std::vector<Action> all = {
        {"VM.start", of_vm, "start", {vm, {"paused", a_flag}, ignored}},
        {"VM.pause", of_vm, "pause", {vm}},
        {"VM.unpause", of_vm, "unpause", {vm}},
        {"VM.clean_shutdown", of_vm, "shutdown", {vm}, {{"reason", "poweroff"}}},
        {"VM.clean_reboot", of_vm, "shutdown", {vm}, {{"reason", "reboot"}}},
        {"VM.hard_shutdown", of_vm, "destroy", {vm}},
        {"VM.suspend", of_vm, "suspend", {vm}},
        {"VM.resume", of_vm, "resume", {vm, {"paused", a_flag}, ignored}},
        {"VM.destroy", of_vm, "delete", {vm}},
        {"VM.set_name_label", of_vm, "rename", {vm, {"name", a_text}}},
        {"VM.set_VCPUs_number_live", of_vm, "set_vcpus", {vm, {"vcpus", a_number}}},
        {"VM.set_memory_dynamic_max_live", of_vm, "mem_target_set", {vm, {"target", some_bytes}}},
        {"VM.add_to_VCPUs_params_live", of_vm, "domain_sched_credit_set", {vm, {field_name, a_text}, {of_that_name, a_number}}},
        {"VM.migrate", of_vm, "migrate", {vm, {"destination", a_text}, {"live", a_flag}, {some_fields, a_text}}},
        {"VM.send_sysrq", of_vm, "sysrq", {vm, {"key", a_text}}},
        {"VM.send_trigger", of_vm, "send_trigger", {vm, {"type", a_text}, {"vcpu", a_number}}},
        {"host.send_debug_keys", of_node, "debug_keys", {ignored, {"keys", a_text}}},
        {"host.dmesg", "/xend/node/dmesg", "", {ignored}, {}, true},
        {"host.dmesg_clear", "/xend/node/dmesg", "clear", {ignored}, {}, true},
        {"host.get_log", "/xend/node/log", "", {ignored}, {}, true},
    };
    return all;
}
// clang-format on

/// In the description, and not here.
constexpr auto missing =
    std::to_array<std::string_view>({"VM.create",      "VM.clone",         "VM.hard_reboot", "VM.set_memory_dynamic_min_live",
                                     "host.disable",   "host.enable",      "host.shutdown",  "host.reboot",
                                     "event.register", "event.unregister", "event.next",     "VBD.create",
                                     "VBD.destroy",    "VIF.create",       "VIF.destroy",    "VDI.create",
                                     "VDI.destroy",    "console.create",   "network.create", "network.destroy",
                                     "task.cancel"});

const Action* find_action(const std::string& name) {
    const auto at = std::ranges::find(actions(), name, &Action::name);
    return at == actions().end() ? nullptr : &*at;
}

std::string param_of(const Call& call, size_t index) {
    return index < call.params.size() ? call.params[index].text : std::string();
}

Value records_of(const std::vector<Record>& all) {
    Value out = Value::record();
    for (const Record& one : all) out.add(one.find("uuid")->text, one);
    return out;
}

Value refs_of(const std::vector<Record>& all, std::string_view label = {}) {
    Value out = Value::list();
    for (const Record& one : all) {
        const Value* const name = one.find("name_label");
        if (label.empty() || (name != nullptr && name->text == label)) out.add(*one.find("uuid"));
    }
    return out;
}

/// CLASS.MESSAGE that looks at objects; `params` are those behind the session.
Value ask(const Class& kind, const std::string& method, const std::string& message, const Snapshot& s,
          std::span<const Value> params) {
    const std::vector<Record> all = kind.all(s);
    const size_t wanted = message == "get_all" || message == "get_all_records" ? 0 : 1;
    const auto refuse_count = [&] { return wrong_count(method, wanted + 1, params.size() + 1); };
    if (message == "get_all") return params.empty() ? success(refs_of(all)) : refuse_count();
    if (message == "get_all_records") return params.empty() ? success(records_of(all)) : refuse_count();
    const bool named = !all.empty() && all.front().find("name_label") != nullptr;
    if (params.size() != 1) return refuse_count();
    const std::string& ref = params[0].text;
    if (message == "get_by_name_label") return named || all.empty() ? success(refs_of(all, ref)) : unknown(method);
    const auto at = std::ranges::find_if(all, [&](const Record& one) { return one.find("uuid")->text == ref; });
    const bool by_uuid = message == "get_by_uuid";
    if (!message.starts_with("get_")) return unknown(method);
    if (at == all.end()) return failure({by_uuid ? "UUID_INVALID" : "HANDLE_INVALID", std::string(kind.name), ref});
    if (by_uuid) return success(*at->find("uuid"));
    if (message == "get_record") return success(*at);
    const Value* const field = at->find(message.substr(4));
    return field != nullptr ? success(*field) : unknown(method);
}

/// Every message that is answered with something else than MESSAGE_METHOD_UNKNOWN.
Value list_methods(const Snapshot& s) {
    Value out = Value::list();
    const auto add = [&](std::string name) { out.add(text(std::move(name))); };
    for (const char* name : {"login_with_password", "logout", "get_uuid", "get_this_user", "get_this_host"})
        add(std::string("session.") + name);
    for (const Action& action : actions()) add(std::string(action.name));
    add("host.list_methods");
    for (const Class& kind : classes()) {
        const std::string dot = std::string(kind.name) + ".get_";
        for (const char* name : {"all", "all_records", "by_uuid", "record"}) add(dot + name);
        const auto all = kind.all(s);
        if (all.empty()) continue;
        if (all.front().find("name_label") != nullptr) add(dot + "by_name_label");
        for (const std::string& field : all.front().names) add(dot + field);
    }
    return out;
}

bool may_be_named(const std::string& name) { return std::ranges::find(named_fields, name) != named_fields.end(); }

/// Puts what a map says into the request's fields. Which one is not taken, and why; nothing: all were.
std::optional<std::pair<std::string, std::string>> take_fields(const Value& map, Request& request) {
    if (map.kind != Value::Kind::structure) return std::pair("options", "a map is wanted");
    for (size_t i = 0; i < map.items.size(); ++i) {
        if (!may_be_named(map.names[i])) return std::pair(map.names[i], "there is no such option");
        auto value = xmlrpc::param_text(a_number, map.items[i]);
        if (!value) return std::pair(map.names[i], value.failure().text);
        request.fields[map.names[i]] = std::move(value).take();
    }
    return std::nullopt;
}

/// Why an action did not succeed; nothing: it did.
std::optional<Value> failure_in(const Reply& reply, const std::string& vm) {
    if (reply.status >= 400) return failure({"INTERNAL_ERROR", reply.body});
    if (!reply.body.starts_with("(xend.err")) return std::nullopt;
    const auto sxp = proto::parse_sxp(reply.body);
    const std::string why = sxp && sxp->items().size() > 1 ? sxp->items()[1].text() : reply.body;
    if (!vm.empty() && why == "Domain '" + vm + "' does not exist.") return failure({"HANDLE_INVALID", "VM", vm});
    return failure({"INTERNAL_ERROR", why});
}

}  // namespace

/// Whoever can ask may ask: the name is only shown. The ones that were not used for longest make room.
Value Server::login(const Call& call) {
    if (call.params.size() < 2) return wrong_count(call.method, 2, call.params.size());
    const std::lock_guard guard(mutex_);
    if (sessions_.size() >= most_sessions)
        sessions_.erase(std::ranges::min_element(sessions_, {}, [](const auto& one) { return one.second.last; }));
    const std::string ref = config::Uuid::random().text();
    sessions_[ref] = {param_of(call, 0).substr(0, 100), ++uses_};
    return success(text(ref));
}

std::string Server::user_of(const std::string& session) {
    const std::lock_guard guard(mutex_);
    const auto at = sessions_.find(session);
    if (at == sessions_.end()) return {};
    at->second.last = ++uses_;
    return at->second.user.empty() ? "root" : at->second.user;
}

Value Server::in_session(const Call& call, const std::string& user) {
    const std::string session = param_of(call, 0);
    if (call.method == "session.logout") {
        const std::lock_guard guard(mutex_);
        sessions_.erase(session);
        return success(text(""));
    }
    if (call.params.size() > 2) return wrong_count(call.method, 2, call.params.size());
    if (call.method == "session.get_uuid") return success(text(session));
    if (call.method == "session.get_this_user") return success(text(user));
    return unknown(call.method);
}

void Server::handle(const Call& call, Done done) {
    if (call.method == "session.login_with_password") return done(login(call));
    const std::string session = param_of(call, 0), user = user_of(session);
    if (call.method == "session.slave_login" || call.method == "session.slave_local_login")
        return done(failure({"SESSION_AUTHENTICATION_FAILED", "this host has no pool", call.method}));
    if (user.empty()) return done(failure({"SESSION_INVALID", session}));
    if (call.method.starts_with("session.") && call.method != "session.get_this_host") return done(in_session(call, user));
    if (std::ranges::find(missing, call.method) != missing.end()) return done(failure({"NOT_IMPLEMENTED", call.method}));
    if (find_action(call.method) != nullptr) return act(call, std::move(done));
    dispatcher_.look([this, call, done = std::move(done)] { done(look(call)); });
}

Value Server::look(const Call& call) {
    const size_t dot = call.method.find('.');
    const std::string message = dot == std::string::npos ? "" : call.method.substr(dot + 1);
    const bool this_host = call.method == "session.get_this_host", list = call.method == "host.list_methods";
    const Class* const kind = find_class(std::string_view(call.method).substr(0, dot));
    if (!this_host && (kind == nullptr || message.empty())) return unknown(call.method);
    const auto snapshot = take_snapshot(manager_, clock_.unix_seconds(), sys_);
    if (!snapshot) return failure({"INTERNAL_ERROR", snapshot.failure().text});
    if (this_host) return success(text(snapshot->host_ref));
    if (list) return success(list_methods(*snapshot));
    return ask(*kind, call.method, message, *snapshot, std::span(call.params).subspan(1));
}

void Server::act(const Call& call, Done done) {
    const Action& action = *find_action(call.method);
    const auto given = std::span(call.params).subspan(1);
    if (given.size() != action.params.size()) return done(wrong_count(call.method, action.params.size() + 1, given.size() + 1));
    Request request;
    const bool changes = !action.op.empty();
    request.method = changes ? Request::Method::post : Request::Method::get;
    request.path = action.path;
    if (changes) request.fields["op"] = action.op;
    for (const auto& [name, value] : action.fields) request.fields[std::string(name)] = value;
    std::string vm, name;
    for (size_t i = 0; i < given.size(); ++i) {
        const Param& param = action.params[i];
        const auto refused = [&](const std::string& field, const std::string& why) {
            done(failure({"VALUE_NOT_SUPPORTED", field, given[i].text, why}));
        };
        if (param.type == a_domain) {
            const auto uuid = config::Uuid::parse(given[i].text);
            if (!uuid) return done(failure({"HANDLE_INVALID", "VM", given[i].text}));
            request.path += vm = uuid->text();
        } else if (param.field == field_name) {
            name = given[i].text;
            if (!may_be_named(name)) return refused("key", "there is no such parameter");
        } else if (param.field == some_fields) {
            if (const auto wrong = take_fields(given[i], request)) return refused(wrong->first, wrong->second);
        } else if (!param.field.empty()) {
            const std::string field = param.field == of_that_name ? name : std::string(param.field);
            auto value = xmlrpc::param_text(param.type, given[i]);
            if (!value) return refused(field, value.failure().text);
            request.fields[field] = std::move(value).take();
        }
    }
    dispatcher_.handle(std::move(request), [vm, tells = action.tells, done = std::move(done)](const Reply& reply) {
        const auto failed = failure_in(reply, vm);
        done(failed ? *failed : success(text(tells ? reply.body : "")));
    });
}

}  // namespace xend::xenapi
