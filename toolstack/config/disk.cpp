// SPDX-License-Identifier: Apache-2.0
// The numbers of block devices.
#include <array>

#include "lib/base/number.hpp"
#include "toolstack/config/domain_config.hpp"

namespace config {

namespace {

/// Linux' first IDE and SCSI majors; the guest takes the same numbers.
constexpr std::array<uint32_t, 10> ide_majors = {3, 22, 33, 34, 56, 57, 88, 89, 90, 91};
constexpr std::array<uint32_t, 16> scsi_majors = {8, 65, 66, 67, 68, 69, 70, 71, 128, 129, 130, 131, 132, 133, 134, 135};
constexpr uint32_t xvd_major = 202;
constexpr uint32_t extended = 1U << 28U;  // xvd disks beyond the 16th or partitions beyond the 15th: bit 28, 256 minors each

struct LetterName {
    uint32_t disk = 0;
    uint32_t partition = 0;
};

/// "a" -> 0, "z" -> 25, "aa" -> 26, followed by an optional partition number without a leading zero.
std::optional<LetterName> letters(std::string_view rest) {
    LetterName out;
    size_t i = 0;
    for (; i < rest.size() && rest[i] >= 'a' && rest[i] <= 'z' && i < 3; ++i) {
        out.disk = (i == 0 ? 0 : (out.disk + 1) * 26) + static_cast<uint32_t>(rest[i] - 'a');
    }
    if (i == 0) return std::nullopt;
    const std::string_view digits = rest.substr(i);
    if (digits.empty()) return out;
    const auto partition = digits[0] == '0' ? std::nullopt : base::parse_number_or_hex<uint32_t>(digits);
    if (!partition || *partition > 255) return std::nullopt;
    out.partition = *partition;
    return out;
}

}  // namespace

std::optional<uint32_t> device_number(std::string_view vdev) {
    if (vdev.starts_with("/dev/")) vdev.remove_prefix(5);
    if (vdev.starts_with("ioemu:")) vdev.remove_prefix(6);
    if (const auto plain = base::parse_number_or_hex<uint32_t>(vdev)) return plain;
    const bool xvd = vdev.starts_with("xvd");
    if (xvd || vdev.starts_with("sd") || vdev.starts_with("hd")) {
        const auto name = letters(vdev.substr(xvd ? 3 : 2));
        if (!name) return std::nullopt;
        const auto [disk, part] = *name;
        if (xvd && disk < 16 && part < 16) return (xvd_major << 8U) | (disk << 4U) | part;
        if (xvd) return disk < (1U << 20U) ? std::optional(extended | (disk << 8U) | part) : std::nullopt;
        if (vdev[0] == 's' && disk < 16 * scsi_majors.size() && part < 16) {
            return (scsi_majors[disk / 16] << 8U) | ((disk % 16) << 4U) | part;
        }
        if (vdev[0] == 'h' && disk < 2 * ide_majors.size() && part < 64) {
            return (ide_majors[disk / 2] << 8U) | ((disk % 2) << 6U) | part;
        }
    }
    return std::nullopt;
}

std::string Disk::uname() const { return type.empty() && target.empty() ? std::string() : type + ":" + target; }

}  // namespace config
