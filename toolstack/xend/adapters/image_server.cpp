// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/adapters/image_server.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <map>
#include <thread>

#include "toolstack/service/log.hpp"
#include "toolstack/service/process.hpp"
#include "toolstack/xend/adapters/device_numbers.hpp"
#include "toolstack/xend/adapters/image_facts.hpp"
#include "toolstack/xend/adapters/tagged.hpp"

namespace xend {

using base::Errc;
using base::Outcome;
using service::Fd;
using service::log;
using service::LogLevel;
using service::system_failure;
using std::chrono::steady_clock;

namespace {

constexpr std::chrono::seconds tool_time{30};
constexpr unsigned most_bases = 64;
constexpr unsigned looks_after_news = 30;

/// As a device names whom it is for: other programs name themselves in other ways.
std::string owner_of(const std::string& tag) { return "xend " + tag; }

/// What the program said of why it failed, without its name.
std::string words_of(std::string text) {
    for (const std::string_view name : {"qemu-img: ", "qemu-nbd: "}) {
        if (const size_t at = text.rfind(name); at != std::string::npos) text.erase(0, at + name.size());
    }
    while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
    std::ranges::replace(text, '\n', ' ');
    return text.substr(0, 400);
}

Outcome<> check_vhd_file(const std::string& file) {
    std::ifstream in(file, std::ios::binary);
    std::array<char, vhd_footer> first{}, last{};
    if (!in.read(first.data(), first.size())) return base::ok;  // QEMU says why that is no VHD
    in.seekg(-static_cast<std::streamoff>(last.size()), std::ios::end);
    if (!in.read(last.data(), last.size())) return base::ok;
    return check_vhd(file, first, last);
}

Outcome<Fd> connect_to(const std::string& path) {
    Fd out(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    if (path.size() >= sizeof to.sun_path) return base::fail(Errc::inval, "the folder's path is too long: " + path);
    path.copy(to.sun_path, sizeof to.sun_path - 1);
    const timeval patience{tool_time.count(), 0};
    if (!out || ::setsockopt(out.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 ||
        ::connect(out.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
        return system_failure("Cannot reach the image's server");
    return out;
}

/// As the kernel says them.
Outcome<std::string> numbers_in_sys(const std::string& device) {
    const std::string file = "/sys/block/" + device + "/dev";
    std::string text;
    unsigned major = 0, minor = 0;
    if (!std::getline(std::ifstream(file), text) || std::sscanf(text.c_str(), "%u:%u", &major, &minor) != 2)
        return base::fail(Errc::io, "Cannot see the numbers of /dev/" + device);
    return device_numbers(major, minor);
}

/// One that is not connected any more is none of anybody's.
Outcome<> disconnect(NbdLink& link, uint32_t device) {
    auto done = link.disconnect(device);
    if (!done && (done.failure().code == Errc::noent || done.failure().code == Errc::inval)) return base::ok;
    return done;
}

}  // namespace

/// A tool of QEMU's, whose last words are the reason when it fails.
Outcome<> ImageServer::run(ScriptCall call, const std::string& what) {
    if (::access(call.path.c_str(), X_OK) != 0)
        return base::fail(Errc::noent, fmt::format("{} needs {}, which is not there (package qemu-utils)", what, call.path));
    std::string said;
    if (call.output == nullptr) call.output = &said;
    call.timeout = tool_time;
    auto ran = scripts_.run(call);
    if (ran) return base::ok;
    const std::string words = words_of(*call.output);
    return base::fail(ran.failure().code == Errc::timedout ? Errc::timedout : Errc::inval,
                      words.empty() ? ran.failure().text : words);
}

Outcome<> ImageServer::inspect(const ImageFile& image) {
    std::string file = image.path, format = qemu_format(image.format);
    for (unsigned i = 0; i < most_bases; ++i) {
        struct stat s {};
        if (::stat(file.c_str(), &s) != 0) {
            return base::fail(Errc::noent, i == 0
                                               ? file + " does not exist."
                                               : fmt::format("{} has a backing file that does not exist: {}", image.path, file));
        }
        if (format == "vpc") OTRY(check_vhd_file(file));
        if (format == "raw") return base::ok;
        std::string said;
        ScriptCall call;
        call.path = settings_.qemu_img;
        call.arguments = {"info", "--output=json", "--force-share", "--format=" + format, file};
        call.output = &said;
        OTRY(run(std::move(call), "A " + image.format + " image"));
        const ImageBase next = OTRY(read_image_facts(file, said));
        if (next.path.empty()) return base::ok;
        file = next.path;
        format = next.format;
    }
    return base::fail(Errc::inval, image.path + " has too many backing files, or is its own");
}

Outcome<Fd> ImageServer::start(const ImageFile& image, const std::string& tag, NbdExport& what) {
    const bool read_only = image.mode == config::DiskMode::read_only;
    OTRY(service::make_directories(settings_.folder, 0700));
    const std::string socket = settings_.folder + "/socket";
    const std::lock_guard guard(mutex_);
    ::unlink(socket.c_str());
    ScriptCall call;
    call.path = settings_.qemu_nbd;
    call.tag = tag;
    call.arguments = {"--fork",
                      "--socket=" + socket,
                      "--format=" + qemu_format(image.format),
                      "--cache=writeback",
                      "--aio=threads",
                      image.discard && !read_only ? "--discard=unmap" : "--discard=ignore"};
    if (read_only) call.arguments.emplace_back("--read-only");
    call.arguments.push_back(image.path);
    OTRY(run(std::move(call), "A " + image.format + " image"));
    Fd out = OTRY(connect_to(socket));
    ::unlink(socket.c_str());
    what = OTRY(negotiate_nbd(out.get(), ""));
    return out;
}

Outcome<NbdLink> ImageServer::driver() {
    auto link = NbdLink::open();
    if (link || link.failure().code != Errc::noent) return link;
    ScriptCall call;
    call.path = settings_.modprobe;
    // No partitions: what a guest writes is not for dom0 to read.
    call.arguments = {"nbd", "max_part=0"};
    call.timeout = tool_time;
    static_cast<void>(scripts_.run(call));
    link = NbdLink::open();
    if (link || link.failure().code != Errc::noent) return link;
    return base::fail(Errc::noent, "Linux has no network block devices here: its module nbd cannot be loaded");
}

Outcome<BlockDevice> ImageServer::serve(const ImageFile& image, const std::string& tag) {
    OTRY(inspect(image));
    NbdLink link = OTRY(driver());
    NbdExport what;
    const Fd socket = OTRY(start(image, tag, what));
    const timeval forever{};
    ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof forever);
    if (image.mode == config::DiskMode::read_only) what.flags |= NbdExport::read_only;
    if (!image.discard) what.flags &= static_cast<uint16_t>(~NbdExport::trim);
    const uint32_t number = OTRY(link.connect(socket.get(), what, owner_of(tag)));
    const std::string name = "nbd" + std::to_string(number);
    return BlockDevice{"/dev/" + name, OTRY(numbers_in_sys(name)), nullptr};
}

Outcome<> ImageServer::release(const std::string& tag) {
    for (const NbdDevice& device : nbd_devices()) {
        if (device.owner != owner_of(tag)) continue;
        NbdLink link = OTRY(driver());
        OTRY(disconnect(link, device.number));
    }
    const auto begun = steady_clock::now();
    std::map<pid_t, steady_clock::time_point> told;
    for (std::chrono::milliseconds pause{1};; pause = std::min(2 * pause, std::chrono::milliseconds{50})) {
        const auto left = OTRY(marked_groups({tag_mark(tag)}));
        if (left.empty()) return base::ok;
        const auto waited = steady_clock::now() - begun;
        if (waited > 2 * settings_.patience) return base::fail(Errc::io, "a server of an image does not end");
        // A polite word first: what it has not written yet it writes before it ends.
        const bool force = waited > settings_.patience;
        for (const pid_t group : left) {
            const auto [at, first] = told.try_emplace(force ? -group : group, steady_clock::now());
            // Again: one that is just starting forgets the first.
            if (!first && steady_clock::now() - at->second < settings_.pause) continue;
            at->second = steady_clock::now();
            if (force && first) log(LogLevel::warning, "a server of an image does not end: it is killed");
            ::kill(-group, force ? SIGKILL : SIGTERM);
        }
        std::this_thread::sleep_for(pause);
    }
}

Outcome<> ImageServer::end_those_without_server() {
    for (const NbdDevice& device : nbd_devices()) {
        const std::string mark = owner_of("");
        if (!device.owner.starts_with(mark)) continue;
        if (!OTRY(marked_groups({tag_mark(device.owner.substr(mark.size()))})).empty()) continue;
        log(LogLevel::error, fmt::format("the qemu-nbd of /dev/nbd{} has died: its disk has errors from here on", device.number));
        NbdLink link = OTRY(NbdLink::open());
        OTRY(disconnect(link, device.number));
    }
    return base::ok;
}

Outcome<> ImageServer::end_dead() {
    const std::lock_guard guard(deaths_mutex_);
    if (::access("/sys/module/nbd", F_OK) != 0) {
        deaths_.reset();  // and its group with the module
        return base::ok;
    }
    if (!deaths_) {
        NbdLink link = OTRY(NbdLink::open());
        OTRY(link.hear_deaths());
        deaths_ = std::move(link);
        looks_ = 1;  // whoever died before
    }
    // The connection dies first, and its process may take a while.
    if (deaths_->heard_deaths()) looks_ = looks_after_news;
    if (looks_ == 0) return base::ok;
    OTRY(end_those_without_server());
    --looks_;
    return base::ok;
}

}  // namespace xend
