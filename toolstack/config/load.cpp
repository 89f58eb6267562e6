// SPDX-License-Identifier: Apache-2.0
#include "toolstack/config/load.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>

namespace config {

using base::Errc;
using base::Outcome;

Outcome<std::string> read_file(const std::string& path, size_t limit) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        const Errc code = errno == ENOENT ? Errc::noent : (errno == EACCES ? Errc::access : Errc::io);
        return base::fail(code, std::strerror(errno));
    }
    std::string out;
    std::array<char, 65536> buffer{};
    ssize_t got = 0;
    while (out.size() <= limit && (got = ::read(fd, buffer.data(), buffer.size())) > 0) {
        out.append(buffer.data(), static_cast<size_t>(got));
    }
    const int error = errno;
    ::close(fd);
    if (got < 0) return base::fail(error == EISDIR ? Errc::isdir : Errc::io, std::strerror(error));
    if (out.size() > limit) return base::fail(Errc::toobig, "File too large (more than " + std::to_string(limit) + " bytes)");
    return out;
}

Outcome<std::string> read_config(const std::string& file) {
    auto text = read_file(file, Limits{}.bytes);
    if (!text) return std::move(text).take_failure().with("Cannot open config file \"" + file + "\"");
    return text;
}

Outcome<Loaded> load_config(const std::string& file, std::span<const Setting> settings, const Runner& run) {
    return parse_config(OTRY(read_config(file)), file, settings, run);
}

Outcome<std::string> find_config(const std::string& name, std::string_view search_path) {
    const auto there = [](const std::string& path) {
        struct stat s {};
        return ::stat(path.c_str(), &s) == 0 && !S_ISDIR(s.st_mode);
    };
    if (there(name)) return name;
    while (!name.empty() && name[0] != '/' && !search_path.empty()) {
        const size_t colon = search_path.find(':');
        const std::string path = std::string(search_path.substr(0, colon)) + "/" + name;
        if (there(path)) return path;
        if (colon == std::string_view::npos) break;
        search_path.remove_prefix(colon + 1);
    }
    return base::fail(Errc::noent, "Cannot open config file \"" + name + "\": No such file or directory");
}

}  // namespace config
