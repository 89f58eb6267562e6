// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <istream>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "lib/base/outcome.hpp"
#include "lib/proto/sxp.hpp"
#include "toolstack/xend/api.hpp"
#include "toolstack/xm/options.hpp"

namespace xm {

/// Called as `xl` the program speaks as xl does.
enum class Dialect : uint8_t { xm, xl };

/// What xm touches, so that tests can put their own behind it.
struct World {
    xend::Transport& xend;
    std::ostream& out;
    std::ostream& err;
    bool root = true;
    std::function<void(unsigned milliseconds)> sleep;
    /// Joins this terminal and the domain's, `tty`; `joined` is called once it is open. Errors: of the terminal.
    std::function<base::Outcome<>(const std::string& tty, const std::function<base::Outcome<>()>& joined)> console;
    std::istream* in = nullptr;  // what is typed to `xm shell`
    std::string sys = "/sys";    // counters of dom0's drivers
    Dialect dialect = Dialect::xm;
    bool watched = false;  // somebody looks at `err` as it comes: a terminal
    std::string_view name() const { return dialect == Dialect::xl ? "xl" : "xm"; }
};

/// Runs one command line (without "xm" itself); the result is the exit status: 0, or 1 for any failure; xl's own in its dialect.
int run(World& world, const std::vector<std::string>& words);

/// xend as xm sees it: requests in, s-expressions or failures out.
class Client {
    World& world_;

public:
    explicit Client(World& world) : world_(world) {}
    base::Outcome<std::string> text(const std::string& path, std::map<std::string, std::string> fields = {});
    base::Outcome<proto::Sxp> get(const std::string& path, std::map<std::string, std::string> fields = {});
    base::Outcome<proto::Sxp> post(const std::string& path, const std::string& op,
                                   std::map<std::string, std::string> fields = {});
    /// All domains, brief.
    base::Outcome<std::vector<proto::Sxp>> domains();
    /// One domain, in full. Errors: noent "Domain 'X' does not exist."
    base::Outcome<proto::Sxp> domain(const std::string& who);
    base::Outcome<proto::Sxp> operate(const std::string& who, const std::string& op,
                                      std::map<std::string, std::string> fields = {});
};

/// What a verb gets to work with.
struct Call {
    World& world;
    Client xend;
    const Parsed& line;
    std::ostream& out;
};

/// One row of the table that makes dispatch, help and usage.
struct Verb {
    std::string_view name;
    std::string_view arguments;  // as the usage shows them
    std::string_view help;
    std::vector<Option> options;
    size_t least = 0, most = 0;  // number of arguments
    bool common = false;         // in the short help
    base::Outcome<> (*run)(Call&) = nullptr;
    std::string_view refusal = {};  // why it does nothing here, whatever its arguments
};

const std::vector<Verb>& verbs();
/// xl's table: its own rows, and those of xm's that are the same.
const std::vector<Verb>& xl_verbs();
/// What that table takes from other files.
std::vector<Verb> config_verbs();
std::vector<Verb> cpupool_verbs();
std::vector<Verb> device_verbs();
std::vector<Verb> host_verbs();
std::vector<Verb> savefile_verbs();
std::vector<Verb> scheduler_verbs();
std::vector<Verb> session_verbs();
std::vector<Verb> top_verbs();
std::vector<Verb> vcpu_verbs();
std::vector<Verb> vnet_verbs();
/// What classic xm could do and nothing here can.
std::vector<Verb> refused_verbs();

// What both dialects need.
void print_verb(std::ostream& out, const Verb& verb);
void print_usage(std::ostream& out, std::string_view program, const Verb& verb);
/// "requires 1 argument." and its relatives; empty when the number is right.
std::string count_complaint(std::string_view program, const Verb& verb, size_t given);
/// The CPUs' places and the nodes, of xend's answer about the machine, as xl has it.
void print_topology(std::ostream& out, const proto::Sxp& node);
int run_xl(World& world, std::span<const std::string> words);

// The verbs, by file.
base::Outcome<> create(Call& call);
base::Outcome<> save(Call& call);
base::Outcome<> restore(Call& call);
base::Outcome<> suspend(Call& call);
base::Outcome<> resume(Call& call);
base::Outcome<> migrate(Call& call);
base::Outcome<> define(Call& call);
base::Outcome<> start(Call& call);
base::Outcome<> forget(Call& call);
base::Outcome<> console(Call& call);
base::Outcome<> list(Call& call);
base::Outcome<> vcpu_list(Call& call);
base::Outcome<> block_list(Call& call);
base::Outcome<> network_list(Call& call);
base::Outcome<> uptime(Call& call);
base::Outcome<> info(Call& call);
base::Outcome<> dmesg(Call& call);
base::Outcome<> show_log(Call& call);
base::Outcome<> debug_keys(Call& call);
base::Outcome<> pause(Call& call);
base::Outcome<> unpause(Call& call);
base::Outcome<> shutdown(Call& call);
base::Outcome<> reboot(Call& call);
base::Outcome<> destroy(Call& call);
base::Outcome<> rename(Call& call);
base::Outcome<> domid(Call& call);
base::Outcome<> xl_list(Call& call);
base::Outcome<> xl_vcpu_list(Call& call);
base::Outcome<> xl_uptime(Call& call);
base::Outcome<> xl_info(Call& call);
base::Outcome<> xl_block_list(Call& call);
base::Outcome<> xl_network_list(Call& call);
base::Outcome<> domname(Call& call);
base::Outcome<> mem_set(Call& call);
base::Outcome<> mem_max(Call& call);
base::Outcome<> sysrq(Call& call);

/// printf into a string, for the classic column formats.
std::string format(const char* form, ...) __attribute__((format(printf, 1, 2)));

/// The domain's console, once the console daemon has made it; waits a while. Errors: noent.
base::Outcome<std::string> console_tty(Call& call, const std::string& who);

}  // namespace xm
