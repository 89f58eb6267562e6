// SPDX-License-Identifier: Apache-2.0
// link: migration xmverbs
// What stands behind the stream of a saved domain: an index and hashes. No byte of a file can change unnoticed.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/host/saved_image.hpp"
#include "toolstack/migration/saved_file.hpp"
#include "toolstack/xm/app.hpp"

namespace {

using namespace proto::saved;
using namespace testing_tools;
using migration::SavedPages;
using migration::verify_saved;
namespace fs = std::filesystem;

uint64_t hash_of(std::string_view text, size_t part) {
    base::Hash64 hash;
    for (auto bytes = std::as_bytes(std::span(text)); !bytes.empty();) {
        const auto some = bytes.first(std::min(part, bytes.size()));
        hash.add(some);
        bytes = bytes.subspan(some.size());
    }
    return hash.value();
}

/// Published values.
TEST(Hash64, IsXxh64) {
    EXPECT_EQ(hash_of("", 1), 0xef46db3751d8e999U);
    EXPECT_EQ(hash_of("abc", 3), 0x44bc2cf5ad770999U);
    const std::string text = "Nobody inspects the spammish repetition";
    for (size_t part = 1; part <= text.size(); ++part) EXPECT_EQ(hash_of(text, part), 0xfbcea83c8a378bf1U) << part;
}

class NoXend final : public xend::Transport {
    base::Outcome<xend::Reply> call(const xend::Request&) override { return base::fail(base::Errc::connrefused, "asked xend"); }
};

class SavedTrailer : public ::testing::Test {
protected:
    SavedTrailer() {
        char name[] = "/tmp/saved_trailer.XXXXXX";
        folder = ::mkdtemp(name);
        path = folder + "/a.save";
        image = small_image(sink, Writer::Ending::trailer);
        write(path, image);
    }
    ~SavedTrailer() override { fs::remove_all(folder); }
    static void write(const std::string& file, std::span<const std::byte> bytes) {
        std::ofstream(file, std::ios::binary)
            .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    }
    static std::vector<std::byte> plain_image() {
        BytesSink other;
        return small_image(other);
    }
    int xm(const std::vector<std::string>& words) {
        NoXend xend;
        std::ostringstream out, err;
        xm::World world{xend, out, err, true, [](unsigned) {}, {}};
        const int status = xm::run(world, words);
        shown = out.str();
        error = err.str();
        return status;
    }
    /// One line, which begins with the file.
    bool is_clear(const base::Failure& failure) const {
        return failure.text.starts_with(path + ": ") && failure.text.find('\n') == std::string::npos;
    }
    BytesSink sink;
    std::vector<std::byte> image;
    std::string folder, path, shown, error;
};

TEST_F(SavedTrailer, TheStreamInFrontOfItIsTheSame) {
    const auto plain = plain_image();
    ASSERT_GT(image.size(), plain.size());
    EXPECT_TRUE(std::equal(plain.begin(), plain.end(), image.begin()));
    const auto back = read_back(image);
    ASSERT_TRUE(back) << "who knows no trailer does not read it";
    EXPECT_EQ(back->end, plain.size());
    const auto summary = verify_saved(path);
    ASSERT_TRUE(summary) << summary.failure().text;
    EXPECT_TRUE(summary->hashed);
    write(path, plain);
    const auto without = verify_saved(path);
    ASSERT_TRUE(without) << without.failure().text;
    EXPECT_FALSE(without->hashed);
    EXPECT_EQ(without->runs, summary->runs) << "the index says what a pass finds";
}

uint64_t xxh64(std::span<const std::byte> bytes) {
    base::Hash64 hash;
    hash.add(bytes);
    return hash.value();
}

/// Files outlive versions: whoever changes what is written has to read these still.
TEST_F(SavedTrailer, TheBytesAreThoseOfEveryVersion) {
    EXPECT_EQ(image.size(), 32859U);
    EXPECT_EQ(xxh64(image), 16049923792623993056U);
    const auto stream = plain_image();
    Trailer first{1, stream.size(), {}, {xxh64(stream)}};
    const auto read = [&](uint64_t offset, std::span<std::byte> out) -> base::Outcome<> {
        std::memcpy(out.data(), image.data() + offset, out.size());
        return base::ok;
    };
    first.runs = (*read_trailer(read, image.size()))->runs;
    auto old = stream;
    const auto trailer = encode(first);
    old.insert(old.end(), trailer.begin(), trailer.end());
    EXPECT_EQ(xxh64(old), 5666278762011240673U);
    write(path, old);
    const auto whole = verify_saved(path);
    ASSERT_TRUE(whole) << whole.failure().text;
    EXPECT_TRUE(whole->hashed);
    old[stream.size() / 2] ^= std::byte{1};
    write(path, old);
    EXPECT_FALSE(verify_saved(path));
}

TEST_F(SavedTrailer, EveryChangedByteIsFound) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    for (size_t at = 0; at < image.size(); ++at) {
        const char old = static_cast<char>(image[at]);
        file.seekp(static_cast<std::streamoff>(at)).put(static_cast<char>(old ^ (1 << (at % 8)))).flush();
        const auto summary = verify_saved(path);
        ASSERT_FALSE(summary) << "byte " << at;
        ASSERT_TRUE(is_clear(summary.failure())) << summary.failure().text;
        if (at % 97 == 0) {
            ASSERT_EQ(xm({"savefile", "info", path}), 1);
            ASSERT_EQ(shown, "");
            ASSERT_EQ(std::ranges::count(error, '\n'), 1) << error;
        }
        file.seekp(static_cast<std::streamoff>(at)).put(old).flush();
    }
    EXPECT_TRUE(verify_saved(path));
}

TEST_F(SavedTrailer, WithoutHashesItIsOneLineOrNothingToSee) {
    const auto plain = plain_image();
    write(path, plain);
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    size_t found = 0;
    for (size_t at = 0; at < plain.size(); ++at) {
        const char old = static_cast<char>(plain[at]);
        file.seekp(static_cast<std::streamoff>(at)).put(static_cast<char>(~old)).flush();
        const auto summary = verify_saved(path);
        ASSERT_TRUE(summary || is_clear(summary.failure())) << summary.failure().text;
        found += summary ? 0 : 1;
        file.seekp(static_cast<std::streamoff>(at)).put(old).flush();
    }
    EXPECT_GT(found, 300U);
}

TEST_F(SavedTrailer, EveryCutIsFound) {
    const size_t stream = plain_image().size();
    for (size_t length = image.size() - 1; length > 0; --length) {
        fs::resize_file(path, length);
        const auto summary = verify_saved(path);
        if (length == stream) {
            ASSERT_TRUE(summary) << "a file that never had a trailer looks like this";
            continue;
        }
        ASSERT_FALSE(summary) << "cut at " << length;
        ASSERT_TRUE(is_clear(summary.failure())) << summary.failure().text;
    }
}

/// What a restore reads: it does not come to its end with a damaged chunk.
TEST_F(SavedTrailer, WhoReadsInOrderIsToldToo) {
    const auto all = [&]() -> base::Outcome<> {
        const auto file = OTRY(migration::CheckedFile::open(path));
        std::vector<std::byte> buffer(1000);
        for (size_t n = 1; n != 0;) n = OTRY(file->read(buffer));
        return base::ok;
    };
    ASSERT_TRUE(all());
    auto damaged = image;
    damaged[20'000] ^= std::byte{1};
    write(path, damaged);
    const auto done = all();
    ASSERT_FALSE(done);
    EXPECT_TRUE(done.failure().text.starts_with("the file is damaged: a byte from 0 to ")) << done.failure().text;
}

constexpr uint64_t without_data = uint64_t{PageKind::allocate_only} << PageEntry::kind_shift;

/// A stream of `length` zeros that are a hole, with an index that says this of it.
void write_with_runs(const std::string& file, uint64_t length, const std::vector<PageRun>& runs) {
    Trailer trailer{trailer_version, length, runs, std::vector<uint64_t>((length + hashed_chunk - 1) / hashed_chunk)};
    const auto bytes = encode(trailer);
    std::ofstream out(file, std::ios::binary);
    out.seekp(static_cast<std::streamoff>(length))
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

/// Some hundred bytes must not be 2^32 pages for who looks into them.
TEST_F(SavedTrailer, AnIndexNamesNoMorePagesThanTheStreamHasRoomFor) {
    const struct {
        uint64_t length;
        std::vector<PageRun> runs;
        bool fits;
    } cases[] = {
        {16, {{without_data, 2, 0}}, true},
        {16, {{without_data, 3, 0}}, false},
        {16, {{without_data, 1, 0}, {without_data, 2, 0}}, false},
        {16, {{without_data + 7, 0, 0}}, false},
        {16, {{without_data + pfn_limit - 2, 2, 0}}, true},
        {16, {{without_data + pfn_limit - 1, 2, 0}}, false},
        {16, {{without_data + pfn_limit, 1, 0}}, false},
        {4104, {{0, 1, 8}}, true},
        {4103, {{0, 1, 0}}, false},
        {8207, {{0, 1, 8}, {1, 1, 8}}, false},
        {8208, {{0, 1, 8}, {1, 1, 8}}, true},
        {8208, {{0, 1, 8208}}, false},
    };
    for (const auto& [length, runs, fits] : cases) {
        write_with_runs(path, length, runs);
        const auto pages = SavedPages::open(path);
        EXPECT_EQ(bool(pages), fits) << length << " " << runs[0].count;
        if (pages) continue;
        EXPECT_EQ(pages.failure().text, path + ": the trailer is damaged: it names pages outside");
    }
}

/// Holes cost nothing, so neither may what they have room for.
TEST_F(SavedTrailer, ManyPagesTakeNoMemory) {
    const uint64_t many = uint64_t{1} << 29U;
    write_with_runs(path, many * 8, {{without_data, many, 0}});
    ASSERT_EQ(xm({"savefile", "ls", path}), 0) << error;
    EXPECT_EQ(shown, "       0 536870911            0 no data\n");
    EXPECT_EQ(xm({"savefile", "cat", path, "536870911"}), 1);
}

TEST_F(SavedTrailer, WhatComesAgainReplacesAPartOfARun) {
    const uint64_t page = base::page_size;
    write_with_runs(path, 40 * page, {{10, 10, 0}, {12, 2, 20 * page}, {8, 3, 22 * page}, {without_data + 18, 4, 0}});
    const auto pages = SavedPages::open(path).take();
    std::vector<std::pair<uint64_t, uint64_t>> found;
    for (SavedPages::Cursor cursor(pages); cursor; cursor.next()) {
        const auto one = *cursor;
        found.emplace_back(one.entry.pfn, one.entry.kind.has_data() ? one.offset / page : 99);
        EXPECT_EQ(bool(pages.read(one.entry.pfn)), one.entry.kind.has_data());
    }
    const std::vector<std::pair<uint64_t, uint64_t>> wanted = {{8, 22},  {9, 23},  {10, 24}, {11, 1}, {12, 20},
                                                               {13, 21}, {14, 4},  {15, 5},  {16, 6}, {17, 7},
                                                               {18, 99}, {19, 99}, {20, 99}, {21, 99}};
    EXPECT_EQ(found, wanted);
    EXPECT_FALSE(pages.read(7));
    EXPECT_FALSE(pages.read(22));
}

/// A file may be as long as it likes where it is a hole: what it says of itself takes no memory before it is known to be true.
TEST_F(SavedTrailer, ALongTrailerIsRefusedUnread) {
    TrailerFooter footer{};
    std::memcpy(&footer, image.data() + image.size() - sizeof footer, sizeof footer);
    size_t most = 0, all = 0;
    const auto refused = [&](uint64_t size) {
        most = all = 0;
        const auto read = [&](uint64_t offset, std::span<std::byte> out) -> base::Outcome<> {
            most = std::max(most, out.size());
            all += out.size();
            if (offset == size - sizeof footer) std::memcpy(out.data(), &footer, sizeof footer);
            return base::ok;
        };
        const auto found = read_trailer(read, size);
        EXPECT_FALSE(found);
        return found ? "" : found.failure().text;
    };
    footer.hashes = 1;
    const auto fill = [&](uint64_t size) {  // all but a little is runs
        footer.runs = (size - sizeof footer - 8 - 16) / sizeof(PageRun);
        footer.stream_length = size - footer.runs * sizeof(PageRun) - 8 - sizeof footer;
    };
    fill(uint64_t{8} << 30U);
    EXPECT_EQ(refused(uint64_t{8} << 30U), "the trailer is damaged: it is longer than any");
    EXPECT_EQ(all, sizeof footer);
    fill(1U << 27U);
    EXPECT_EQ(refused(1U << 27U), "the trailer is damaged: it names more pages than the stream has");
    EXPECT_EQ(all, sizeof footer);
    footer.runs = uint64_t{1} << 60U;  // their length wraps
    footer.stream_length = (uint64_t{1} << 63U) - 64;
    EXPECT_EQ(refused((uint64_t{1} << 63U) + (uint64_t{1} << 63U) - 64), "the trailer is damaged: it is longer than any");
    EXPECT_EQ(all, sizeof footer);
    footer.runs = 1U << 22U;
    footer.stream_length = 1U << 27U;
    footer.hashes = 128;
    EXPECT_EQ(refused(footer.stream_length + footer.runs * sizeof(PageRun) + 128 * 8 + sizeof footer),
              "the trailer is damaged: its own hash is another one");
    EXPECT_EQ(most, hashed_chunk);
}

TEST_F(SavedTrailer, LongFilesHaveAHashAMebibyte) {
    ChunkHashes parts, zeros;
    const std::vector<std::byte> bytes(3 * hashed_chunk + 5);
    for (size_t at = 0; at < bytes.size(); at += 7777)
        parts.add(std::span(bytes).subspan(at, std::min<size_t>(7777, bytes.size() - at)));
    zeros.add_zeros(bytes.size());
    EXPECT_EQ(parts.whole().size(), 3U);
    const auto hashes = parts.finish();
    EXPECT_EQ(hashes.size(), 4U);
    EXPECT_EQ(hashes, zeros.finish());
    EXPECT_NE(hashes[3], hashes[2]);
}

TEST_F(SavedTrailer, XmLooksIntoIt) {
    ASSERT_EQ(xm({"savefile", "verify", path}), 0) << error;
    EXPECT_EQ(shown, path + " is whole: every byte is what was written\n");
    ASSERT_EQ(xm({"savefile", "info", path}), 0) << error;
    EXPECT_TRUE(shown.starts_with("name        : a\n")) << shown;
    EXPECT_NE(shown.find("\nxen         : 4.17\nwritten by  : xm\n"), std::string::npos) << shown;
    ASSERT_EQ(xm({"savefile", "ls", path}), 0) << error;
    const auto pages = SavedPages::open(path).take();
    std::vector<uint64_t> numbers;
    for (SavedPages::Cursor cursor(pages); cursor; cursor.next()) numbers.push_back((*cursor).entry.pfn);
    EXPECT_EQ(numbers, (std::vector<uint64_t>{0, 3, 4, 5, 9})) << "that of page 0, which comes again, once";
    EXPECT_NE(shown.find(" L4 table, pinned\n"), std::string::npos) << shown;
    EXPECT_NE(shown.find("       5        5            0 no data\n"), std::string::npos) << shown;
    EXPECT_NE(shown.find("       9        9            0 absent\n"), std::string::npos) << shown;
    ASSERT_EQ(xm({"savefile", "cat", path, "0x0"}), 0) << error;
    EXPECT_EQ(shown, std::string(4096, 0x5a));
    EXPECT_EQ(xm({"savefile", "cat", path, "5"}), 1);
    EXPECT_EQ(error, "Error: " + path + ": it has no data of page 5\n");
    EXPECT_EQ(xm({"savefile", "cat", path, "x"}), 1);
    EXPECT_EQ(xm({"savefile", "paint", path}), 1);
    const std::string out = folder + "/memory";
    ASSERT_EQ(xm({"savefile", "extract", path, out}), 0) << error;
    EXPECT_EQ(fs::file_size(out), 5U * 4096);
    auto other = image;
    other[(*SavedPages::Cursor(pages)).offset] ^= std::byte{1};
    const std::string changed = folder + "/b.save";
    write(changed, other);
    ASSERT_EQ(xm({"savefile", "diff", path, path}), 0);
    EXPECT_EQ(shown, "");
    EXPECT_EQ(xm({"savefile", "diff", path, changed}), 1);
    EXPECT_EQ(shown, "       0 data | data\n");
    EXPECT_EQ(error, "Error: 1 pages differ\n");
}

}  // namespace
