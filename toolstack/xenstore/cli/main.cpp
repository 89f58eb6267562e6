// SPDX-License-Identifier: Apache-2.0
/// xenstore: one program for all the store's command line tools, told apart by its name (xenstore-read) or its first
/// word (xenstore read).
#include <getopt.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "lib/base/number.hpp"
#include "toolstack/xenstore/cli/commands.hpp"

namespace {

using xenstore::cli::Arguments;

struct Command {
    const char* name;
    const char* options;  ///< for getopt, without -h and -s
    const char* usage;
    int (*run)(xenstore::Store&, const Arguments&);
    size_t fewest;
    size_t most;
};

constexpr size_t any = 100000;
constexpr Command commands[] = {
    {"read", "pR", "[-h] [-p] [-s] [-R] key [...]", xenstore::cli::read, 1, any},
    {"write", "R", "[-h] [-s] [-R] key value [...]", xenstore::cli::write, 2, any},
    {"list", "p", "[-h] [-p] [-s] key [...]", xenstore::cli::list, 1, any},
    {"ls", "fp", "[-h] [-f] [-p] [-s] [path]", xenstore::cli::tree, 0, 1},
    {"rm", "t", "[-h] [-s] [-t] key [...]", xenstore::cli::remove, 1, any},
    {"exists", "", "[-h] [-s] key [...]", xenstore::cli::exists, 1, any},
    {"chmod", "ur", "[-h] [-u] [-r] [-s] key <mode [modes...]>", xenstore::cli::change_permissions, 2, any},
    {"watch", "n:", "[-h] [-n NR] key [...]", xenstore::cli::watch, 1, any},
    {"control", "", "[-h] command [argument...]", xenstore::cli::control, 1, any},
};

const Command* find(const char* name) {
    for (const Command& c : commands) {
        if (std::strcmp(c.name, name) == 0) return &c;
    }
    return nullptr;
}

[[noreturn]] void usage(const Arguments& a, const Command& command, int status) {
    std::fprintf(stderr, "%s: Usage: %s %s\n", a.program.c_str(), a.program.c_str(), command.usage);
    std::exit(status);
}

bool take_option(int c, const Command& command, Arguments& a) {
    switch (c) {
        case 's': return true;  // sockets are what we prefer anyhow
        case 'R': a.raw = true; return true;
        case 't': a.tidy = true; return true;
        case 'u': a.upwards = true; return true;
        case 'r': a.recursive = true; return true;
        case 'f': a.full_path = true; return true;
        case 'n': a.count = base::parse_number<int>(::optarg).value_or(0); return a.count > 0;
        case 'p': (command.run == xenstore::cli::tree ? a.permissions : a.with_path) = true; return true;
        default: return false;
    }
}

void parse(int argc, char** argv, const Command& command, Arguments& a) {
    const std::string options = std::string("+hs") + command.options;
    for (int c; (c = ::getopt(argc, argv, options.c_str())) != -1;) {
        if (c == 'h') usage(a, command, 0);
        if (!take_option(c, command, a)) usage(a, command, 1);
    }
    a.words.assign(argv + ::optind, argv + argc);
    const bool pairs = command.run != xenstore::cli::write || a.words.size() % 2 == 0;
    if (a.words.size() < command.fewest || a.words.size() > command.most || !pairs) usage(a, command, 1);
}

}  // namespace

int main(int argc, char** argv) {
    const char* slash = std::strrchr(argv[0], '/');
    Arguments a;
    a.program = slash != nullptr ? slash + 1 : argv[0];
    const Command* command = a.program.starts_with("xenstore-") ? find(a.program.c_str() + 9) : nullptr;
    if (command == nullptr && argc > 1) {
        command = find(argv[1]);
        a.program = std::string("xenstore-") + argv[1];
        --argc;
        ++argv;
    }
    if (command == nullptr) {
        std::fputs("xenstore: Usage: xenstore <mode> [-h] [...], where mode is one of", stderr);
        for (const Command& c : commands) std::fprintf(stderr, " %s", c.name);
        std::fputc('\n', stderr);
        return 1;
    }
    parse(argc, argv, *command, a);
    xenstore::Location where;
    where.patience = std::chrono::milliseconds(5000);
    auto store = xenstore::open_store(where);
    if (!store) {
        std::fprintf(stderr, "%s: %s\n", a.program.c_str(), store.failure().text.c_str());
        return 1;
    }
    return command->run(**store, a);
}
