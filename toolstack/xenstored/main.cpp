// SPDX-License-Identifier: Apache-2.0
/// xenstored: the command line. Options as Xen 4.17's daemon has them.
#include <fcntl.h>
#include <getopt.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "lib/base/number.hpp"
#include "toolstack/service/process.hpp"
#include "toolstack/xenstored/daemon.hpp"

namespace {

constexpr char usage_text[] =
    "usage: xenstored [OPTION...]\n"
    "  -N, --no-fork           stay in the foreground, log to standard error\n"
    "  -F, --pid-file FILE     write the daemon's process number to FILE\n"
    "  -P, --output-pid        print the daemon's process number\n"
    "  -D, --no-domain-init    serve sockets only: no hypervisor, no domains\n"
    "  -R, --no-recovery       forget what an earlier daemon of this boot has left\n"
    "  -T, --trace-file FILE   log to FILE (SIGHUP reopens it)\n"
    "  -V, --verbose           log more\n"
    "  -E, --entry-nb N        nodes one unprivileged domain may own (1000)\n"
    "  -S, --entry-size N      bytes of one of its nodes (2048)\n"
    "  -W, --watch-nb N        its watches (128)\n"
    "  -t, --transaction N     its open transactions (10)\n"
    "  -A, --perm-nb N         entries in one of its permission lists (5)\n"
    "      --run-dir DIR       where socket and state live ($XENSTORED_RUNDIR, else /run/xenstored)\n"
    "  -H, --help\n";

struct CommandLine {
    xenstored::DaemonOptions daemon;
    std::string pid_file;
    bool foreground = false;
    bool print_pid = false;
};

bool parse_count(const char* text, size_t& out) {
    const auto value = base::parse_number<size_t>(text);
    if (!value) {
        std::fprintf(stderr, "xenstored: '%s' is not a number\n", text);
        return false;
    }
    out = *value;
    return true;
}

constexpr int run_dir_option = 256;
constexpr option long_options[] = {
    {"no-fork", no_argument, nullptr, 'N'},
    {"pid-file", required_argument, nullptr, 'F'},
    {"output-pid", no_argument, nullptr, 'P'},
    {"no-domain-init", no_argument, nullptr, 'D'},
    {"no-recovery", no_argument, nullptr, 'R'},
    {"trace-file", required_argument, nullptr, 'T'},
    {"verbose", no_argument, nullptr, 'V'},
    {"entry-nb", required_argument, nullptr, 'E'},
    {"entry-size", required_argument, nullptr, 'S'},
    {"watch-nb", required_argument, nullptr, 'W'},
    {"transaction", required_argument, nullptr, 't'},
    {"perm-nb", required_argument, nullptr, 'A'},
    {"run-dir", required_argument, nullptr, run_dir_option},
    {"help", no_argument, nullptr, 'H'},
    {"internal-db", no_argument, nullptr, 'I'},
    {"preserve-local", no_argument, nullptr, 'L'},
    {nullptr, 0, nullptr, 0},
};

/// False when the command line is wrong; the message is out by then.
bool parse(int argc, char** argv, CommandLine& line) {
    xenstored::Quota& quota = line.daemon.quota;
    for (int c; (c = ::getopt_long(argc, argv, "NF:PDRT:VE:S:W:t:A:HIL", long_options, nullptr)) != -1;) {
        bool good = true;
        switch (c) {
            case 'N': line.foreground = true; break;
            case 'F': line.pid_file = ::optarg; break;
            case 'P': line.print_pid = true; break;
            case 'D': line.daemon.serve_domains = false; break;
            case 'R': line.daemon.recover = false; break;
            case 'T': line.daemon.log_file = ::optarg; break;
            case 'V': line.daemon.trace = true; break;
            case 'E': good = parse_count(::optarg, quota.nodes); break;
            case 'S': good = parse_count(::optarg, quota.node_size); break;
            case 'W': good = parse_count(::optarg, quota.watches); break;
            case 't': good = parse_count(::optarg, quota.transactions); break;
            case 'A': good = parse_count(::optarg, quota.permissions); break;
            case run_dir_option: line.daemon.directory = ::optarg; break;
            case 'I':
            case 'L': break;  // our tree is always in memory, and local nodes always stay
            case 'H': std::fputs(usage_text, stdout); std::exit(0);
            default: good = false;
        }
        if (!good) return false;
    }
    if (::optind == argc) return true;
    std::fprintf(stderr, "xenstored: unexpected argument '%s'\n", argv[::optind]);
    return false;
}

/// Without the store no guest's devices work: the kernel should kill something else first.
void avoid_memory_killer() {
    const service::Fd file(::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
    if (file) (void)!::write(file.get(), "-1000", 5);
}

base::Outcome<> serve(CommandLine& line, service::Detachment& detachment) {
    service::PidFile lock = OTRY(service::PidFile::take(line.daemon.directory + "/xenstored.pid", service::a_look_at_it));
    OTRY(lock.write_pid());
    avoid_memory_killer();
    xenstored::Daemon daemon(line.daemon);
    OTRY(daemon.start());
    if (!line.pid_file.empty()) OTRY(service::write_pid_file(line.pid_file));
    if (line.print_pid) {
        std::printf("%d\n", ::getpid());
        std::fflush(stdout);
    }
    detachment.ready();
    OTRY(daemon.run());
    lock.retire();  // so nobody starts it again
    return base::ok;
}

}  // namespace

int main(int argc, char** argv) {
    CommandLine line;
    if (const char* directory = std::getenv("XENSTORED_RUNDIR")) line.daemon.directory = directory;
    if (!parse(argc, argv, line)) {
        std::fputs("Try 'xenstored --help'.\n", stderr);
        return 1;
    }
    if (!line.foreground && line.daemon.log_file.empty() && ::access("/var/log/xen", W_OK) == 0) {
        line.daemon.log_file = "/var/log/xen/xenstored.log";
    }
    auto detachment = service::Detachment::start(line.foreground, "xenstored");
    const auto done = detachment ? serve(line, *detachment) : base::Outcome<>(detachment.failure());
    if (done) return 0;
    std::fprintf(stderr, "xenstored: %s\n", done.failure().text.c_str());
    return 1;
}
