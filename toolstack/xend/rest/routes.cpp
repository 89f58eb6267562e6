// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/rest/routes.hpp"

#include <algorithm>

#include "toolstack/config/domain_json.hpp"
#include "toolstack/xend/rest/changes.hpp"
#include "toolstack/xend/rest/objects.hpp"
#include "toolstack/xend/server/http_message.hpp"

namespace xend::rest {

using base::Errc;
using base::Outcome;

namespace {

Outcome<DomainView> domain_of(Context& context, const Call& call) { return context.manager.find(call.words[0]); }

const Record* record_of(const DomainView& view) { return view.record ? &*view.record : nullptr; }

Outcome<Json> domain(Context& context, const Call& call) {
    const DomainView view = OTRY(domain_of(context, call));
    return domain_json(view, record_of(view));
}

Outcome<Json> usage(Context& context, const Call& call) { return usage_json(OTRY(domain_of(context, call))); }

Outcome<Json> usages(Context& context, const Call&) {
    Json out{{"domains", Json::array()}};
    for (const DomainGlance& view : OTRY(context.manager.domains())) out["domains"].push_back(usage_json(view));
    return out;
}

Outcome<Json> vcpus(Context& context, const Call& call) { return vcpus_json(context.manager, OTRY(domain_of(context, call))); }

Outcome<Json> vbds(Context& context, const Call& call) {
    return devices_json(context.manager, OTRY(domain_of(context, call)), "vbd");
}

Outcome<Json> vifs(Context& context, const Call& call) {
    return devices_json(context.manager, OTRY(domain_of(context, call)), "vif");
}

Outcome<Json> console(Context& context, const Call& call) {
    return console_json(context.manager, OTRY(domain_of(context, call)));
}

Outcome<Json> configuration(Context& context, const Call& call) {
    const DomainView view = OTRY(domain_of(context, call));
    if (!view.record) return base::fail(Errc::noent, "xend has not made domain '" + view.name.substr(0, 128) + "'");
    return Json::parse(config::to_json(view.record->config));
}

Outcome<Json> domains(Context& context, const Call&) { return domains_json(context.manager); }
Outcome<Json> version(Context& context, const Call&) { return version_json(context.manager); }
Outcome<Json> host(Context& context, const Call&) { return host_json(context.manager); }
Outcome<Json> pools(Context& context, const Call&) { return pools_json(context.manager); }
Outcome<Json> pool(Context& context, const Call& call) { return pool_json(OTRY(context.manager.find_pool(call.words[0]))); }
Outcome<Json> description(Context&, const Call&) { return openapi(); }

Outcome<Json> jobs(Context& context, const Call&) {
    Json out{{"jobs", Json::array()}};
    for (const Job& one : context.jobs.all()) out["jobs"].push_back(job_json(one));
    return out;
}
Outcome<Json> job(Context& context, const Call& call) { return job_json(OTRY(context.jobs.find(call.words[0]))); }
Outcome<Json> cancel_job(Context& context, const Call& call) { return job_json(OTRY(context.jobs.cancel(call.words[0]))); }

using enum Verb;
using namespace changes;

constexpr auto yes_or_no = std::to_array<std::string_view>({"true", "false"});
constexpr Schema a_choice{.kind = Schema::Kind::text, .words = yes_or_no};
constexpr auto force_parameter = std::to_array<Parameter>({{"force", a_choice, "true: whatever the guest says"}});

/// A row of the table whose answer is a job.
Route change(std::string_view path, std::string_view operation, std::string_view what, const Change& how, Verb verb = post,
             std::span<const Parameter> query = {}) {
    return {verb, path, operation, what, &job_schema, nullptr, query, &how};
}

const auto all_routes = std::to_array<Route>({
    {get, "/version", "version", "Which hypervisor this is", &version_schema, version},
    {get, "/host", "host", "The machine", &host_schema, host},
    {get, "/domains", "domains", "All domains", &domains_schema, domains},
    {get, "/domains/{domain}", "domain", "One domain", &domain_schema, domain},
    {get, "/domains/{domain}/configuration", "configuration", "What it is made of, of one that xend has made",
     &config_schema_of_domain, configuration},
    {get, "/domains/{domain}/usage", "usage", "What it uses", &usage_schema, usage},
    {get, "/domains/{domain}/vcpus", "vcpus", "Its virtual CPUs", &vcpus_schema, vcpus},
    {get, "/domains/{domain}/vbds", "vbds", "Its disks", &vbds_schema, vbds},
    {get, "/domains/{domain}/vifs", "vifs", "Its network cards", &vifs_schema, vifs},
    {get, "/domains/{domain}/console", "console", "Where its console is", &console_schema, console},
    {get, "/usage", "usages", "What all domains use", &usages_schema, usages},
    {get, "/pools", "pools", "The pools of CPUs", &pools_schema, pools},
    {get, "/pools/{pool}", "pool", "One pool", &pool_schema, pool},
    {get, "/jobs", "jobs", "Changes that were asked for", &jobs_schema, jobs},
    {get, "/jobs/{job}", "job", "One of them", &job_schema, job},
    {del, "/jobs/{job}", "cancel",
     "Ends a job that waits, for its turn or for a guest, or a domain's way to another host while it may still stay", &job_schema,
     cancel_job},
    change("/domains", "create", "Makes a domain", create),
    change("/restore", "restore", "Makes the domain that a file holds", restore),
    change("/domains/{domain}/start", "start", "Makes one whose configuration is kept", start),
    change("/domains/{domain}/pause", "pause", "Stops its virtual CPUs", pause),
    change("/domains/{domain}/unpause", "unpause", "Lets them run", unpause),
    change("/domains/{domain}/shutdown", "shutdown", "Asks the guest to shut down", shutdown),
    change("/domains/{domain}/reboot", "reboot", "Asks the guest to boot again", reboot),
    change("/domains/{domain}/destroy", "destroy", "Ends it at once", destroy),
    change("/domains/{domain}/rename", "rename", "Gives it another name", rename),
    change("/domains/{domain}/save", "save", "Has the guest suspend itself, to a file", save),
    change("/domains/{domain}/migrate", "migrate", "Has it go on at another host", migrate),
    change("/domains/{domain}/memory", "memory", "Sets what memory it should have, or may have", memory),
    change("/domains/{domain}/vcpus", "set_vcpus", "Asks the guest to go on with so many virtual CPUs", set_vcpus),
    change("/domains/{domain}/vbds", "attach_vbd", "Connects a disk", attach_vbd),
    change("/domains/{domain}/vifs", "attach_vif", "Connects a network card", attach_vif),
    change("/domains/{domain}/vbds/{device}", "detach_vbd", "Takes a disk off", detach_vbd, del, force_parameter),
    change("/domains/{domain}/vifs/{device}", "detach_vif", "Takes a network card off", detach_vif, del, force_parameter),
    {get, "/openapi.json", "description", "This description", nullptr, description},
});

std::vector<std::string_view> segments(std::string_view path) {
    std::vector<std::string_view> out;
    while (path.starts_with('/')) {
        path.remove_prefix(1);
        const size_t end = std::min(path.find('/'), path.size());
        out.push_back(path.substr(0, end));
        path.remove_prefix(end);
    }
    return out;
}

bool is_word(std::string_view segment) { return segment.starts_with('{'); }

bool matches(std::string_view pattern, const std::vector<std::string>& path) {
    const auto parts = segments(pattern);
    return std::ranges::equal(parts, path, [](std::string_view part, const std::string& segment) {
        return is_word(part) ? !segment.empty() : part == segment;
    });
}

}  // namespace

std::span<const Route> routes() { return all_routes; }

std::optional<Found> find_route(std::string_view method, std::string_view path) {
    std::vector<std::string> decoded;
    for (const std::string_view segment : segments(path)) {
        auto one = unescape_path(segment);
        if (!one || one->find('\0') != std::string::npos) return std::nullopt;
        decoded.push_back(std::move(*one));
    }
    Found out;
    for (const Route& route : all_routes) {
        if (!matches(route.path, decoded)) continue;
        const std::string_view verb = verb_names[static_cast<size_t>(route.verb)];
        out.allowed.append(out.allowed.empty() ? "" : ", ").append(verb);
        if (verb != method || out.route != nullptr) continue;
        out.route = &route;
        const auto parts = segments(route.path);
        for (size_t i = 0; i < parts.size(); ++i)
            if (is_word(parts[i])) out.words.push_back(decoded[i]);
    }
    return out;
}

}  // namespace xend::rest
