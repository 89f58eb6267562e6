// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/core/boot_loader.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <utility>

#include "lib/proto/sxp.hpp"
#include "toolstack/config/load.hpp"
#include "toolstack/service/fd.hpp"
#include "toolstack/service/log.hpp"

namespace xend {

using base::Errc;
using base::Outcome;
using service::log;
using service::LogLevel;

namespace {

constexpr size_t most_answer = 65536;

/// A path as it is, if there is such a program; else its last part where programs of this kind stand: files from elsewhere say
/// "/usr/bin/pygrub".
Outcome<std::string> find_loader(const Settings& settings, const std::string& name) {
    if (name.starts_with('/') && ::access(name.c_str(), X_OK) == 0) return name;
    const std::string last = name.substr(name.find_last_of('/') + 1);
    for (std::string path : settings.boot_loaders) {
        path.append("/").append(last);
        if (!last.empty() && ::access(path.c_str(), X_OK) == 0) return path;
    }
    return base::fail(Errc::noent, "Boot loader isn't executable: " + name);
}

/// Whether `path` is a file right in `folder`: a boot loader reads what the guest wrote, and shall not name dom0's own files.
Outcome<> check_within(const std::string& folder, const std::string& path) {
    struct stat s {};
    const bool below = path.starts_with(folder + "/") && path.find('/', folder.size() + 1) == std::string::npos;
    if (!below || ::lstat(path.c_str(), &s) != 0 || !S_ISREG(s.st_mode)) {
        return base::fail(Errc::inval,
                          "the boot loader names '" + path.substr(0, 200) + "', which is no file of its own in " + folder);
    }
    return base::ok;
}

/// "kernel K", "ramdisk R" and "args A", each ended by `end`.
Outcome<BootFiles> parse_simple(std::string_view text, char end) {
    BootFiles out;
    while (!text.empty()) {
        const size_t at = std::min(text.find(end), text.size());
        const std::string_view line = text.substr(0, at);
        text.remove_prefix(std::min(at + 1, text.size()));
        if (line.starts_with("kernel ")) out.kernel = line.substr(7);
        else if (line.starts_with("ramdisk ")) out.ramdisk = line.substr(8);
        else if (line.starts_with("args ")) out.command_line = line.substr(5);
        else if (!line.empty()) return base::fail(Errc::inval, "the boot loader says '" + std::string(line.substr(0, 60)) + "'");
    }
    return out;
}

/// `linux (kernel K)(ramdisk R)(args "A")`, in parentheses or not.
Outcome<BootFiles> parse_expression(std::string text) {
    if (!text.starts_with('(')) text = "(" + text + ")";
    const auto parsed = proto::parse_sxp(text);
    if (!parsed) return base::fail(Errc::inval, "the boot loader's answer cannot be read");
    return BootFiles{parsed->child_value("kernel").value_or(""), parsed->child_value("ramdisk").value_or(""),
                     parsed->child_value("args").value_or("")};
}

Outcome<std::string> read_answer(const std::string& path) {
    auto text = config::read_file(path, most_answer);
    if (text || text.failure().code != Errc::toobig) return std::move(text).context(path);
    return base::fail(Errc::toobig, "the boot loader's answer has more than 64 KiB");
}

std::string folder_of(const Settings& settings, const config::Uuid& uuid) { return settings.boot_folder + "/" + uuid.text(); }

/// A new, empty folder with an empty file for the answer.
Outcome<> make_folder(const std::string& folder, const std::string& answer) {
    std::error_code error;
    std::filesystem::remove_all(folder, error);
    std::filesystem::create_directories(folder, error);
    if (error) return base::fail(Errc::io, folder + ": " + error.message());
    if (::chmod(folder.c_str(), 0700) != 0) return service::system_failure(folder);
    const service::Fd file(::open(answer.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    return file ? Outcome<>(base::ok) : service::system_failure(answer);
}

ScriptCall call_of(const std::string& loader, const config::DomainConfig& c, const std::string& folder,
                   const std::string& answer) {
    ScriptCall call;
    call.path = loader;
    const auto give = [&](const char* name, const std::string& value) {
        if (!value.empty()) call.arguments.push_back(std::string(name) + value);
    };
    give("--kernel=", c.kernel);
    give("--ramdisk=", c.ramdisk);
    give("--args=", c.cmdline());
    give("--output=", answer);
    give("--output-format=", "simple0");
    give("--output-directory=", folder);
    call.arguments.emplace_back("-q");  // nobody looks at its menu
    for (std::string& word : c.bootarg_words()) call.arguments.push_back(std::move(word));
    call.arguments.push_back(c.disks[0].target);
    call.tag = boot_tag(c.uuid);
    return call;
}

Outcome<BootFiles> run(Ports& ports, const config::DomainConfig& c, const std::string& folder) {
    const std::string loader = OTRY(find_loader(ports.settings, c.bootloader));
    const std::string answer = folder + "/answer";
    OTRY(make_folder(folder, answer));
    log(LogLevel::info, fmt::format("domain '{}': {} looks for its kernel on {}", c.name, loader, c.disks[0].target));
    OTRY(ports.scripts.run(call_of(loader, c, folder, answer)));
    const std::string text = OTRY(read_answer(answer));
    BootFiles files = OTRY(parse_boot_answer(text));
    if (files.kernel.empty()) return base::fail(Errc::inval, "Boot loader didn't return any data!");
    OTRY(check_within(folder, files.kernel));
    if (!files.ramdisk.empty()) OTRY(check_within(folder, files.ramdisk));
    if (files.command_line.size() > config::max_cmdline) {
        return base::fail(Errc::toobig,
                          fmt::format("the boot loader's command line has more than {} characters", config::max_cmdline));
    }
    return files;
}

}  // namespace

BootFolder::~BootFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

std::string boot_tag(const config::Uuid& uuid) { return "boot-" + uuid.text(); }

Outcome<BootFiles> parse_boot_answer(const std::string& text) {
    if (text.find('\0') != std::string::npos) return parse_simple(text, '\0');
    const size_t first = text.find_first_not_of(" \t\n");
    if (first == std::string::npos) return BootFiles{};
    if (text.compare(first, 7, "kernel ") == 0) return parse_simple(text, '\n');
    return parse_expression(text.substr(first));
}

Outcome<Booted> find_boot_files(Ports& ports, const config::DomainConfig& config) {
    if (config.bootloader.empty()) return Booted{{config.kernel, config.ramdisk, config.cmdline()}, BootFolder({})};
    OTRY(config::check_boot_disk(config));
    const std::string path = folder_of(ports.settings, config.uuid);
    BootFolder folder(path);  // goes whatever happens
    BootFiles files = OTRY(run(ports, config, path).context("bootloader"));
    return Booted{std::move(files), std::move(folder)};
}

void forget_boot_files(const Settings& settings, const config::Uuid& uuid) {
    std::error_code ignored;
    std::filesystem::remove_all(folder_of(settings, uuid), ignored);
}

}  // namespace xend
