// link: xend_fakes xendcore xmverbs
// SPDX-License-Identifier: Apache-2.0
// xend-config.sxp: every option, its type, its default, and what it does.
#include "toolstack/xend/server/options.hpp"

#include "lib/base/number.hpp"
#include "toolstack/xend/server/router.hpp"
#include "toolstack/xm/app.hpp"
#include "xend_checks.hpp"

namespace {

using fakes::Machine;
using fakes::text_of;
using xend::OptionStanding;
using xend::OptionType;
using xend::ServerSettings;

struct Read {
    std::string error;
    std::vector<std::string> warnings;
    ServerSettings settings;
};

Read read(const std::string& text) {
    Read out;
    auto settings = xend::parse_settings(text, "x.sxp", out.warnings);
    out.error = text_of(settings);
    if (settings) out.settings = *settings;
    return out;
}

/// What each option is: the manual's list. "-": refused or without effect when it says `asks`.
struct Row {
    std::string_view name, fallback, asks, wrong;
    OptionStanding standing;
    bool (*done)(const ServerSettings&);  // of effective ones: `asks` has arrived
};

constexpr auto effective = OptionStanding::effective, harmless = OptionStanding::harmless, refused = OptionStanding::refused;
using S = ServerSettings;

// clang-format off
const Row rows[] = {
    {"block-", "", "", "(a)", effective, nullptr},  // below
    {"console-address", "localhost", "0.0.0.0", "(a)", harmless, nullptr},
    {"console-limit", "1024", "64", "much", effective, [](const S& s) { return s.core.console_limit_kib == 64; }},
    {"console-port-base", "9600", "9700", "70000", harmless, nullptr},
    {"dbroot", "/var/lib/xen/xend-db", "/x", "(a)", harmless, nullptr},
    {"dom0-cpus", "0", "1", "-1", effective, [](const S& s) { return s.core.dom0_cpus == 1; }},
    {"dom0-min-mem", "0", "196", "196M", effective, [](const S& s) { return s.core.dom0_min_mem_mib == 196; }},
    {"enable-dump", "no", "yes", "often", effective, [](const S& s) { return s.core.dump_crashes; }},
    {"external-migration-tool", "", "'mover -v'", "(a)", effective, [](const S& s) { return s.core.migration_tool == "mover -v"; }},
    {"keymap", "en-us", "de", "(a)", harmless, nullptr},
    {"logfile", "/var/log/xen/xend.log", "/x.log", "(a)", effective, [](const S& s) { return s.log_file == "/x.log"; }},
    {"loglevel", "DEBUG", "WARNING", "LOUD", effective, [](const S& s) { return s.log_level == "WARNING"; }},
    {"network-script", "", "'network-bridge netdev=eth1'", "(a)", effective, [](const S& s) { return s.network_script == "network-bridge netdev=eth1"; }},
    {"resource-label-change-script", "", "x", "(a)", refused, nullptr},
    {"vif-antispoof", "no", "yes", "(a)", effective, [](const S& s) { return s.core.vif_antispoof; }},
    {"vif-bridge", "", "xen-br0", "(a)", effective, [](const S& s) { return s.core.vif_bridge == "xen-br0"; }},
    {"vif-script", "vif-bridge", "'vif-route netdev=eth1'", "(a)", effective, [](const S& s) { return s.core.vif_script == "vif-route netdev=eth1"; }},
    {"vnc-listen", "127.0.0.1", "0.0.0.0", "(a)", harmless, nullptr},
    {"vnc-tls", "0", "1", "2", harmless, nullptr},
    {"vnc-x509-cert-dir", "/etc/xen/vnc", "/x", "(a)", harmless, nullptr},
    {"vnc-x509-verify", "0", "1", "2", harmless, nullptr},
    {"vncpasswd", "", "secret", "(a)", harmless, nullptr},
    {"xen-api-server", "((unix))", "((9363 none) (::1:9364))", "((9363 maybe))", effective, [](const S& s) { return !s.xenapi_unix_server && s.xenapi_ports == std::vector<std::pair<std::string, uint16_t>>{{"localhost", 9363}, {"::1", 9364}}; }},
    {"xend-address", "localhost", "127.0.0.2", "0.0.0.0", effective, [](const S& s) { return s.address == "127.0.0.2"; }},
    {"xend-config-format", "4", "3", "5", effective, [](const S& s) { return s.given.at("xend-config-format") == "3"; }},
    {"xend-domains-path", "/var/lib/xend/domains", "/x", "(a)", effective, [](const S& s) { return s.core.domains_folder == "/x"; }},
    {"xend-event-port", "8001", "9001", "x", harmless, nullptr},
    {"xend-http-server", "no", "yes", "perhaps", effective, [](const S& s) { return s.http_server; }},
    {"xend-port", "8000", "8010", "65536", effective, [](const S& s) { return s.port == 8010; }},
    {"xend-relocation-address", "", "1.2.3.4", "(a)", effective, [](const S& s) { return s.relocation_address == "1.2.3.4"; }},
    {"xend-relocation-hosts-allow", "", "'^localhost$ ^localhost\\\\.localdomain$'", "(a)", effective, [](const S& s) { return s.relocation_hosts == "^localhost$ ^localhost\\.localdomain$"; }},
    {"xend-relocation-plain", "no", "yes", "x", effective, [](const S& s) { return s.relocation_plain; }},
    {"xend-relocation-port", "8002", "9002", "x", effective, [](const S& s) { return s.relocation_port == 9002; }},
    {"xend-relocation-server", "no", "yes", "8002", effective, [](const S& s) { return s.relocation_server; }},
    {"xend-security-path", "/var/lib/xend/security", "/x", "(a)", harmless, nullptr},
    {"xend-state-path", "/var/lib/xend/state", "/x", "(a)", harmless, nullptr},
    {"xend-storage-path", "/var/lib/xend/storage", "/x", "(a)", harmless, nullptr},
    {"xend-tcp-xmlrpc-server", "no", "yes", "8006", effective, [](const S& s) { return s.xmlrpc_tcp_server; }},
    {"xend-tcp-xmlrpc-server-address", "localhost", "::1", "10.0.0.1", effective, [](const S& s) { return s.xmlrpc_address == "::1"; }},
    {"xend-tcp-xmlrpc-server-port", "8006", "1", "x", effective, [](const S& s) { return s.xmlrpc_port == 1; }},
    {"xend-tcp-xmlrpc-server-ssl-cert-file", "", "/x", "(a)", refused, nullptr},
    {"xend-tcp-xmlrpc-server-ssl-key-file", "", "/x", "(a)", refused, nullptr},
    {"xend-unix-path", "/var/lib/xend/xend-socket", "/x", "(a)", effective, [](const S& s) { return s.classic_unix_path == "/x"; }},
    {"xend-unix-server", "no", "yes", "(a)", effective, [](const S& s) { return s.unix_server; }},
    {"xend-unix-xmlrpc-server", "yes", "no", "(a)", effective, [](const S& s) { return !s.xmlrpc_unix_server; }},
};
// clang-format on

TEST(Settings, EveryOptionIsWhatTheManualSays) {
    ASSERT_EQ(std::size(rows), xend::options().size());
    for (size_t i = 0; i < std::size(rows); ++i) {
        const Row& row = rows[i];
        const xend::Option& option = xend::options()[i];
        ASSERT_EQ(option.name, row.name);
        EXPECT_EQ(option.standing, row.standing) << row.name;
        if (option.name.ends_with('-')) continue;
        EXPECT_EQ(option.fallback, row.fallback) << row.name;
        const auto said = [&](std::string_view value) {
            return read("(" + std::string(row.name) + " " + std::string(value) + ")");
        };
        const Read same = said(row.fallback);
        EXPECT_EQ(same.error, "") << row.name;
        EXPECT_TRUE(same.warnings.empty()) << row.name << ": what is so anyway needs no warning";
        ServerSettings untouched = same.settings;
        untouched.given.clear();
        EXPECT_EQ(untouched, ServerSettings{}) << row.name << ": the default of the table is not the program's";
        const Read asked = said(row.asks);
        if (row.standing == refused) {
            EXPECT_EQ(asked.error,
                      "x.sxp:1: " + std::string(row.name) + ": " + std::string(option.what) + " are not supported yet");
        } else {
            EXPECT_EQ(asked.error, "") << row.name;
            EXPECT_EQ(asked.warnings.size(), row.standing == harmless ? 1U : 0U) << row.name;
            EXPECT_TRUE(row.done == nullptr || row.done(asked.settings)) << row.name;
        }
        if (row.wrong.empty()) continue;
        EXPECT_TRUE(said(row.wrong).error.starts_with("x.sxp:1: (" + std::string(row.name) + " "))
            << row.name << said(row.wrong).error;
    }
}

TEST(Settings, ErrorsNameTheLine) {
    EXPECT_EQ(read("# a comment\n(xend-port 8000)\n(dom0-cpus all) # x\n").error,
              "x.sxp:3: (dom0-cpus all): a number from 0 to 65536 is wanted");
    EXPECT_EQ(read("(loglevel\n LOUD)").error, "x.sxp:2: (loglevel LOUD): DEBUG, INFO, WARNING, ERROR or CRITICAL is wanted");
    EXPECT_EQ(read("(xend-http-server maybe)").error, "x.sxp:1: (xend-http-server maybe): yes or no is wanted");
    EXPECT_EQ(read("word\n").error, "x.sxp:1: every option is written (name value)");
    EXPECT_EQ(read("word").error, "x.sxp:1: every option is written (name value)");
    EXPECT_TRUE(read("(xend-port 8000").error.starts_with("x.sxp: Syntax error")) << read("(xend-port 8000").error;
    const Read unknown = read("\n(xend-prot 8000)\n(frobnicate)");
    EXPECT_EQ(unknown.error, "");
    EXPECT_EQ(unknown.warnings, (std::vector<std::string>{"x.sxp:2: unknown option 'xend-prot': did you mean 'xend-port'?",
                                                          "x.sxp:3: unknown option 'frobnicate'"}));
    EXPECT_EQ(read("(vncpasswd )").error, "") << "the shipped files have it";
    EXPECT_EQ(read("(xend-event-port 1)").warnings.at(0),
              "x.sxp:1: the option 'xend-event-port' has no effect: there is no port for events");
}

// Xen 3's own file shows a port with PAM: xend ran with it, and so must this one, without the port.
TEST(Settings, APortOfTheXenApiThatAsksForMoreIsNotOpenedAndXendStarts) {
    const std::string end =
        " are not supported; write (9363 none), which serves root of this machine alone, or (unix), which ssh reaches from "
        "elsewhere";
    const Read pam = read("(xen-api-server ((9363 pam '^localhost$ example\\\\.com$') (unix none)))\n(xend-port 8010)");
    EXPECT_EQ(pam.error, "");
    EXPECT_EQ(pam.warnings,
              std::vector<std::string>{"x.sxp:1: xen-api-server: nobody listens at port 9363: passwords (pam)" + end});
    EXPECT_TRUE(pam.settings.xenapi_unix_server);
    EXPECT_TRUE(pam.settings.xenapi_ports.empty());
    EXPECT_EQ(pam.settings.port, 8010) << "what follows is read";
    EXPECT_EQ(read("(xen-api-server ((0.0.0.0:9363 none '^host$')))").warnings,
              std::vector<std::string>{"x.sxp:1: xen-api-server: nobody listens at port 9363: lists of hosts" + end});
    EXPECT_EQ(read("(xen-api-server ((9363 none '' a.key a.crt)))").warnings,
              std::vector<std::string>{"x.sxp:1: xen-api-server: nobody listens at port 9363: keys" + end});
    const Read unix_pam = read("(xen-api-server ((unix pam)))");
    EXPECT_EQ(unix_pam.warnings,
              std::vector<std::string>{
                  "x.sxp:1: xen-api-server: root alone opens the unix socket, and is asked for nothing: write (unix)"});
    EXPECT_TRUE(unix_pam.settings.xenapi_unix_server);
    for (const char* wrong :
         {"((pam))", "((0 none))", "((9363 maybe))", "((9363 none a b c d))", "(9363)", "((0.0.0.0:9363 none))"})
        EXPECT_NE(read(std::string("(xen-api-server ") + wrong + ")").error, "") << wrong;
}

TEST(Settings, ScriptsHaveArgumentsAndBlockTypesTheirOwn) {
    xend::Settings settings = Machine::settings();
    settings.vif_script = read("(vif-script 'vif-bridge bridge=br7')").settings.core.vif_script;
    settings.vif_bridge = "xen-br0";
    settings.block_scripts = read("(block-file my-file)(block-enbd block-enbd)(block-nbd my-nbd)").settings.core.block_scripts;
    EXPECT_EQ(settings.block_scripts, (std::map<std::string, std::string>{{"file", "my-file"}, {"nbd", "my-nbd"}}));
    Machine m(settings);
    auto c = m.demo();
    c.vifs[0].bridge.clear();
    ASSERT_TRUE(m.manager.create(c));
    EXPECT_EQ(m.scripts.calls, (std::vector<std::string>{"my-file add", "vif-bridge online vif1.0"}));
    EXPECT_EQ(m.scripts.words, (std::vector<std::string>{"online", "bridge=br7", "type_if=vif"}));
    EXPECT_EQ(*m.manager.store_value("/local/domain/0/backend/vif/1/0/bridge"), "xen-br0");
    ASSERT_TRUE(m.manager.destroy("demo"));
    EXPECT_EQ(m.scripts.words, (std::vector<std::string>{"offline", "bridge=br7", "type_if=vif"}));
}

TEST(Settings, Dom0KeepsAsManyProcessorsAsItIsTold) {
    xend::Settings settings = Machine::settings();
    settings.dom0_cpus = 1;
    Machine m(settings);
    EXPECT_EQ(*m.manager.store_value("/local/domain/0/cpu/0/availability"), "online");
    EXPECT_EQ(*m.manager.store_value("/local/domain/0/cpu/1/availability"), "offline");
    Machine all;
    EXPECT_EQ(*all.manager.store_value("/local/domain/0/cpu/1/availability"), "") << "0: nothing is said";
}

TEST(Settings, Dom0GivesMemoryBackDownToItsMinimum) {
    xend::Settings settings = Machine::settings();
    settings.dom0_min_mem_mib = 400;
    Machine m(settings);  // dom0 has 512 MiB
    m.hypervisor.free_pages = 10'000;
    int naps = 0;
    m.clock.slept = [&] {
        const auto target = base::parse_number<uint64_t>(*m.manager.store_value("/local/domain/0/memory/target"));
        if (!target || ++naps != 2) return;
        auto* dom0 = m.hypervisor.at(base::DomId{0});
        m.hypervisor.free_pages += dom0->pages - *target / 4;
        dom0->pages = *target / 4;
    };
    auto c = m.demo();  // 64 MiB
    ASSERT_TRUE(m.manager.create(c));
    EXPECT_EQ(m.hypervisor.at(base::DomId{0})->pages, 131072U - (16384 + 512 - 10'000));
    ASSERT_TRUE(m.manager.destroy("demo"));
    c.memory_mib = 512;
    EXPECT_EQ(fakes::create_error(m, c, "too much"),
              "I need 526336 KiB, but dom0_min_mem is 409600 and shrinking to 409600 KiB would leave only 154688 KiB free.");
    m.clock.slept = nullptr;
    m.hypervisor.free_pages = 10'000;
    c.memory_mib = 64;
    EXPECT_EQ(fakes::create_error(m, c, "a dom0 that does nothing"),
              "The privileged domain did not balloon: 40000 KiB are free, 67584 are needed.");
}

TEST(Settings, XmShowsThemAsTheyAre) {
    Machine m;
    std::vector<std::string> warnings;
    const auto settings = xend::parse_settings("(xend-port 8010)(block-nbd my-nbd)", "x.sxp", warnings);
    ASSERT_TRUE(settings);
    xend::Router router{m.manager, "", xend::shown_options(*settings)};
    std::ostringstream out, err;
    xm::World world{router, out, err, true, [](unsigned) {}, {}};
    EXPECT_EQ(xm::run(world, {"info", "-c"}), 0) << err.str();
    for (const char* line : {"xend-port                             : 8010\n", "loglevel                              : DEBUG\n",
                             "block-nbd                             : my-nbd\n", "vncpasswd                             : \n"}) {
        EXPECT_NE(out.str().find(line), std::string::npos) << line << out.str();
    }
}

}  // namespace
