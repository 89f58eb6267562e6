// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xentrace/options.hpp"

#include <getopt.h>

#include <algorithm>
#include <string_view>

#include "abi/xen/trace.hpp"
#include "lib/base/number.hpp"

namespace xentrace {

using base::Errc;
using base::fail;
using base::Outcome;

const char usage[] =
    "usage: xentrace [OPTION...] [FILE]\n"
    "Writes what the hypervisor records into FILE, or to standard output; xenalyze and xentrace_format read it.\n"
    "  -c, --cpu-mask=CPUS          0xMASK, a list like 0,2-3,5-, or all\n"
    "  -e, --evt-mask=EVENTS        a mask, or one of gen sched dom0op hvm mem pv shadow hw guest all\n"
    "  -s, --poll-sleep=MS          time between looks at the buffers (100)\n"
    "  -t, --log-thresh=N           write when so many records wait (1)\n"
    "  -S, --trace-buf-size=PAGES   size of each CPU's buffer (32); the first one since the machine's start decides\n"
    "  -T, --time-interval=SECONDS  end after so long\n"
    "  -D, --discard-buffers        without what waits already\n"
    "  -x, --dont-disable-tracing   tracing stays on at the end\n"
    "  -X, --start-disabled         tracing is left as it is\n"
    "  -r, --reserve-disk-space=N   end rather than leave less than N bytes free (K, M, G)\n"
    "  -?, --help\n"
    "  -V, --version\n";

namespace {

constexpr uint32_t most_cpus = 4096;  ///< as many as Xen knows

constexpr int help_option = 256;

constexpr option long_options[] = {
    {"cpu-mask", required_argument, nullptr, 'c'},
    {"evt-mask", required_argument, nullptr, 'e'},
    {"poll-sleep", required_argument, nullptr, 's'},
    {"log-thresh", required_argument, nullptr, 't'},
    {"trace-buf-size", required_argument, nullptr, 'S'},
    {"time-interval", required_argument, nullptr, 'T'},
    {"discard-buffers", no_argument, nullptr, 'D'},
    {"dont-disable-tracing", no_argument, nullptr, 'x'},
    {"start-disabled", no_argument, nullptr, 'X'},
    {"reserve-disk-space", required_argument, nullptr, 'r'},
    {"memory-buffer", required_argument, nullptr, 'M'},
    {"help", no_argument, nullptr, help_option},
    {"usage", no_argument, nullptr, help_option},
    {"version", no_argument, nullptr, 'V'},
    {nullptr, 0, nullptr, 0},
};

base::Failure bad(const std::string& what, const std::string& text, const char* wanted) {
    return fail(Errc::inval, what + ": '" + text + "' is not " + wanted);
}

std::optional<uint64_t> number(std::string_view text) { return base::parse_number_or_hex<uint64_t>(text); }

Outcome<uint64_t> number_between(const std::string& what, const std::string& text, uint64_t least, uint64_t most) {
    const auto n = number(text);
    if (n && *n >= least && *n <= most) return *n;
    return fail(Errc::inval,
                what + ": '" + text + "' is no number from " + std::to_string(least) + " to " + std::to_string(most));
}

Outcome<uint64_t> bytes(const std::string& what, std::string text) {
    unsigned shift = 0;
    switch (text.empty() ? ' ' : text.back()) {
        case 'k':
        case 'K': shift = 10; break;
        case 'm':
        case 'M': shift = 20; break;
        case 'g':
        case 'G': shift = 30; break;
        default: break;
    }
    const std::string digits = shift ? text.substr(0, text.size() - 1) : text;
    const auto n = number(digits);
    if (!n || *n > (~uint64_t{0} >> shift)) return bad(what, text, "a number of bytes, like 500M");
    return *n << shift;
}

void add_cpus(std::vector<uint8_t>& map, uint32_t first, uint32_t last) {
    map.resize(std::max<size_t>(map.size(), last / 8 + 1));
    for (uint32_t cpu = first; cpu <= last; ++cpu) map[cpu / 8] = static_cast<uint8_t>(map[cpu / 8] | 1U << cpu % 8);
}

Outcome<> take(Options& o, int letter, const std::string& value) {
    switch (letter) {
        case 'c': o.cpus = OTRY(parse_cpus(value)); break;
        case 'e': o.events = OTRY(parse_events(value)); break;
        case 's': o.sleep = std::chrono::milliseconds(OTRY(number_between("--poll-sleep", value, 1, 3'600'000))); break;
        case 't': o.threshold = static_cast<uint32_t>(OTRY(number_between("--log-thresh", value, 0, 1'000'000'000))); break;
        case 'S': o.pages = static_cast<uint32_t>(OTRY(number_between("--trace-buf-size", value, 1, 0xffff))); break;
        case 'T': o.duration = std::chrono::seconds(OTRY(number_between("--time-interval", value, 1, 1'000'000'000))); break;
        case 'r': o.reserve = OTRY(bytes("--reserve-disk-space", value)); break;
        case 'D': o.discard = true; break;
        case 'x': o.leave_on = true; break;
        case 'X': o.start = false; break;
        case 'V': o.version = true; break;
        case 'M': return fail(Errc::opnotsupp, "--memory-buffer: not there; -r keeps a disk from filling, -T ends in time");
        default: break;
    }
    return base::ok;
}

}  // namespace

Outcome<std::vector<uint8_t>> parse_cpus(const std::string& text) {
    std::vector<uint8_t> map;
    if (text == "all") {
        add_cpus(map, 0, most_cpus - 1);
        return map;
    }
    if (text.starts_with("0x") || text.starts_with("0X")) {
        const uint64_t mask = OTRY(number_between("--cpu-mask", text, 1, 0xffff'ffff));
        for (unsigned i = 0; i < 4; ++i) map.push_back(static_cast<uint8_t>(mask >> 8 * i));
        return map;
    }
    for (size_t at = 0; at <= text.size();) {
        const size_t comma = std::min(text.find(',', at), text.size());
        const std::string item = text.substr(at, comma - at);
        at = comma + 1;
        const size_t dash = item.find('-');
        const std::string from = item.substr(0, dash), to = dash == std::string::npos ? from : item.substr(dash + 1);
        const auto first = from.empty() ? std::optional<uint64_t>(0) : base::parse_number<uint64_t>(from);
        const auto last = to.empty() ? std::optional<uint64_t>(most_cpus - 1) : base::parse_number<uint64_t>(to);
        const bool nothing = from.empty() && to.empty();
        if (nothing || !first || !last || *first > *last || *last >= most_cpus)
            return bad("--cpu-mask", item, "a CPU or a range of CPUs, like 3, 0-3, -3 or 3-");
        add_cpus(map, static_cast<uint32_t>(*first), static_cast<uint32_t>(*last));
    }
    return map;
}

Outcome<uint32_t> parse_events(const std::string& text) {
    struct Class {
        const char* name;
        uint32_t bits;
    };
    constexpr Class classes[] = {{"gen", xen::TRC_GEN}, {"sched", xen::TRC_SCHED},   {"dom0op", xen::TRC_DOM0OP},
                                 {"hvm", xen::TRC_HVM}, {"mem", xen::TRC_MEM},       {"pv", xen::TRC_PV},
                                 {"hw", xen::TRC_HW},   {"shadow", xen::TRC_SHADOW}, {"guest", xen::TRC_GUEST},
                                 {"all", xen::TRC_ALL}};
    for (const Class& c : classes)
        if (text == c.name) return c.bits;
    const auto n = number(text);
    if (!n || *n > 0xffff'ffff) return bad("--evt-mask", text, "a mask of 32 bits, nor a class of events");
    return static_cast<uint32_t>(*n);
}

Outcome<Options> parse(int argc, char** argv) {
    Options o;
    ::optind = 0;  // glibc forgets what it was in the middle of
    ::opterr = 0;
    for (int c; ::optopt = 0, (c = ::getopt_long(argc, argv, ":c:e:s:t:S:T:DxXr:M:?V", long_options, nullptr)) != -1;) {
        if (c == ':') return fail(Errc::inval, std::string(argv[::optind - 1]) + " wants a value");
        if (c == help_option || (c == '?' && ::optopt == 0 && std::string_view(argv[::optind - 1]) == "-?")) {
            o.help = true;
            continue;
        }
        if (c == '?')
            return fail(Errc::inval, std::string(argv[::optind - 1]) + " is no option: xentrace --help shows those there are");
        OTRY(take(o, c, ::optarg != nullptr ? ::optarg : ""));
    }
    if (::optind < argc) o.file = argv[::optind++];
    if (::optind < argc) return fail(Errc::inval, std::string("one file is enough: '") + argv[::optind] + "' is too much");
    return o;
}

}  // namespace xentrace
