// SPDX-License-Identifier: Apache-2.0
// The file of a saved domain on disk.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lib/proto/saved/stream.hpp"
#include "toolstack/service/fd.hpp"

namespace migration {

/// Writes NAME.part; only keep() gives it its name, so that no file looks whole that is not. Runs of zeros become holes.
/// What is not kept is removed; what a process leaves that was killed is overwritten by the next one.
class PartFile final : public proto::saved::Sink {
public:
    /// Errors: of the system, busy when another process writes it, isdir; "Unable to create file NAME: why".
    static base::Outcome<std::unique_ptr<PartFile>> create(const std::string& path);
    ~PartFile() override;
    PartFile(const PartFile&) = delete;
    PartFile& operator=(const PartFile&) = delete;

    base::Outcome<> write(std::span<const std::byte> bytes) override;
    base::Outcome<> zeros(uint64_t count) override;
    /// What was written is on the disk, and nothing follows; its name is NAME.part still. Tells which file that is. Errors: nospc, io, …
    base::Outcome<std::string> seal();
    /// The same, under its name. Errors: nospc, io, …
    base::Outcome<> keep();

    /// Whether what a killed writer had sealed as `identity` stands under the name `path`, which it is given here where it was not
    /// yet. Errors: of the system.
    static base::Outcome<bool> keep_sealed(const std::string& path, const std::string& identity);
    /// Whether what was sealed as `identity` has its name.
    static bool is_kept(const std::string& path, const std::string& identity);
    /// Removes a file that was kept, if it is there; it does not come back after a power cut. Errors: of the system.
    static base::Outcome<> remove(const std::string& path);
    /// Removes what a killed writer left of `path`, which has no name yet.
    static void discard(const std::string& path) { auto left = create(path); }

private:
    PartFile(std::string path, service::Fd fd);
    base::Outcome<> flush();
    std::string part() const { return path_ + ".part"; }

    std::string path_;
    service::Fd fd_;
    std::vector<std::byte> buffer_;
    uint64_t end_ = 0;  // of the file, with what is in the buffer
    bool sealed_ = false;
    bool kept_ = false;
};

class FileSource final : public proto::saved::Source {
public:
    /// Errors: of the system; "Unable to read file NAME: why".
    static base::Outcome<std::unique_ptr<FileSource>> open(const std::string& path);

    base::Outcome<size_t> read(std::span<std::byte> out) override;
    base::Outcome<Some> read_some(std::span<std::byte> out) override;
    base::Outcome<uint64_t> size() const;
    /// All of `out`, from this place; where read() goes on stays. Errors: io: the file ends before that.
    base::Outcome<> read_at(uint64_t offset, std::span<std::byte> out) const;

private:
    FileSource(std::string path, service::Fd fd) : path_(std::move(path)), fd_(std::move(fd)) {}

    base::Outcome<> look_for_holes();

    std::string path_;
    service::Fd fd_;
    uint64_t at_ = 0;
    uint64_t known_to_ = 0;  // from at_ to here there is data, or a hole
    bool in_hole_ = false;
};

}  // namespace migration
