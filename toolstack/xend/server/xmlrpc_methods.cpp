// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/server/xmlrpc_methods.hpp"

#include <algorithm>
#include <array>

#include "lib/base/number.hpp"

namespace xend::xmlrpc {

using base::Errc;
using base::Outcome;
using proto::Sxp;
using Kind = Value::Kind;

namespace {

constexpr auto get = Request::Method::get;
constexpr auto post = Request::Method::post;
constexpr std::string_view folder = "/xend/domain", node = "/xend/node";
using enum ParamType;
constexpr Param which{"", a_domain};

constexpr std::string_view of_one = "/xend/domain/";

// clang-format off
const std::vector<Method>& table() {
    static const std::vector<Method> all = {
        {"xend.domain", get, of_one, "", {which}, Answer::sxp, "The domain, with its configuration."},
        {"xend.domains", get, folder, "", {{"detail", a_flag, "1"}, {"full", a_flag, "0"}}, Answer::sxp, "All domains that are there; their names without detail."},
        {"xend.domains_with_state", get, folder, "", {{"detail", a_flag, "1"}, {"", a_text, "running"}, {"full", a_flag, "0"}}, Answer::states, "The domains that are all, running, paused, halted, suspended or crashed."},
        {"xend.domain.create", post, folder, "create", {{"config", a_config}}, Answer::sxp, "Makes a domain, which is paused."},
        {"xend.domain.new", post, folder, "new", {{"config", a_config}}, Answer::nothing, "Keeps a configuration."},
        {"xend.domain.restore", post, folder, "restore", {{"file", a_text}, {"paused", a_flag, "0"}}, Answer::sxp, "Makes the domain that a file holds."},
        {"xend.domain.start", post, of_one, "start", {which, {"paused", a_flag, "1"}}, Answer::nothing, "Makes a domain that is kept."},
        {"xend.domain.delete", post, of_one, "delete", {which}, Answer::nothing, "Forgets a configuration."},
        {"xend.domain.suspend", post, of_one, "suspend", {which}, Answer::nothing, "Suspends a domain that is kept."},
        {"xend.domain.resume", post, of_one, "resume", {which, {"paused", a_flag, "0"}}, Answer::nothing, "Makes it again."},
        {"xend.domain.save", post, of_one, "save", {which, {"file", a_text}, {"checkpoint", a_flag, "0"}}, Answer::nothing, "Writes a domain to a file."},
        {"xend.domain.migrate", post, of_one, "migrate", {which, {"destination", a_text}, {"live", a_flag, "0"}, {"resource", a_number, ""}, {"port", a_number, ""}}, Answer::nothing, "Moves a domain to another host."},
        {"xend.domain.dump", post, of_one, "dump", {which, {"file", a_text, ""}, {"live", a_flag, "0"}}, Answer::nothing, "Writes a domain's core."},
        {"xend.domain.pause", post, of_one, "pause", {which, {"", a_flag, "0"}}, Answer::nothing, "Stops the domain's processors."},
        {"xend.domain.unpause", post, of_one, "unpause", {which}, Answer::nothing, "Lets them go on."},
        {"xend.domain.destroy", post, of_one, "destroy", {which}, Answer::nothing, "Ends the domain at once."},
        {"xend.domain.shutdown", post, of_one, "shutdown", {which, {"reason", a_text, "poweroff"}}, Answer::nothing, "Asks the guest to end."},
        {"xend.domain.setName", post, of_one, "rename", {which, {"name", a_text}}, Answer::nothing, "Gives the domain another name."},
        {"xend.domain.setMemoryTarget", post, of_one, "mem_target_set", {which, {"target", a_number}}, Answer::nothing, "Asks the guest to go on with so many MiB."},
        {"xend.domain.maxmem_set", post, of_one, "maxmem_set", {which, {"memory", a_number}}, Answer::nothing, "How many MiB the domain may have."},
        {"xend.domain.setVCpuCount", post, of_one, "set_vcpus", {which, {"vcpus", a_number}}, Answer::nothing, "Asks the guest to go on with so many processors."},
        {"xend.domain.getVCPUInfo", post, of_one, "vcpuinfo", {which}, Answer::sxp, "The domain's processors."},
        {"xend.domain.pincpu", post, of_one, "pincpu", {which, {"vcpu", a_text}, {"cpumap", some_cpus}}, Answer::nothing, "Where a processor may run."},
        {"xend.domain.sched_credit_get", post, of_one, "domain_sched_credit_get", {which}, Answer::record, "The domain's weight and cap."},
        {"xend.domain.sched_credit_set", post, of_one, "domain_sched_credit_set", {which, {"weight", a_number, ""}, {"cap", a_number, ""}}, Answer::nothing, "Sets them."},
        {"xend.domain.send_sysrq", post, of_one, "sysrq", {which, {"key", a_text}}, Answer::nothing, "Sends a key to the guest's kernel."},
        {"xend.domain.send_trigger", post, of_one, "send_trigger", {which, {"type", a_text}, {"vcpu", a_number, "0"}}, Answer::nothing, "Sends nmi, reset, init, power or sleep."},
        {"xend.domain.device_create", post, of_one, "device_create", {which, {"config", a_config}}, Answer::sxp, "Connects a device."},
        {"xend.domain.device_configure", post, of_one, "device_configure", {which, {"config", a_config}, {"dev", a_text, ""}}, Answer::nothing, "Puts another medium into a CD drive."},
        {"xend.domain.destroyDevice", post, of_one, "device_destroy", {which, {"type", a_text}, {"dev", a_text}, {"force", a_flag, "0"}, {"", a_flag, "0"}}, Answer::nothing, "Takes a device off."},
        {"xend.domain.getDeviceSxprs", post, of_one, "devices", {which, {"type", a_text}}, Answer::devices, "The domain's devices of a kind."},
        {"xend.domain.waitForDevices", post, of_one, "wait_for_devices", {which}, Answer::nothing, "Returns when they are ready; create has waited for them."},
        {"xend.node.info", get, node, "", {}, Answer::sxp, "The host."},
        {"xend.node.log", get, "/xend/node/log", "", {}, Answer::text, "The end of xend's log."},
        {"xend.node.dmesg.info", get, "/xend/node/dmesg", "", {}, Answer::text, "The hypervisor's log."},
        {"xend.node.dmesg.clear", post, "/xend/node/dmesg", "clear", {}, Answer::text, "The same, and it is empty then."},
        {"xend.node.send_debug_keys", post, node, "debug_keys", {{"keys", a_text}}, Answer::nothing, "Sends keys to the hypervisor."},
    };
    return all;
}
// clang-format on

constexpr std::array<std::string_view, 3> introspections = {"system.listMethods", "system.methodHelp", "system.methodSignature"};

Outcome<std::string> number_text(const Value& value) {
    const auto number = base::parse_number<uint64_t>(value.text);
    if (value.is_scalar() && number) return std::to_string(*number);
    return base::fail(Errc::inval, "a number is wanted");
}

Outcome<std::string> flag_text(const Value& value) {
    const std::string& text = value.text;
    if (value.kind == Kind::nil || text == "0" || text == "False" || text == "false" || text.empty()) return std::string("0");
    if (value.is_scalar() && (base::parse_number<int64_t>(text) || text == "True" || text == "true")) return std::string("1");
    return base::fail(Errc::inval, "true or false is wanted");
}

Outcome<std::string> cpus_text(const Value& value) {
    if (value.is_scalar()) return value.text;
    if (value.kind != Kind::array) return base::fail(Errc::inval, "a list of CPUs is wanted");
    std::string out;
    for (const Value& item : value.items) out += (out.empty() ? "" : ",") + OTRY(number_text(item));
    return out;
}

/// As the HTTP interface has them: what ends in a slash there is named without it.
bool names_domain(const std::string& text) {
    return !text.empty() && text.size() <= 256 && !text.starts_with('/') && !text.ends_with('/');
}

std::string domain_error(const std::string& who) { return "Domain '" + who.substr(0, 128) + "' does not exist."; }

/// What went wrong, if the reply says that something did.
std::optional<Fault> fault_in(const Reply& reply, const Sxp* sxp, const std::string& who) {
    if (reply.status >= 400) return Fault{Fault::generic, reply.body};
    if (sxp == nullptr || sxp->name() != "xend.err" || sxp->items().size() != 2) return std::nullopt;
    const std::string& text = sxp->items()[1].text();
    if (!who.empty() && text == domain_error(who)) return Fault{Fault::invalid_domain, who};
    return Fault{text.starts_with("internal error") ? Fault::internal : Fault::generic, text};
}

/// ((vif (devid 0) …) …)
Value devices_value(const Sxp& sxp) {
    Value out = Value::list();
    for (const Sxp& device : sxp.items()) {
        const auto id = base::parse_number<int32_t>(device.child_value("devid", "0"));
        out.add(Value::list().add(Value::of_integer(id.value_or(0))).add(from_sxp(device)));
    }
    return out;
}

Value record_value(const Sxp& sxp) {
    Value out = Value::record();
    for (const Sxp* child : sxp.children()) {
        const auto number = base::parse_number<int32_t>(child->value().value_or(""));
        out.add(std::string(child->name()), Value::of_integer(number.value_or(0)));
    }
    return out;
}

constexpr std::array<std::string_view, 6> states = {"all", "running", "paused", "halted", "suspended", "crashed"};

bool is_in(const Sxp& domain, const std::string& state) {
    const std::string letters = domain.child_value("state", "------"), status = domain.child_value("status", "");
    const bool there = domain.child("domid") != nullptr;
    const auto has = [&](char letter) { return letters.find(letter) != std::string::npos; };
    if (state == "all") return true;
    if (state == "halted" || state == "suspended") return !there && status == state;
    if (state == "crashed") return there && has('c');
    if (state == "paused") return there && has('p');
    return there && !has('p') && !has('c') && !has('s') && !has('d');
}

Value states_value(const Translated& call, const Sxp& sxp) {
    const auto detail = call.request.fields.find("wanted");
    const bool names = detail != call.request.fields.end() && detail->second == "0";
    Value out = Value::list();
    for (const Sxp& domain : sxp.items()) {
        if (!is_in(domain, call.state)) continue;
        out.add(names ? Value::of_text(domain.child_value("name", "")) : from_sxp(domain));
    }
    return out;
}

/// Names are looked for in what has detail.
void ask_for_states(Translated& out) {
    auto& fields = out.request.fields;
    fields["wanted"] = fields["detail"];
    fields["detail"] = "1";
    fields["managed"] = "1";
}

}  // namespace

Outcome<std::string> param_text(ParamType type, const Value& value) {
    switch (type) {
        case a_number: return number_text(value);
        case a_flag: return flag_text(value);
        case some_cpus: return cpus_text(value);
        case some_bytes: {
            const auto bytes = base::parse_number<uint64_t>(OTRY(number_text(value)));
            return std::to_string(bytes.value_or(0) / (1U << 20U) + (bytes.value_or(0) % (1U << 20U) != 0 ? 1 : 0));
        }
        case a_config: {
            const Sxp sxp = OTRY(to_sxp(value));
            if (sxp.is_atom()) return base::fail(Errc::inval, "an s-expression as nested arrays is wanted");
            return proto::to_string(sxp);
        }
        case a_domain:
        case a_text: break;
    }
    if (value.is_scalar()) return value.text;
    return base::fail(Errc::inval, "a text is wanted");
}

std::span<const Method> methods() { return table(); }

const Method* find_method(std::string_view name) {
    for (const Method& method : methods())
        if (method.name == name) return &method;
    return nullptr;
}

std::optional<Translated> translate(const Call& call, Fault& fault) {
    Translated out;
    out.method = find_method(call.method);
    const auto wrong = [&fault](std::string text, int code = Fault::generic) {
        fault = {code, std::move(text)};
        return std::nullopt;
    };
    if (out.method == nullptr) return wrong("method \"" + call.method + "\" is not supported", Fault::internal);
    out.request.method = out.method->how;
    out.request.path = out.method->path;
    if (!out.method->op.empty()) out.request.fields["op"] = out.method->op;
    const auto& params = out.method->params;
    if (call.params.size() > params.size())
        return wrong(call.method + " takes no more than " + std::to_string(params.size()) + " parameters");
    for (size_t i = 0; i < params.size(); ++i) {
        const Param& param = params[i];
        const std::string label = call.method + ": parameter " + std::to_string(i + 1) +
                                  (param.field.empty() ? "" : " (" + std::string(param.field) + ")");
        const bool given = i < call.params.size();
        if (!given && param.fallback == nullptr) return wrong(label + " is missing");
        if (!given && *param.fallback == '\0') continue;
        Outcome<std::string> text =
            given ? param_text(param.type, call.params[i]) : Outcome<std::string>(std::string(param.fallback));
        if (!text) return wrong(label + ": " + text.failure().text);
        if (param.type == a_domain) {
            if (!names_domain(*text)) return wrong(*text, Fault::invalid_domain);
            out.domain = *text;
            out.request.path += *text;
        } else if (param.field.empty()) {
            out.state = *text;  // or what changes nothing
        } else if (!text->empty()) {
            out.request.fields[std::string(param.field)] = std::move(text).take();
        }
    }
    // Classic clients say 0 where they mean the usual port.
    if (out.method->op == "migrate" && out.request.fields["port"] == "0") out.request.fields.erase("port");
    if (out.method->op == "migrate" && out.request.fields["port"].empty()) out.request.fields.erase("port");
    if (out.method->answer != Answer::states) return out;
    if (std::ranges::find(states, out.state) == states.end()) return wrong("there is no state '" + out.state.substr(0, 40) + "'");
    ask_for_states(out);
    return out;
}

std::string answer(const Translated& call, const Reply& reply) {
    if (reply.status < 400 && call.method->answer == Answer::text && !reply.body.starts_with("(xend.err"))
        return print_answer(Value::of_text(reply.body));
    auto sxp = proto::parse_sxp(reply.body);
    if (const auto fault = fault_in(reply, sxp ? &*sxp : nullptr, call.domain)) return print_fault(fault->code, fault->text);
    if (call.method->answer == Answer::nothing) return print_answer(Value{});
    if (!sxp) return print_fault(Fault::internal, "internal error: " + sxp.failure().text);
    switch (call.method->answer) {
        case Answer::devices: return print_answer(devices_value(*sxp));
        case Answer::record: return print_answer(record_value(*sxp));
        case Answer::states: return print_answer(states_value(call, *sxp));
        default: return print_answer(from_sxp(*sxp));
    }
}

std::optional<Value> introspect(const Call& call, Fault& fault) {
    if (std::ranges::find(introspections, call.method) == introspections.end()) return std::nullopt;
    Value out = Value::list();
    fault.code = 0;
    if (call.method == introspections[0]) {
        for (const Method& method : methods()) out.add(Value::of_text(std::string(method.name)));
        for (const std::string_view name : introspections) out.add(Value::of_text(std::string(name)));
        return out;
    }
    const Method* method = call.params.size() == 1 && call.params[0].is_scalar() ? find_method(call.params[0].text) : nullptr;
    if (method == nullptr) fault = {Fault::internal, call.method + " wants the name of a method"};
    else if (call.method == introspections[1]) out = Value::of_text(std::string(method->help));
    else out = Value::of_text("signatures not supported");
    return out;
}

}  // namespace xend::xmlrpc
