// SPDX-License-Identifier: Apache-2.0
// The schemas of what objects.cpp makes.
#include "toolstack/xend/rest/objects.hpp"

namespace xend::rest {

using Kind = Schema::Kind;
using enum Need;

namespace {

constexpr auto types = std::to_array<std::string_view>({"pv", "hvm"});
constexpr auto states = std::to_array<std::string_view>({"running", "paused", "suspended", "shutdown", "crashed", "dying"});
constexpr auto reasons = std::to_array<std::string_view>({"poweroff", "reboot", "suspend", "crash", "watchdog", "soft_reset"});
constexpr auto vcpu_states = std::to_array<std::string_view>({"running", "runnable", "blocked", "offline"});
constexpr Schema a_type{.kind = Kind::text, .words = types};
constexpr Schema a_state{.kind = Kind::text, .words = states};
constexpr Schema a_reason{.kind = Kind::text, .words = reasons};
constexpr Schema a_vcpu_state{.kind = Kind::text, .words = vcpu_states};
constexpr Schema numbers{.kind = Kind::list, .item = &a_number, .most = 65536};

constexpr auto domain_members = std::to_array<Member>({
    {"id", a_number, wanted, "Changes with each start"},
    {"uuid", a_text, wanted, "Stays; dom0's is zero"},
    {"name", a_text},
    {"type", a_type},
    {"state", a_state},
    {"shutdown_reason", a_reason, optional},
    {"vcpus", a_number},
    {"online_vcpus", a_number},
    {"memory_kib", a_number, wanted, "That it has now"},
    {"max_memory_kib", a_number, optional, "That it may have; not there: no limit"},
    {"pool", a_number},
    {"made_by_xend", a_flag},
    {"started", a_number, optional, "Unix seconds"},
    {"reason", a_text, optional, "Why what is under way with it did not succeed yet"},
});
constexpr auto halted_members = std::to_array<Member>({{"name", a_text}, {"uuid", a_text}, {"suspended", a_flag}});
constexpr auto failed_members = std::to_array<Member>(
    {{"name", a_text}, {"uuid", a_text}, {"reason", a_text}, {"remedy", a_text, wanted, "What its owner can do about it"}});
constexpr Schema a_halted{.kind = Kind::object, .members = halted_members};
constexpr Schema a_failed{.kind = Kind::object, .members = failed_members};
constexpr size_t many = 1U << 20U;
constexpr Schema domain_list{.kind = Kind::list, .item = &domain_schema, .most = many};
constexpr Schema halted_list{.kind = Kind::list, .item = &a_halted, .most = many};
constexpr Schema failed_list{.kind = Kind::list, .item = &a_failed, .most = many};
constexpr auto domains_members = std::to_array<Member>({
    {"domains", domain_list, wanted, "In order of id, dom0 first"},
    {"halted", halted_list, wanted, "Kept by xend, and not there"},
    {"failed", failed_list, wanted, "No more there, because they could not be made again"},
});
constexpr auto usage_members = std::to_array<Member>({
    {"id", a_number},
    {"uuid", a_text},
    {"name", a_text},
    {"cpu_time_ns", a_number, wanted, "Of all its virtual CPUs"},
    {"memory_kib", a_number},
    {"claimed_kib", a_number, wanted, "Promised to it and not given yet"},
    {"running", a_flag, wanted, "A virtual CPU of it is on a CPU"},
    {"blocked", a_flag, wanted, "All of them wait"},
});
constexpr Schema usage_list{.kind = Kind::list, .item = &usage_schema, .most = many};
constexpr auto usages_members = std::to_array<Member>({{"domains", usage_list}});
constexpr auto vcpu_members = std::to_array<Member>({
    {"id", a_number},
    {"state", a_vcpu_state},
    {"cpu", a_number, wanted, "Where it runs or last ran"},
    {"cpu_time_ns", a_number},
    {"affinity", numbers, optional, "CPUs that it may run on; not there: any"},
});
constexpr Schema a_vcpu{.kind = Kind::object, .name = "Vcpu", .members = vcpu_members};
constexpr Schema vcpu_list{.kind = Kind::list, .item = &a_vcpu};
constexpr auto vcpus_members = std::to_array<Member>({{"vcpus", vcpu_list}});

constexpr const char* xenbus = "A xenbus state: 4 is connected";
constexpr auto vbd_members = std::to_array<Member>({
    {"id", a_number, wanted, "51712 is xvda"},
    {"backend", a_number, wanted, "Id of the domain that serves it"},
    {"device", a_text, optional, "As the guest sees it"},
    {"type", a_text, optional},
    {"source", a_text, optional},
    {"writable", a_flag},
    {"frontend_state", a_number, optional, xenbus},
    {"backend_state", a_number, optional, xenbus},
    {"hotplug_status", a_text, optional},
    {"hotplug_error", a_text, optional},
});
constexpr auto vif_members = std::to_array<Member>({
    {"id", a_number},
    {"backend", a_number, wanted, "Id of the domain that serves it"},
    {"mac", a_text, optional},
    {"bridge", a_text, optional},
    {"ip", a_text, optional},
    {"vifname", a_text, optional},
    {"rate", a_text, optional},
    {"frontend_state", a_number, optional, xenbus},
    {"backend_state", a_number, optional, xenbus},
    {"hotplug_status", a_text, optional},
    {"hotplug_error", a_text, optional},
});
constexpr Schema a_vbd{.kind = Kind::object, .name = "Vbd", .members = vbd_members};
constexpr Schema a_vif{.kind = Kind::object, .name = "Vif", .members = vif_members};
constexpr Schema vbd_list{.kind = Kind::list, .item = &a_vbd};
constexpr Schema vif_list{.kind = Kind::list, .item = &a_vif};
constexpr auto vbds_members = std::to_array<Member>({{"vbds", vbd_list}});
constexpr auto vifs_members = std::to_array<Member>({{"vifs", vif_list}});

constexpr auto console_members = std::to_array<Member>({
    {"tty", a_text, optional, "Terminal in dom0; not there: nobody serves the console yet"},
    {"buffer_bytes", a_number, optional, "That xenconsoled keeps for who looks late"},
});
constexpr auto version_members = std::to_array<Member>({
    {"api", a_text},
    {"hypervisor", a_text, wanted, "4.17.5"},
    {"changeset", a_text},
    {"capabilities", a_text},
    {"command_line", a_text},
    {"compiler", a_text},
    {"compile_date", a_text},
});
constexpr auto host_members = std::to_array<Member>({
    {"name", a_text},
    {"cpus", a_number},
    {"cpu_khz", a_number},
    {"cores_per_socket", a_number},
    {"threads_per_core", a_number},
    {"nodes", a_number},
    {"scheduler", a_text},
    {"memory_kib", a_number},
    {"free_kib", a_number, wanted, "That nobody has"},
    {"scrub_kib", a_number, wanted, "That nobody has, and is to be cleaned"},
    {"claimed_kib", a_number, wanted, "Promised to domains and not given to them yet"},
});
constexpr auto pool_members =
    std::to_array<Member>({{"id", a_number}, {"name", a_text}, {"scheduler", a_text}, {"domains", a_number}, {"cpus", numbers}});
constexpr Schema pool_list{.kind = Kind::list, .item = &pool_schema};
constexpr auto pools_members = std::to_array<Member>({{"pools", pool_list}});

}  // namespace

constexpr Schema domain_schema{.kind = Kind::object, .name = "Domain", .members = domain_members};
constexpr Schema domains_schema{.kind = Kind::object, .name = "Domains", .members = domains_members};
constexpr Schema usage_schema{.kind = Kind::object, .name = "Usage", .members = usage_members};
constexpr Schema usages_schema{.kind = Kind::object, .members = usages_members};
constexpr Schema vcpus_schema{.kind = Kind::object, .members = vcpus_members};
constexpr Schema vbds_schema{.kind = Kind::object, .members = vbds_members};
constexpr Schema vifs_schema{.kind = Kind::object, .members = vifs_members};
constexpr Schema console_schema{.kind = Kind::object, .name = "Console", .members = console_members};
constexpr Schema version_schema{.kind = Kind::object, .name = "Version", .members = version_members};
constexpr Schema host_schema{.kind = Kind::object, .name = "Host", .members = host_members};
constexpr Schema pool_schema{.kind = Kind::object, .name = "Pool", .members = pool_members};
constexpr Schema pools_schema{.kind = Kind::object, .members = pools_members};
constexpr Schema config_schema_of_domain{
    .kind = Kind::config, .name = "Configuration", .what = "Of a domain: what its configuration file says"};

}  // namespace xend::rest
