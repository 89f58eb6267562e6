// SPDX-License-Identifier: Apache-2.0
/// The file: runs of records, each behind a record that says whose they are.
#pragma once

#include <cstdint>
#include <string>

#include "toolstack/service/fd.hpp"
#include "toolstack/xentrace/rings.hpp"

namespace xentrace {

class Output {
    service::Fd file_;
    int fd_;
    uint64_t reserve_;

    Output(service::Fd file, int fd, uint64_t reserve) : file_(std::move(file)), fd_(fd), reserve_(reserve) {}
    base::Outcome<> write_all(std::span<const std::byte> bytes) const;

public:
    /// Makes the file anew; empty: standard output, which is no terminal. `reserve`: bytes that stay free where it is. Errors: the system's; inval.
    static base::Outcome<Output> open(const std::string& file, uint64_t reserve);
    /// Adds a CPU's records. Errors: the system's; nospc, before anything is written.
    base::Outcome<> add(uint32_t cpu, const Window& records) const;
};

}  // namespace xentrace
