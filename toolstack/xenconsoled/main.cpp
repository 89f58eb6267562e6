// SPDX-License-Identifier: Apache-2.0
/// xenconsoled: the command line. Options as Xen 4.17's daemon has them.
#include <fcntl.h>
#include <getopt.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "lib/base/number.hpp"
#include "toolstack/service/process.hpp"
#include "toolstack/xenconsoled/daemon.hpp"

namespace {

constexpr char usage_text[] =
    "usage: xenconsoled [OPTION...]\n"
    "  -i, --interactive        stay in the foreground, log to standard error\n"
    "  -v, --verbose            log what is attached\n"
    "      --log=none|guest|hv|all\n"
    "                           keep guests' output, the hypervisor's messages, or both (none)\n"
    "      --log-dir=DIR        where (/var/log/xen/console); SIGHUP reopens the files\n"
    "      --log-size=MIB       a log that has grown so large becomes FILE.1 (8; 0: never)\n"
    "      --pid-file=FILE      write the daemon's process number to FILE (/run/xenconsoled.pid)\n"
    "  -V, --version\n"
    "  -h, --help\n";

struct CommandLine {
    xenconsoled::Options daemon;
    std::string pid_file = "/run/xenconsoled.pid";
    bool foreground = false;
};

enum LongOption : int { log_option = 256, log_dir_option, log_size_option, pid_file_option, ignored_option };

constexpr option long_options[] = {
    {"help", no_argument, nullptr, 'h'},
    {"version", no_argument, nullptr, 'V'},
    {"verbose", no_argument, nullptr, 'v'},
    {"interactive", no_argument, nullptr, 'i'},
    {"log", required_argument, nullptr, log_option},
    {"log-dir", required_argument, nullptr, log_dir_option},
    {"log-size", required_argument, nullptr, log_size_option},
    {"pid-file", required_argument, nullptr, pid_file_option},
    {"timestamp", required_argument, nullptr, ignored_option},
    {"overflow-data", required_argument, nullptr, ignored_option},
    {"replace-escape", no_argument, nullptr, ignored_option},
    {nullptr, 0, nullptr, 0},
};

bool parse_log(std::string_view what, xenconsoled::Options& options) {
    options.log_guests = what == "guest" || what == "all";
    options.log_hypervisor = what == "hv" || what == "all";
    if (options.log_guests || options.log_hypervisor || what == "none") return true;
    std::fprintf(stderr, "xenconsoled: --log wants none, guest, hv or all\n");
    return false;
}

bool parse_log_size(std::string_view text, xenconsoled::Options& options) {
    const auto mib = base::parse_number<uint32_t>(text);
    if (mib) options.log_limit = uint64_t{*mib} << 20U;
    if (!mib) std::fprintf(stderr, "xenconsoled: --log-size wants a number of MiB\n");
    return mib.has_value();
}

bool parse(int argc, char** argv, CommandLine& line) {
    for (int c; (c = ::getopt_long(argc, argv, "hVvit:", long_options, nullptr)) != -1;) {
        switch (c) {
            case 'i': line.foreground = true; break;
            case 'v': line.daemon.verbose = true; break;
            case log_dir_option: line.daemon.log_directory = ::optarg; break;
            case log_size_option:
                if (!parse_log_size(::optarg, line.daemon)) return false;
                break;
            case pid_file_option: line.pid_file = ::optarg; break;
            case ignored_option:
            case 't': break;
            case log_option:
                if (!parse_log(::optarg, line.daemon)) return false;
                break;
            case 'h': std::fputs(usage_text, stdout); std::exit(0);
            case 'V': std::puts("Console Daemon (Xenolith)"); std::exit(0);
            default: return false;
        }
    }
    if (::optind == argc) return true;
    std::fprintf(stderr, "xenconsoled: unexpected argument '%s'\n", argv[::optind]);
    return false;
}

base::Outcome<> serve(CommandLine& line, service::Detachment& detachment) {
    service::PidFile lock = OTRY(service::PidFile::take(line.pid_file, service::a_look_at_it));
    OTRY(lock.write_pid());
    xenconsoled::Daemon daemon(line.daemon);
    OTRY(daemon.start());
    detachment.ready();
    OTRY(daemon.run());
    lock.retire();  // so nobody starts it again
    return base::ok;
}

}  // namespace

int main(int argc, char** argv) {
    CommandLine line;
    if (!parse(argc, argv, line)) {
        std::fputs("Try 'xenconsoled --help'.\n", stderr);
        return 1;
    }
    if (!line.foreground && ::access("/var/log/xen", W_OK) == 0) line.daemon.daemon_log = "/var/log/xen/xenconsoled.log";
    auto detachment = service::Detachment::start(line.foreground, "xenconsoled");
    const auto done = detachment ? serve(line, *detachment) : base::Outcome<>(detachment.failure());
    if (done) return 0;
    std::fprintf(stderr, "xenconsoled: %s\n", done.failure().text.c_str());
    return 1;
}
