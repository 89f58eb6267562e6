// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>

#include "toolstack/xend/core/ports.hpp"

namespace xend {

/// What a domain is built of.
struct BootFiles {
    std::string kernel, ramdisk, command_line;
};

/// A folder that goes with its owner.
class BootFolder {
public:
    explicit BootFolder(std::string path) : path_(std::move(path)) {}
    BootFolder(BootFolder&& o) noexcept : path_(std::exchange(o.path_, {})) {}
    BootFolder& operator=(BootFolder&&) = delete;
    ~BootFolder();

private:
    std::string path_;  // empty: none
};

/// What a domain is built of, and the folder with what a boot loader took from its disk.
struct Booted {
    BootFiles files;
    BootFolder folder;
};

/// Marks the boot loader of a domain among the processes.
std::string boot_tag(const config::Uuid& uuid);

/// What `config` says to build of; with a boot loader, what that finds on the first disk. It is called as xl calls one, may answer in
/// xl's simple formats or in s-expressions, and names files of its output folder alone.
/// Errors: noent: no such boot loader; timedout; inval: its answer; io: it failed, with its last line.
base::Outcome<Booted> find_boot_files(Ports& ports, const config::DomainConfig& config);

/// Takes away what a killed xend's boot loader left for the domain. Its processes are ended before.
void forget_boot_files(const Settings& settings, const config::Uuid& uuid);

/// An answer of a boot loader. Errors: inval.
base::Outcome<BootFiles> parse_boot_answer(const std::string& text);

}  // namespace xend
