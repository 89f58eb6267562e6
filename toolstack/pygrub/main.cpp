// SPDX-License-Identifier: Apache-2.0
// pygrub: finds out what a guest's disk would boot, and takes it out for the domain builder. The name is the one that
// configurations have.
#include <fcntl.h>
#include <getopt.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "toolstack/config/load.hpp"
#include "toolstack/pygrub/image.hpp"
#include "toolstack/pygrub/output.hpp"

namespace pygrub {
namespace {

using base::Errc;
using base::Outcome;
using service::Fd;

struct Request {
    std::string disk, output, folder = "/var/run/xend/boot", entry, kernel, ramdisk, args;
    OutputFormat format = OutputFormat::sxp;
    bool list = false, is_config = false, only_say = false, quiet = false;
};

constexpr const char* usage =
    "Usage: pygrub [-q|--quiet] [-l|--list-entries] [-n|--not-really] [--output=FILE] [--output-format=sxp|simple|simple0]\n"
    "              [--output-directory=DIR] [--kernel=PATH] [--ramdisk=PATH] [--args=WORDS] [--entry=NUMBER|TITLE] [--isconfig] "
    "DISK\n"
    "Prints what the boot loader on DISK would boot; its kernel and ramdisk are copied to DIR (/var/run/xend/boot).\n";

Outcome<Request> read_options(int count, char** words) {
    enum : int { output = 256, format, folder, entry, kernel, ramdisk, args, is_config };
    const std::array<option, 15> known = {{{"quiet", no_argument, nullptr, 'q'},
                                           {"interactive", no_argument, nullptr, 'i'},
                                           {"list-entries", no_argument, nullptr, 'l'},
                                           {"not-really", no_argument, nullptr, 'n'},
                                           {"help", no_argument, nullptr, 'h'},
                                           {"debug", no_argument, nullptr, 'q'},
                                           {"output", required_argument, nullptr, output},
                                           {"output-format", required_argument, nullptr, format},
                                           {"output-directory", required_argument, nullptr, folder},
                                           {"entry", required_argument, nullptr, entry},
                                           {"kernel", required_argument, nullptr, kernel},
                                           {"ramdisk", required_argument, nullptr, ramdisk},
                                           {"args", required_argument, nullptr, args},
                                           {"isconfig", no_argument, nullptr, is_config},
                                           {nullptr, 0, nullptr, 0}}};
    Request out;
    for (int c = 0; (c = ::getopt_long(count, words, "qilnh", known.data(), nullptr)) != -1;) {
        const std::string value = ::optarg != nullptr ? ::optarg : "";
        switch (c) {
            case 'h': std::fputs(usage, stdout); std::exit(0);
            case 'i': return base::fail(Errc::nosys, "its menu is not interactive: --list-entries shows it, --entry chooses");
            case 'q': out.quiet = true; break;
            case 'l': out.list = true; break;
            case 'n': out.only_say = true; break;
            case output: out.output = value; break;
            case folder: out.folder = value; break;
            case entry: out.entry = value; break;
            case kernel: out.kernel = value; break;
            case ramdisk: out.ramdisk = value; break;
            case args: out.args = value; break;
            case is_config: out.is_config = true; break;
            case format: {
                const auto named = output_format(value);
                if (!named) return base::fail(Errc::inval, "unknown output format '" + value + "': sxp, simple or simple0");
                out.format = *named;
                break;
            }
            default: return base::fail(Errc::inval, "--help shows its options");
        }
    }
    if (::optind + 1 != count) return base::fail(Errc::inval, "one disk is wanted: pygrub [OPTION]... DISK");
    out.disk = words[::optind];
    return out;
}

/// The configuration is a file of dom0; nothing stands beside it.
class NoDisk final : public Disk {
public:
    Outcome<std::vector<std::string>> partitions() override { return std::vector<std::string>{}; }
    Outcome<std::vector<std::string>> list(const std::string&, const std::string&) override { return nothing(); }
    Outcome<std::string> read(const std::string&, const std::string&) override { return nothing(); }
    Outcome<> extract(const std::string&, const std::string&, int, size_t) override { return nothing(); }

private:
    static base::Failure nothing() { return base::fail(Errc::noent, "there is no disk"); }
};

Outcome<> write_all(const std::string& path, const std::string& text) {
    if (path.empty())
        return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() ? Outcome<>(base::ok)
                                                                               : service::system_failure("stdout");
    const Fd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!file) return service::system_failure(path);
    for (std::string_view rest = text; !rest.empty();) {
        const ssize_t put = ::write(file.get(), rest.data(), rest.size());
        if (put < 0 && errno != EINTR) return service::system_failure(path);
        if (put > 0) rest.remove_prefix(static_cast<size_t>(put));
    }
    return base::ok;
}

/// A file of dom0 with the guest's files one behind the other, each at a multiple of 4 bytes as the kernel wants its archives.
/// It goes again unless it is kept.
class Copy {
public:
    Copy(const std::string& folder, const std::string& what)
        : path_(folder + "/" + what + ".XXXXXX"), file_(::mkostemp(path_.data(), O_CLOEXEC)) {}
    Copy(const Copy&) = delete;
    Copy& operator=(const Copy&) = delete;
    ~Copy() {
        if (file_ && !kept_) ::unlink(path_.c_str());
    }

    /// `room`: bytes that it may take, of which it takes off what it took.
    Outcome<> take(Disk& disk, const std::string& device, const std::vector<std::string>& files, size_t& room) {
        if (!file_) return service::system_failure(path_);
        for (const std::string& file : files) {
            OTRY(disk.extract(device, file, file_.get(), room)
                     .context("there is room for " + std::to_string(room >> 20U) + " MiB in dom0"));
            const off_t size = ::lseek(file_.get(), 0, SEEK_END);
            if (size == 0) return base::fail(Errc::inval, file + " is empty");
            if (::ftruncate(file_.get(), (size + 3) / 4 * 4) != 0 || ::lseek(file_.get(), 0, SEEK_END) < 0)
                return service::system_failure(path_);
        }
        room -= std::min(room, static_cast<size_t>(::lseek(file_.get(), 0, SEEK_END)));
        return base::ok;
    }
    const std::string& path() const { return path_; }
    void keep() { kept_ = true; }

private:
    std::string path_;
    Fd file_;
    bool kept_ = false;
};

/// The files to boot, by paths on the guest's disk.
struct Choice {
    std::string device;
    BootEntry entry;
};

Outcome<Choice> choose(Disk& disk, const Request& request) {
    Choice out;
    if (!request.kernel.empty()) {
        // The caller knows the files; a disk with no boot loader will do.
        for (const std::string& device : OTRY(disk.partitions())) {
            const std::string path = path_without_device(request.kernel);
            const auto names = disk.list(device, path.substr(0, path.find_last_of('/') + 1));
            if (!names || std::ranges::find(*names, path.substr(path.find_last_of('/') + 1)) == names->end()) continue;
            out = {device, {{}, {}, path, {}, request.args}};
            if (!request.ramdisk.empty()) out.entry.ramdisks = {path_without_device(request.ramdisk)};
            return out;
        }
        return base::fail(Errc::noent, "no file system on it has " + request.kernel);
    }
    const Found found = OTRY(find_menu(disk));
    const size_t which =
        request.entry.empty() ? found.menu.chosen : OTRY(find_entry(found.menu, request.entry).context(found.file));
    if (which >= found.menu.entries.size())
        return base::fail(Errc::noent, found.file + ": its default is none of its entries: --entry chooses");
    out = {found.device, found.menu.entries[which]};
    if (out.entry.kernel.empty())
        return base::fail(Errc::inval, found.file + ": '" + out.entry.title + "' boots no Linux kernel: --entry chooses");
    if (!request.ramdisk.empty()) out.entry.ramdisks = {path_without_device(request.ramdisk)};
    if (!request.args.empty()) out.entry.args += (out.entry.args.empty() ? "" : " ") + request.args;
    return out;
}

/// What a guest may take of the place for its files, which is dom0's memory nearly everywhere, and others' too.
Outcome<size_t> room_in(const std::string& folder) {
    constexpr size_t most = size_t{256} << 20U;
    struct statvfs s {};
    if (::statvfs(folder.c_str(), &s) != 0) return service::system_failure(folder);
    return std::min<size_t>(most, static_cast<size_t>(s.f_bavail) * s.f_frsize / 2);
}

Outcome<> take_out(Disk& disk, const Request& request, const Choice& choice) {
    if (::mkdir(request.folder.c_str(), 0700) != 0 && errno != EEXIST) return service::system_failure(request.folder);
    size_t room = OTRY(room_in(request.folder));
    Copy kernel(request.folder, "boot_kernel"), ramdisk(request.folder, "boot_ramdisk");
    OTRY(kernel.take(disk, choice.device, {choice.entry.kernel}, room));
    OTRY(ramdisk.take(disk, choice.device, choice.entry.ramdisks, room));
    const bool has_ramdisk = !choice.entry.ramdisks.empty();
    OTRY(write_all(request.output,
                   print_boot({kernel.path(), has_ramdisk ? ramdisk.path() : "", choice.entry.args}, request.format)));
    kernel.keep();
    if (has_ramdisk) ramdisk.keep();
    return base::ok;
}

std::string listing(const BootMenu& menu) {
    std::string out;
    for (size_t i = 0; i < menu.entries.size(); ++i) {
        const BootEntry& entry = menu.entries[i];
        out += "title: " + entry.title + "\n  root: \n  kernel: " + entry.kernel + "\n  args: " + entry.args + "\n  initrd: ";
        for (const std::string& file : entry.ramdisks) out += (&file == &entry.ramdisks[0] ? "" : " ") + file;
        out += i == menu.chosen ? "\n  default\n" : "\n";
    }
    return out;
}

Outcome<> run(const Request& request) {
    if (request.is_config) {
        NoDisk none;
        const std::string text = OTRY(config::read_file(request.disk, most_text).context(request.disk));
        const BootMenu menu = OTRY(parse_configuration(none, "", request.disk, text));
        return write_all(request.output, listing(menu));
    }
    Image disk = OTRY(Image::open(request.disk));
    if (request.list) {
        const Found found = OTRY(find_menu(disk));
        return write_all(request.output, listing(found.menu));
    }
    const Choice choice = OTRY(choose(disk, request));
    if (!request.only_say) return take_out(disk, request, choice);
    std::string ramdisks;
    for (const std::string& file : choice.entry.ramdisks) ramdisks += (ramdisks.empty() ? "" : " ") + file;
    return write_all(request.output, print_boot({choice.entry.kernel, ramdisks, choice.entry.args}, request.format));
}

/// What the guest wrote is parsed here: it shall not take dom0's memory, whatever bound was forgotten.
void limit_itself() {
    constexpr rlim_t memory = rlim_t{512} << 20U, seconds = 60;
    const rlimit space{memory, memory}, time{seconds, seconds};
    ::setrlimit(RLIMIT_AS, &space);
    ::setrlimit(RLIMIT_CPU, &time);
}

}  // namespace
}  // namespace pygrub

int main(int count, char** words) {
    pygrub::limit_itself();
    const auto request = pygrub::read_options(count, words);
    if (!request) {
        std::fprintf(stderr, "pygrub: %s\n", request.failure().text.c_str());
        return 1;
    }
    const auto done = [&]() -> base::Outcome<> {
        try {
            return pygrub::run(*request);
        } catch (const std::bad_alloc&) { return base::fail(base::Errc::nomem, "its menu takes more than 512 MiB of memory"); }
    }();
    if (done) return 0;
    const std::string& text = done.failure().text;
    const std::string disk = text.starts_with(request->disk) ? "" : request->disk + ": ";
    std::fprintf(stderr, "pygrub: %s%s\n", disk.c_str(), text.c_str());
    return 1;
}
