// SPDX-License-Identifier: Apache-2.0
// link: migration
// The file of a saved domain on disk: whole or not there, holes for zeros, for root alone.
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "toolstack/migration/file.hpp"

namespace {

using migration::FileSource;
using migration::PartFile;
using service::Fd;
namespace fs = std::filesystem;

class SavedFile : public ::testing::Test {
protected:
    SavedFile() {
        char name[] = "/tmp/saved_file.XXXXXX";
        folder = ::mkdtemp(name);
        path = folder + "/a.save";
    }
    ~SavedFile() override { fs::remove_all(folder); }
    static std::vector<std::byte> bytes(size_t count) { return std::vector<std::byte>(count, std::byte{0x5a}); }
    size_t files() const { return static_cast<size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator())); }
    std::string folder, path;
};

TEST_F(SavedFile, WholeUnderItsNameOnly) {
    auto file = PartFile::create(path).take();
    ASSERT_TRUE(file->write(bytes(10'000)));
    EXPECT_FALSE(fs::exists(path));
    ASSERT_TRUE(file->keep());
    file.reset();
    EXPECT_EQ(fs::file_size(path), 10'000U);
    EXPECT_EQ(files(), 1U);
    struct stat s {};
    ASSERT_EQ(::stat(path.c_str(), &s), 0);
    EXPECT_EQ(s.st_mode & 0777U, 0600U);
}

TEST_F(SavedFile, WhatIsNotKeptGoesAndTheOldOneStays) {
    std::ofstream(path) << "old";
    {
        auto file = PartFile::create(path).take();
        ASSERT_TRUE(file->write(bytes(1'000'000)));
    }
    EXPECT_EQ(fs::file_size(path), 3U);
    EXPECT_EQ(files(), 1U);
}

TEST_F(SavedFile, ZerosAreHoles) {
    auto file = PartFile::create(path).take();
    ASSERT_TRUE(file->write(bytes(4096)));
    for (int i = 0; i < 1000; ++i) ASSERT_TRUE(file->zeros(4096));
    ASSERT_TRUE(file->write(bytes(7)));
    ASSERT_TRUE(file->zeros(3));
    ASSERT_TRUE(file->write(bytes(1)));
    ASSERT_TRUE(file->zeros(1 << 20));  // a hole at the end too
    ASSERT_TRUE(file->keep());
    file.reset();
    struct stat s {};
    ASSERT_EQ(::stat(path.c_str(), &s), 0);
    EXPECT_EQ(s.st_size, 1001 * 4096 + 11 + (1 << 20));
    EXPECT_LT(s.st_blocks * 512, 64 << 10);
    auto source = FileSource::open(path).take();
    std::vector<std::byte> back(static_cast<size_t>(s.st_size) + 10);
    EXPECT_EQ(source->read(back).take(), static_cast<size_t>(s.st_size));
    EXPECT_EQ(back[4095], std::byte{0x5a});
    EXPECT_EQ(back[4096], std::byte{0});
    EXPECT_EQ(back[1001 * 4096 + 6], std::byte{0x5a});
    EXPECT_EQ(back[1001 * 4096 + 7], std::byte{0});
    EXPECT_EQ(back[1001 * 4096 + 10], std::byte{0x5a});
    EXPECT_EQ(source->read(back).take(), 0U);
}

TEST_F(SavedFile, NoRoom) {
    auto file = PartFile::create(path).take();
    rlimit before{};
    ::getrlimit(RLIMIT_FSIZE, &before);
    const rlimit little{1 << 20, before.rlim_max};
    const auto old = std::signal(SIGXFSZ, SIG_IGN);
    ::setrlimit(RLIMIT_FSIZE, &little);
    base::Outcome<> done = base::ok;
    for (int i = 0; i < 100 && done; ++i) done = file->write(bytes(100'000));
    if (done) done = file->keep();
    ::setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, old);
    ASSERT_FALSE(done);
    EXPECT_NE(done.failure().text.find("Cannot write " + path), std::string::npos) << done.failure().text;
    file.reset();
    EXPECT_EQ(files(), 0U);
}

TEST_F(SavedFile, TwoWritersAndOddNames) {
    const auto first = PartFile::create(path).take();
    const auto second = PartFile::create(path);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.failure().code, base::Errc::busy);
    EXPECT_EQ(PartFile::create(folder).failure().code, base::Errc::isdir);
    EXPECT_EQ(PartFile::create(folder + "/none/x").failure().text,
              "Unable to create file " + folder + "/none/x: No such file or directory");
    EXPECT_EQ(PartFile::create("/dev/null").failure().code, base::Errc::inval);
    EXPECT_EQ(FileSource::open(folder + "/none").failure().text,
              "Unable to read file " + folder + "/none: No such file or directory");
    EXPECT_EQ(FileSource::open(folder).failure().code, base::Errc::isdir);
}

TEST_F(SavedFile, WhatAKilledWriterLeftIsOverwritten) {
    std::ofstream(path + ".part") << std::string(5000, 'x');
    auto file = PartFile::create(path).take();
    ASSERT_TRUE(file->write(bytes(10)));
    ASSERT_TRUE(file->keep());
    EXPECT_EQ(fs::file_size(path), 10U);
}

/// Domains are saved into folders where others may write too, /tmp say: what they put there in time must not get the memory.
TEST_F(SavedFile, WhatSomebodyElsePutThereIsNotWrittenTo) {
    const std::string part = path + ".part", other = folder + "/other";
    std::ofstream(other) << "precious";
    fs::create_hard_link(other, part);
    EXPECT_FALSE(PartFile::create(path)) << "a second name of another file";
    EXPECT_EQ(fs::file_size(other), 8U);
    fs::remove(part);
    ASSERT_EQ(::mkfifo(part.c_str(), 0666), 0);
    const Fd reader(::open(part.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    EXPECT_FALSE(PartFile::create(path)) << "a pipe that somebody reads";
    fs::remove(part);
    if (::geteuid() != 0) return;
    std::ofstream(part) << "mine";
    ASSERT_EQ(::chown(part.c_str(), 65534, 65534), 0);
    EXPECT_FALSE(PartFile::create(path)) << "a file of somebody who may have it open";
    EXPECT_EQ(fs::file_size(part), 4U);
}

TEST_F(SavedFile, APipeIsNoSavedDomain) {
    ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
    ::alarm(10);  // a xend that waits here waits for ever
    const auto source = FileSource::open(path);
    ::alarm(0);
    ASSERT_FALSE(source);
    EXPECT_EQ(source.failure().text, "Unable to read file " + path + ": it is no file");
}

}  // namespace
