// SPDX-License-Identifier: Apache-2.0
#include "toolstack/xend/adapters/image_facts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

namespace xend {

using base::Errc;
using base::Failure;
using base::Outcome;
using Json = nlohmann::json;

namespace {

std::string text_of(const Json& object, const char* key) {
    if (!object.is_object()) return {};
    const auto at = object.find(key);
    return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

const Json& part_of(const Json& object, const char* key) {
    static const Json none;
    if (!object.is_object()) return none;
    const auto at = object.find(key);
    return at != object.end() ? *at : none;
}

Failure wrong(const std::string& file, const std::string& what) { return base::fail(Errc::inval, file + ": " + what); }

constexpr std::array<std::string_view, 8> base_formats = {"raw", "qcow2", "qcow", "vpc", "vhdx", "vmdk", "vdi", "qed"};

constexpr size_t vhd_type_at = 60;
constexpr char vhd_differencing = 4;

}  // namespace

std::string qemu_format(const std::string& type) { return type == "vhd" ? "vpc" : type; }

Outcome<ImageBase> read_image_facts(const std::string& file, const std::string& json) {
    // Warnings may stand before it.
    const size_t begin = json.find("\n{") == std::string::npos ? json.find('{') : json.find("\n{");
    const Json all = Json::parse(begin == std::string::npos ? "" : std::string_view(json).substr(begin), nullptr, false);
    if (!all.is_object()) return wrong(file, "qemu-img does not say what it is");
    const Json& data = part_of(part_of(all, "format-specific"), "data");
    if (!text_of(data, "data-file").empty()) return wrong(file, "its data is in another file, which is not supported");
    const std::string kind = text_of(data, "create-type");
    if (!kind.empty() && kind != "monolithicSparse" && kind != "streamOptimized")
        return wrong(file, "a vmdk of type " + kind.substr(0, 40) + " has its data in other files, which is not supported");
    if (text_of(all, "backing-filename").empty()) return ImageBase{};
    const std::string named = text_of(all, "backing-filename");
    const std::string full = text_of(all, "full-backing-filename");
    ImageBase out{full.empty() ? named : full, text_of(all, "backing-filename-format")};
    if (!out.path.starts_with('/')) return wrong(file, "its backing file is no file of this machine: " + out.path.substr(0, 200));
    if (std::ranges::find(base_formats, out.format) == base_formats.end()) {
        return wrong(
            file, fmt::format(
                      "the format of its backing file {} is not written in it (qemu-img rebase -u -b {} -F FORMAT {} writes it)",
                      out.path, named, file));
    }
    return out;
}

Outcome<> check_vhd(const std::string& file, std::span<const char> first, std::span<const char> last) {
    for (const auto& block : {first, last}) {
        const bool footer = block.size() == vhd_footer && std::string_view(block.data(), 8) == "conectix";
        if (footer && block[vhd_type_at + 3] == vhd_differencing)
            return wrong(file, "a VHD that holds the differences to another one, which is not supported");
    }
    return base::ok;
}

}  // namespace xend
