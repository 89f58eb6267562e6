// SPDX-License-Identifier: Apache-2.0
// link: hvcore
/// HYPERVISOR_hypfs_op: the tree as tools walk it, each error, who may ask, and that what is written takes effect at once.
#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "abi/xen/hypfs.hpp"
#include "hypervisor/hypercall/machine_info.hpp"
#include "hypervisor/rt/log_ring.hpp"
#include "hypervisor/rt/run_time_options.hpp"
#include "hypervisor/sched/scheduler.hpp"
#include "tests/host/hv_calls.hpp"

namespace {

using namespace hvtest;

constexpr uint64_t nowhere = 64;  ///< the first page faults
constexpr size_t header = sizeof(xen::HypfsDirEntry);
using Bytes = std::vector<uint8_t>;

struct Entry {
    std::string name;
    xen::HypfsDirEntry e;
};

class Hypfs : public ::testing::Test {
protected:
    Guest& dom0 = control_domain();
    const x86::BootOptions before = machine_info.options;

    ~Hypfs() override {
        machine_info.options = before;
        apply_run_time_options(before);
        const uint8_t quiet = LogLevels::up_to(LogLevel::error);
        set_log_levels({quiet, quiet}, {quiet, quiet});
    }

    static Result<uint64_t> ask(Guest& caller, uint32_t cmd, uint64_t path, uint64_t path_bytes, uint64_t buffer,
                                uint64_t bytes) {
        Vcpu& v = caller.vcpu();
        Vcpu* const running = std::exchange(this_cpu().current, &v);
        const uint64_t in[6] = {cmd, path, path_bytes, buffer, bytes, 0};
        std::memcpy(v.hypercall.args, in, sizeof in);
        auto r = hypercall_handler(xen::HYPERVISOR_hypfs_op)(v, v.hypercall.args);
        this_cpu().current = running;
        return r;
    }
    static Errc error_of(const Result<uint64_t>& r) { return r ? Errc{} : r.error(); }
    Errc at(uint32_t cmd, const std::string& path, uint64_t buffer, uint64_t bytes) {
        return error_of(ask(dom0, cmd, address(path.c_str()), path.size() + 1, buffer, bytes));
    }
    Errc read(const std::string& path, void* to, uint64_t bytes) { return at(xen::XEN_HYPFS_OP_read, path, address(to), bytes); }
    Errc write(const std::string& path, const void* from, uint64_t bytes) {
        return at(xen::XEN_HYPFS_OP_write_contents, path, address(from), bytes);
    }
    Errc write(const std::string& path, const std::string& text) { return write(path, text.c_str(), text.size() + 1); }
    Errc write_flag(const std::string& path, bool b) {
        const uint8_t byte = b;
        return write(path, &byte, 1);
    }

    /// The entry as it says that it is, and what it holds.
    xen::HypfsDirEntry entry(const std::string& path) {
        xen::HypfsDirEntry e{};
        const Errc r = read(path, &e, sizeof e);
        EXPECT_TRUE(r == Errc::nobufs || (r == Errc{} && e.content_len == 0)) << path;
        return e;
    }
    Bytes contents(const std::string& path) {
        const xen::HypfsDirEntry e = entry(path);
        Bytes all(header + e.content_len + 8, 0xa5);
        EXPECT_EQ(read(path, all.data(), header + e.content_len - 1), Errc::nobufs) << path;
        EXPECT_EQ(all[header], 0xa5) << path << ": there was no room for all of it";
        EXPECT_EQ(read(path, all.data(), header + e.content_len), Errc{}) << path;
        EXPECT_EQ(std::memcmp(all.data(), &e, header), 0) << path;
        for (size_t i = 0; i < 8; ++i) EXPECT_EQ(all[header + e.content_len + i], 0xa5) << path << " writes too far";
        return {all.begin() + header, all.end() - 8};
    }
    std::string text(const std::string& path) {
        EXPECT_EQ(entry(path).type, xen::XEN_HYPFS_TYPE_STRING) << path;
        const Bytes b = contents(path);
        EXPECT_TRUE(!b.empty() && b.back() == 0) << path;
        const std::string s(reinterpret_cast<const char*>(b.data()));
        EXPECT_EQ(s.size() + 1, b.size()) << path;
        return s;
    }
    uint64_t number(const std::string& path) {
        const Bytes b = contents(path);
        uint64_t n = 0;
        EXPECT_LE(b.size(), 8u) << path;
        std::memcpy(&n, b.data(), b.size());
        return n;
    }
    /// Walks a list as libxenhypfs does: by the distance to the next entry.
    std::vector<Entry> list(const std::string& path) {
        EXPECT_EQ(entry(path).type, xen::XEN_HYPFS_TYPE_DIR) << path;
        EXPECT_EQ(entry(path).max_write_len, 0u);
        const Bytes b = contents(path);
        std::vector<Entry> found;
        for (size_t i = 0; i < b.size();) {
            xen::HypfsDirListEntry l{};
            std::memcpy(&l, b.data() + i, 14);
            const char* name = reinterpret_cast<const char*>(b.data() + i + 14);
            const size_t whole = 14 + (strnlen(name, b.size() - i - 14) + 4) / 4 * 4;
            EXPECT_LE(i + whole, b.size());
            found.push_back({name, l.e});
            if (l.off_next == 0) {
                EXPECT_EQ(i + whole, b.size()) << path << " ends early";
                break;
            }
            EXPECT_EQ(l.off_next, whole);
            i += l.off_next;
        }
        return found;
    }
    std::string names(const std::string& path) {
        std::string all;
        for (const Entry& e : list(path)) all += (all.empty() ? "" : " ") + e.name;
        return all;
    }
    /// Every leaf of the tree with its entry; what a list says of an entry must be what the entry says of itself.
    void each_leaf(const std::string& path, const std::function<void(const std::string&, const xen::HypfsDirEntry&)>& f) {
        for (const Entry& l : list(path.empty() ? "/" : path)) {
            const std::string below = path + "/" + l.name;
            const xen::HypfsDirEntry e = entry(below);
            EXPECT_EQ(std::memcmp(&e, &l.e, sizeof e), 0) << below;
            EXPECT_EQ(e.encoding, xen::XEN_HYPFS_ENC_PLAIN);
            EXPECT_EQ(e.pad, 0u);
            if (e.type == xen::XEN_HYPFS_TYPE_DIR) each_leaf(below, f);
            else f(below, e);
        }
    }
};

TEST_F(Hypfs, TheTree) {
    EXPECT_EQ(error_of(ask(dom0, xen::XEN_HYPFS_OP_get_version, 0, 0, 0, 0)), Errc{});
    EXPECT_EQ(ask(dom0, xen::XEN_HYPFS_OP_get_version, 0, 0, 0, 0).value(), xen::XEN_HYPFS_VERSION);
    EXPECT_EQ(names("/"), "buildinfo cpupool params");
    EXPECT_EQ(names("/buildinfo"), "changeset compileinfo version");
    EXPECT_EQ(names("/buildinfo/"), "changeset compileinfo version");
    EXPECT_EQ(names("/buildinfo/compileinfo"), "compile_by compile_date compile_domain compiler");
    EXPECT_EQ(names("/buildinfo/version"), "extra major minor");
    EXPECT_EQ(number("/buildinfo/version/major"), 4u);
    EXPECT_EQ(number("/buildinfo/version/minor"), 17u);
    EXPECT_EQ(entry("/buildinfo/version/minor").type, xen::XEN_HYPFS_TYPE_UINT);
    EXPECT_EQ(entry("/buildinfo/version/minor").content_len, 4u);
    EXPECT_EQ(text("/buildinfo/version/extra"), ".0-xenolith");
    EXPECT_EQ(text("/buildinfo/changeset"), "xenolith");
    EXPECT_EQ(text("/buildinfo/compileinfo/compile_date"), "");
    EXPECT_EQ(text("/cpupool/0/sched-gran"), "cpu");
    std::string options;
    for (const x86::OptionRow& row : x86::option_rows()) options += (options.empty() ? "" : " ") + std::string(row.name);
    EXPECT_EQ(names("/params"), options);
    unsigned leaves = 0;
    each_leaf("", [&](const std::string& path, const xen::HypfsDirEntry& e) {
        ++leaves;
        EXPECT_GT(e.content_len, 0u) << path;
        (void)contents(path);
    });
    EXPECT_EQ(leaves, 8 + 1 + x86::option_rows().size());
}

TEST_F(Hypfs, PoolsComeAndGo) {
    ASSERT_TRUE(sched::pool_create(12, xen::XEN_SCHEDULER_CREDIT2));
    ASSERT_TRUE(sched::pool_create(3, xen::XEN_SCHEDULER_CREDIT2));
    EXPECT_EQ(names("/cpupool"), "0 3 12");
    EXPECT_EQ(text("/cpupool/12/sched-gran"), "cpu");
    // Of a pool without CPUs it may be chosen, and there is one thing to choose.
    EXPECT_EQ(write("/cpupool/12/sched-gran", "cpu"), Errc{});
    EXPECT_EQ(write("/cpupool/12/sched-gran", "core"), Errc::inval);
    EXPECT_EQ(write("/cpupool/12/sched-gran", "cpu", 3), Errc::inval) << "without an end";
    EXPECT_EQ(write("/cpupool/12/sched-gran", "cpu", 0), Errc::inval);
    EXPECT_EQ(write("/cpupool/12/sched-gran", "cpu\0cpu", 8), Errc::inval);
    EXPECT_EQ(write("/cpupool/12/sched-gran", "cpu\0cpu\0", 9), Errc::nospc);
    EXPECT_EQ(at(xen::XEN_HYPFS_OP_write_contents, "/cpupool/12/sched-gran", nowhere, 4), Errc::fault);
    EXPECT_EQ(write("/cpupool/0/sched-gran", "cpu"), Errc::busy);
    EXPECT_EQ(entry("/cpupool/12/sched-gran").max_write_len, 8u);
    EXPECT_EQ(write("/cpupool/12", "cpu"), Errc::access);
    EXPECT_EQ(write("/cpupool/4/sched-gran", "cpu"), Errc::noent);
    sched::pool_destroy(*sched::pool_from(12));
    sched::pool_destroy(*sched::pool_from(3));
    EXPECT_EQ(names("/cpupool"), "0");
    uint8_t room[64];
    EXPECT_EQ(read("/cpupool/12", room, sizeof room), Errc::noent);
}

TEST_F(Hypfs, PathsThatAreNone) {
    uint8_t room[64];
    for (const char* path :
         {"/nothing", "//", "//params", "/params/nothing", "/params//loglvl", "/params/loglvl/", "/params/loglvl/x", "/param",
          "/paramsx", "/params/loglv", "/params/loglvlx", "/cpupool/", "/cpupool/1", "/cpupool/0x", "/cpupool/x"}) {
        const bool there = std::string(path) == "/cpupool/";
        EXPECT_EQ(read(path, room, sizeof room), there ? Errc{} : Errc::noent) << path;
        EXPECT_EQ(write(path, "all"), there ? Errc::access : Errc::noent) << path;
    }
    for (const char* path : {"", "params", "params/loglvl", " /params"})
        EXPECT_EQ(read(path, room, sizeof room), Errc::inval) << path;
    // What is said to be its length ends it, and nothing before.
    const auto with_length = [&](const std::string& path, uint64_t bytes) {
        return error_of(ask(dom0, xen::XEN_HYPFS_OP_read, address(path.data()), bytes, address(room), sizeof room));
    };
    EXPECT_EQ(with_length("/params/loglvl", 15), Errc{});
    EXPECT_EQ(with_length("/params/loglvl", 14), Errc::inval);
    EXPECT_EQ(with_length("/params/loglvl", 0), Errc::inval);
    EXPECT_EQ(with_length(std::string("/\0params/loglvl", 15), 16), Errc::inval);
    std::string longest(1024, 'x');
    longest[0] = '/';
    longest[1023] = 0;
    EXPECT_EQ(with_length(longest, 1024), Errc::noent);
    longest += '\0';
    EXPECT_EQ(with_length(longest, 1025), Errc::inval);
    EXPECT_EQ(with_length(longest, ~uint64_t{0}), Errc::inval);
    EXPECT_EQ(error_of(ask(dom0, xen::XEN_HYPFS_OP_read, nowhere, 8, address(room), sizeof room)), Errc::fault);
}

TEST_F(Hypfs, BuffersThatAreNone) {
    uint8_t room[64] = {};
    EXPECT_EQ(read("/params/loglvl", room, header - 1), Errc::inval);
    EXPECT_EQ(at(xen::XEN_HYPFS_OP_read, "/params/loglvl", nowhere, 64), Errc::fault);
    EXPECT_EQ(read("/params/loglvl", room, ~uint64_t{0}), Errc{});
    // The guest's memory ends in the middle of what is stored: in a list, in a leaf, in front of a text's end.
    struct {
        char path[32];
        uint8_t buffer[4096];
    } memory{};
    for (const auto& [path, there] :
         {std::pair{"/", 16u}, {"/params", 60u}, {"/buildinfo/version/major", 2u}, {"/params/loglvl", 9u}}) {
        strcpy(memory.path, path);
        const uint64_t first = address(&memory), whole = header + entry(path).content_len;
        host::guest_window(first, sizeof memory.path + header + there);
        const auto r = ask(dom0, xen::XEN_HYPFS_OP_read, first, strlen(path) + 1, address(memory.buffer), whole);
        host::guest_window(4096, ~uint64_t{0} - 4096);
        EXPECT_EQ(error_of(r), Errc::fault) << path;
    }
    EXPECT_EQ(error_of(ask(dom0, xen::XEN_HYPFS_OP_get_version, address(room), 0, 0, 0)), Errc::inval);
    EXPECT_EQ(error_of(ask(dom0, xen::XEN_HYPFS_OP_get_version, 0, 1, 0, 0)), Errc::inval);
    EXPECT_EQ(error_of(ask(dom0, xen::XEN_HYPFS_OP_get_version, 0, 0, address(room), 0)), Errc::inval);
    EXPECT_EQ(error_of(ask(dom0, xen::XEN_HYPFS_OP_get_version, 0, 0, 0, 1)), Errc::inval);
    EXPECT_EQ(at(3, "/params", address(room), sizeof room), Errc::opnotsupp);
    EXPECT_EQ(at(3, "/nothing", address(room), sizeof room), Errc::noent) << "the path is looked at first";
}

TEST_F(Hypfs, OthersMayNotAsk) {
    Guest g(61);
    uint8_t room[64];
    const std::string path = "/params/loglvl";
    for (const uint32_t cmd : {xen::XEN_HYPFS_OP_get_version, xen::XEN_HYPFS_OP_read, xen::XEN_HYPFS_OP_write_contents, 3u})
        EXPECT_EQ(error_of(ask(g, cmd, address(path.c_str()), path.size() + 1, address(room), sizeof room)), Errc::perm);
}

TEST_F(Hypfs, WhatCountsAtBootCannotBeWritten) {
    unsigned fixed = 0;
    each_leaf("", [&](const std::string& path, const xen::HypfsDirEntry& e) {
        if (e.max_write_len) return;
        ++fixed;
        EXPECT_EQ(write(path, "yes"), Errc::access) << path;
        EXPECT_EQ(write_flag(path, true), Errc::access) << path;
        EXPECT_EQ(at(xen::XEN_HYPFS_OP_write_contents, path, nowhere, 1), Errc::access) << path;
    });
    EXPECT_GT(fixed, 20u);
    for (const char* path : {"/", "/params", "/buildinfo", "/cpupool", "/cpupool/0"})
        EXPECT_EQ(write(path, "x"), Errc::access) << path;
}

TEST_F(Hypfs, WhatTheLineSaidIsShown) {
    const std::string line =
        "xenolith maxcpus=7 com1=9600,8n1 sched-gran=socket spec-ctrl=no,nonsense smt no-tsx sync_console mem=lots";
    x86::OptionComplaints complaints;
    x86::parse_boot_options(line, 64, machine_info.options, complaints);
    EXPECT_EQ(text("/params/maxcpus"), "7");
    EXPECT_EQ(text("/params/com1"), "9600,8n1");
    EXPECT_EQ(text("/params/spec-ctrl"), "no,nonsense") << "what is known of it counts";
    EXPECT_EQ(text("/params/smt"), "yes");
    EXPECT_EQ(text("/params/tsx"), "no");
    EXPECT_EQ(text("/params/mem"), "default") << "it was not understood";
    EXPECT_EQ(text("/params/xpti"), "default");
    EXPECT_EQ(number("/params/sync_console"), 1u);
    EXPECT_EQ(number("/params/conring_size"), 65536u);
    EXPECT_EQ(entry("/params/sync_console").type, xen::XEN_HYPFS_TYPE_BOOL);
}

/// Lines of ours that the ring keeps from now on, while `f` runs.
std::string logged(const std::function<void()>& f) {
    char chunk[4096];
    uint32_t from = 0;
    while (log_read(chunk, sizeof chunk, from, false)) {}
    f();
    const size_t n = log_read(chunk, sizeof chunk, from, false);
    return {chunk, n};
}

TEST_F(Hypfs, WhatIsWrittenTakesEffectAtOnce) {
    // One for each option that may change: a value, how it reads then, and how it shows in what the hypervisor does.
    struct Change {
        std::function<Errc(const std::string&)> first, second;
        std::function<bool()> as_first, as_second;
    };
    const auto texts = [&](const char* a) { return [this, a](const std::string& p) { return write(p, std::string(a)); }; };
    const auto flag = [&](bool b) { return [this, b](const std::string& p) { return write_flag(p, b); }; };
    const auto line = [] { return logged([] { log(LogLevel::debug, "probe"); }); };
    const auto dom0_line = [] { return logged([] { console_write("dom0 says\n", 10); }); };
    const std::map<std::string, Change> changes = {
        {"loglvl", {texts("all"), texts("none"), [&] { return line() == "(XEN) probe\n"; }, [&] { return line().empty(); }}},
        {"guest_loglvl",
         {texts("none/all"), texts("none"), [] { return guest_log_wanted(LogLevel::debug); },
          [] { return !guest_log_wanted(LogLevel::error); }}},
        {"console_timestamps",
         {texts("boot"), texts("none"),
          [&] {
              set_log_levels({4, 4}, {4, 4});
              return line().starts_with("(XEN) [");
          },
          [&] {
              set_log_levels({4, 4}, {4, 4});
              return line() == "(XEN) probe\n";
          }}},
        {"console_to_ring",
         {flag(true), flag(false), [&] { return dom0_line() == "dom0 says\n"; }, [&] { return dom0_line().empty(); }}},
        {"noreboot",
         {flag(true), flag(false), [] { return !host::reboot_after_panic; }, [] { return host::reboot_after_panic; }}},
    };
    for (const x86::OptionRow& row : x86::option_rows()) {
        if (row.longest == 0) continue;
        const auto found = changes.find(std::string(row.name));
        ASSERT_NE(found, changes.end()) << row.name << " may be written, and this test does not know what it does";
        const std::string path = "/params/" + std::string(row.name);
        const Change& c = found->second;
        host::log_to_stderr = false;
        for (int round = 0; round < 2; ++round) {
            EXPECT_EQ(c.first(path), Errc{}) << path;
            EXPECT_TRUE(c.as_first()) << path;
            const Bytes first = contents(path);
            EXPECT_EQ(c.second(path), Errc{}) << path;
            EXPECT_TRUE(c.as_second()) << path;
            EXPECT_NE(contents(path), first) << path;
            EXPECT_LE(first.size(), entry(path).max_write_len) << path << ": what is read can be written";
        }
        host::log_to_stderr = true;
    }
    EXPECT_EQ(write("/params/loglvl", "error/info"), Errc{});
    EXPECT_EQ(text("/params/loglvl"), "error/info");
    EXPECT_EQ(write("/params/loglvl", "warning"), Errc{});
    EXPECT_EQ(text("/params/loglvl"), "warning/warning");
}

TEST_F(Hypfs, ValuesThatAreNone) {
    ASSERT_EQ(write("/params/loglvl", "error/info"), Errc{});
    EXPECT_EQ(write("/params/loglvl", "loud"), Errc::inval);
    EXPECT_EQ(write("/params/loglvl", "error/loud"), Errc::inval);
    EXPECT_EQ(write("/params/loglvl", ""), Errc::inval);
    EXPECT_EQ(write("/params/loglvl", "all", 3), Errc::dom) << "without an end";
    EXPECT_EQ(write("/params/loglvl", "all\0", 5), Errc::dom) << "an end before the end";
    EXPECT_EQ(write("/params/loglvl", "all", 0), Errc::dom);
    EXPECT_EQ(write("/params/loglvl", std::string(127, 'x')), Errc::inval);
    EXPECT_EQ(write("/params/loglvl", std::string(128, 'x')), Errc::nospc);
    EXPECT_EQ(at(xen::XEN_HYPFS_OP_write_contents, "/params/loglvl", nowhere, 4), Errc::fault);
    EXPECT_EQ(at(xen::XEN_HYPFS_OP_write_contents, "/params/noreboot", nowhere, 1), Errc::fault);
    EXPECT_EQ(write("/params/noreboot", "yes"), Errc::dom);
    EXPECT_EQ(write("/params/noreboot", "", 0), Errc::dom);
    EXPECT_EQ(text("/params/loglvl"), "error/info") << "what is refused changes nothing";
}

}  // namespace
