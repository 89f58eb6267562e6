// SPDX-License-Identifier: Apache-2.0
// Reads kernel and ramdisk; whatever is wrong with them is said here, in one line that names the file.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "lib/parse/bzimage.hpp"
#include "lib/parse/elf.hpp"
#include "toolstack/builder/image_cache.hpp"
#include "toolstack/builder/unpack.hpp"

namespace builder {
namespace {

using base::Errc;
using base::fail;
using base::Outcome;
using parse::Bytes;

struct Closer {
    int fd;
    ~Closer() { ::close(fd); }
};

base::Failure file_failure(const std::string& cannot) {
    const int e = errno;
    return fail(static_cast<Errc>(e), cannot + ": " + std::strerror(e));
}

Outcome<std::vector<std::byte>> read_file(const std::string& path, const char* role) {
    const std::string cannot = std::string("Cannot read ") + role + " " + path;
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a fifo must not hang the caller
    if (fd < 0) return file_failure(cannot);
    const Closer closer{fd};
    struct stat st {};
    if (::fstat(fd, &st) < 0) return file_failure(cannot);
    if (S_ISDIR(st.st_mode)) return fail(Errc::isdir, cannot + ": it is a directory");
    if (!S_ISREG(st.st_mode)) return fail(Errc::inval, cannot + ": it is not a regular file");
    const auto size = static_cast<size_t>(st.st_size);
    if (size > largest_image) return fail(Errc::toobig, cannot + ": larger than 1 GiB");
    if (size == 0) return fail(Errc::noexec, cannot + ": the file is empty");
    std::vector<std::byte> bytes(size);
    size_t done = 0;
    while (done < size) {
        const ssize_t n = ::read(fd, bytes.data() + done, size - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return file_failure(cannot);
        if (n == 0) break;
        done += static_cast<size_t>(n);
    }
    if (done < size) return fail(Errc::io, cannot + ": it became shorter while being read");
    return bytes;
}

bool starts_with(Bytes bytes, std::string_view text) {
    return bytes.size() >= text.size() && std::memcmp(bytes.data(), text.data(), text.size()) == 0;
}

/// What a file that is no kernel seems to be, for the message.
std::string looks_like(Bytes bytes) {
    if (parse::is_elf(bytes)) {
        const auto machine = parse::load<uint16_t>(bytes, 18);
        if (machine && machine.value() == 3) return "an ELF file for 32-bit x86";
        if (machine && machine.value() != 62) return "an ELF file for another machine";
        return "an ELF file, damaged or not executable";
    }
    if (starts_with(bytes, "#!")) return "a script";
    if (starts_with(bytes, "070701") || starts_with(bytes, "070702")) return "a cpio archive (an initrd?)";
    if (starts_with(bytes, "MZ")) return "a DOS or EFI program";
    if (starts_with(bytes, "QFI\xfb")) return "a qcow2 disk image";
    const parse::Packing packing = parse::detect_packing(bytes);
    if (packing != parse::Packing::unknown)
        return std::string(parse::packing_name(packing)) + "-packed data that holds no kernel";
    const auto head = bytes.first(std::min<size_t>(bytes.size(), 512));
    const bool text = std::ranges::all_of(head, [](std::byte b) {
        const auto c = std::to_integer<unsigned>(b);
        return (c >= 32 && c < 127) || (c >= 9 && c <= 13);
    });
    return text ? "a text file" : "data of an unknown kind";
}

base::Failure not_a_kernel(const std::string& path, Bytes bytes) {
    return fail(Errc::noexec, path + " is not a kernel: it is " + looks_like(bytes));
}

/// The ELF inside a bzImage.
Outcome<std::vector<std::byte>> unpack_bzimage(const std::string& path, Bytes file, size_t limit) {
    const auto image = parse::open_bzimage(file);
    if (!image) {
        if (image.error() == Errc::range) return fail(Errc::badmsg, "Kernel " + path + " is truncated");
        return fail(Errc::noexec, "Kernel " + path + " is a Linux image too old to be taken apart (boot protocol before 2.08)");
    }
    const parse::BzImage& bz = image.value();
    if (bz.packing == parse::Packing::unknown)
        return fail(Errc::noexec, "Kernel " + path + " is packed in a way that is not known");
    return unpack(bz.payload, bz.packing, bz.unpacked_size, limit).context("Kernel " + path);
}

Outcome<std::vector<std::byte>> kernel_elf(const std::string& path, size_t limit = largest_image) {
    std::vector<std::byte> file = OTRY(read_file(path, "kernel"));
    if (parse::is_bzimage(file)) {
        std::vector<std::byte> elf = OTRY(unpack_bzimage(path, file, limit));
        if (!parse::is_elf(elf)) return not_a_kernel(path, elf);
        return elf;
    }
    if (!parse::is_elf(file)) {
        const parse::Packing packing = parse::detect_packing(file);
        if (packing == parse::Packing::unknown) return not_a_kernel(path, file);
        const Bytes whole(file);
        uint32_t hint = 0;  // gzip ends with the size it unpacks to
        if (file.size() >= 4) hint = parse::load_unchecked<uint32_t>(whole, file.size() - 4);
        std::vector<std::byte> plain =
            OTRY(unpack(whole, packing, packing == parse::Packing::gzip ? hint : 0, limit).context("Kernel " + path));
        if (!parse::is_elf(plain)) return not_a_kernel(path, file);
        return plain;
    }
    return file;
}

SharedBytes share(std::vector<std::byte> bytes) { return std::make_shared<const std::vector<std::byte>>(std::move(bytes)); }

Outcome<SharedBytes> load_ramdisk(const std::string& path) {
    if (path.empty()) return share({});
    return share(OTRY(read_file(path, "ramdisk")));
}

std::optional<FileIdentity> identify(const std::string& path) {
    struct stat st {};
    if (::stat(path.c_str(), &st) < 0) return std::nullopt;
    return FileIdentity{st.st_dev,          st.st_ino,         st.st_size,        st.st_mtim.tv_sec,
                        st.st_mtim.tv_nsec, st.st_ctim.tv_sec, st.st_ctim.tv_nsec};
}

/// What a guest may have unpacked of what it wrote itself: no more than it has memory, and than any kernel needs.
size_t limit_of(const BuildInput& input) {
    constexpr uint64_t most_of_a_guest = uint64_t{256} << 20U;
    return input.from_guest ? std::min<uint64_t>(input.memory_kib * 1024, most_of_a_guest) : largest_image;
}

}  // namespace

Outcome<Images> load(const BuildInput& input) {
    if (input.kernel.empty()) return fail(Errc::inval, "No kernel is configured");
    SharedBytes ramdisk = OTRY(load_ramdisk(input.ramdisk));
    SharedBytes kernel = share(OTRY(kernel_elf(input.kernel, limit_of(input))));
    return Images{input.kernel, std::move(kernel), input.ramdisk, std::move(ramdisk)};
}

Outcome<Images> ImageCache::load(const BuildInput& input) {
    if (input.from_guest) return builder::load(input);  // would only take the place of one that comes again
    if (input.kernel.empty()) return fail(Errc::inval, "No kernel is configured");
    SharedBytes ramdisk = OTRY(load_ramdisk(input.ramdisk));
    const std::optional<FileIdentity> identity = identify(input.kernel);
    {
        const std::lock_guard guard(lock_);
        if (identity && kernel_ && identity == identity_) return Images{input.kernel, kernel_, input.ramdisk, std::move(ramdisk)};
        kernel_.reset();  // before the next one is unpacked: two at once are a lot of memory
    }
    SharedBytes kernel = share(OTRY(kernel_elf(input.kernel)));
    // Only what certainly is the unpacking of the file as identified is kept.
    if (identity && identify(input.kernel) == identity) {
        const std::lock_guard guard(lock_);
        identity_ = identity;
        kernel_ = kernel;
    }
    return Images{input.kernel, std::move(kernel), input.ramdisk, std::move(ramdisk)};
}

void ImageCache::drop() {
    const std::lock_guard guard(lock_);
    kernel_.reset();
}

}  // namespace builder
