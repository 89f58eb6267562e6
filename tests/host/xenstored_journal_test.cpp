// SPDX-License-Identifier: Apache-2.0
// link: xenstored_daemon
/// The journal's file on a disk that fills up: what it says is the last state, or it says nothing. The disk's end is the process's limit of
/// the size of files.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "toolstack/xenstored/journal.hpp"
#include "toolstack/xenstored/journal_file.hpp"

namespace xenstored {
namespace {

struct JournalFileTest : testing::Test {
    std::string folder = testing::TempDir() + "journal-" + std::to_string(::getpid());
    std::string path = folder + "/journal";
    JournalFile file{path, "boot"};

    JournalFileTest() {
        std::signal(SIGXFSZ, SIG_IGN);
        std::filesystem::create_directory(folder);
    }
    ~JournalFileTest() override {
        largest_file(RLIM_INFINITY);
        std::filesystem::remove_all(folder);
    }
    static void largest_file(rlim_t bytes) {
        rlimit limit{};
        ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &limit), 0);
        limit.rlim_cur = bytes;
        ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
    }
    bool only_the_journal() const {
        for (const auto& entry : std::filesystem::directory_iterator(folder))
            if (entry.path() != path) return false;
        return true;
    }
    static std::string group(char c, size_t n) { return std::string(n, c); }
};

TEST_F(JournalFileTest, AppendsBehindTheSnapshot) {
    ASSERT_TRUE(file.rewrite({group('a', 100), group('b', 100)}));
    ASSERT_TRUE(file.append(group('c', 300000)));
    EXPECT_EQ(file.load(), journal_header("boot") + group('a', 100) + group('b', 100) + group('c', 300000));
    EXPECT_TRUE(only_the_journal());
}

TEST_F(JournalFileTest, AnAppendThatFailsLeavesNothingBehind) {
    ASSERT_TRUE(file.rewrite({group('a', 100)}));
    largest_file(1000);
    EXPECT_FALSE(file.append(group('b', 5000)));
    EXPECT_EQ(file.load(), journal_header("boot") + group('a', 100));
    ASSERT_TRUE(file.append(group('c', 200)));
    EXPECT_EQ(file.load(), journal_header("boot") + group('a', 100) + group('c', 200));
}

TEST_F(JournalFileTest, ASnapshotThatDoesNotFitLeavesNoOldState) {
    ASSERT_TRUE(file.rewrite({group('a', 100)}));
    largest_file(1000);
    EXPECT_FALSE(file.rewrite({group('b', 500), group('c', 5000)}));
    EXPECT_EQ(file.load(), "");
    EXPECT_FALSE(file.append(group('d', 1))) << "not behind nothing";
    EXPECT_TRUE(only_the_journal()) << "the attempt takes no room";
    largest_file(RLIM_INFINITY);
    ASSERT_TRUE(file.rewrite({group('b', 500), group('c', 5000)}));
    EXPECT_EQ(file.load(), journal_header("boot") + group('b', 500) + group('c', 5000));
}

}  // namespace
}  // namespace xenstored
