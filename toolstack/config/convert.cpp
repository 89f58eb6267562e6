// SPDX-License-Identifier: Apache-2.0
#include "toolstack/config/convert.hpp"

#include <algorithm>
#include <array>

#include "toolstack/config/device_kinds.hpp"
#include "toolstack/config/domain_file.hpp"
#include "toolstack/config/domain_json.hpp"
#include "toolstack/config/domain_sxp.hpp"
#include "toolstack/config/fields.hpp"
#include "toolstack/config/libvirt_xml.hpp"
#include "toolstack/config/libxl_json.hpp"
#include "toolstack/config/split.hpp"

namespace config {

using base::Errc;
using base::Outcome;

namespace {

struct Named {
    std::string_view name;
    FileForm form;
};
constexpr std::array names = {
    Named{"file", FileForm::file},   Named{"sxp", FileForm::sxp},         Named{"json", FileForm::json},
    Named{"libxl", FileForm::libxl}, Named{"libvirt", FileForm::libvirt}, Named{"xm", FileForm::file},
    Named{"xl", FileForm::file},     Named{"python", FileForm::file},     Named{"xml", FileForm::libvirt}};

/// "0-3,^1" as "0,2,3".
std::string plain_cpus(std::string_view lists) {
    std::string out;
    for (const std::string_view list : split(lists, ';')) {
        if (list.data() != lists.data()) out += ';';
        if (const auto named = cpus_named(list)) {
            for (size_t i = 0; i < named->size(); ++i) out += (i == 0 ? "" : ",") + std::to_string((*named)[i]);
        } else if (trim(list) != "all") {
            out += trim(list);
        }
    }
    return out;
}

/// One way to say each thing that can be said in several.
DomainConfig plain(DomainConfig c) {
    const std::string cmdline = c.cmdline();
    c.ip = c.root = c.nfs_server = c.nfs_root = "";
    c.extra = cmdline;
    c.maxmem_mib = c.max_memory_mib();
    if (c.vcpus < 64 && c.vcpu_avail == (uint64_t{1} << c.vcpus) - 1) c.vcpu_avail = 0;
    c.cpus = plain_cpus(c.cpus);
    if (c.tsc_mode == 0U) c.tsc_mode.reset();
    if (auto* pv = std::get_if<PvGuest>(&c.guest)) pv->builder = "linux";
    std::string words;
    for (const std::string& word : c.bootarg_words()) words += (words.empty() ? "" : " ") + word;
    c.bootargs = words;
    for (size_t i = 0; i < c.vifs.size(); ++i) {
        if (const auto limit = rate_limit(c.vifs[i].rate); limit && !c.vifs[i].rate.empty() && limit->usec != 0) {
            c.vifs[i].rate = limit->text();
        }
        if (c.vifs[i].type == "netfront") c.vifs[i].type = "";
        if (c.vifs[i].devid == std::to_string(i)) c.vifs[i].devid = "";
    }
    return c;
}

void compare(const std::string& what, const std::string& had, const std::string& got, std::vector<std::string>& out) {
    if (had == got) return;
    const std::string line = what + ": '" + had + "' ";
    out.push_back(got.empty() ? line + "is lost" : line + "becomes '" + got + "'");
}

std::string value_of(const Pairs& pairs, const std::string& key) {
    const auto at = std::ranges::find(pairs, key, &Pairs::value_type::first);
    return at == pairs.end() ? "" : at->second;
}

void compare_devices(const DeviceKind& kind, const DomainConfig& had, const DomainConfig& got, std::vector<std::string>& out) {
    const size_t count = kind.count(had), there = kind.count(got);
    if (count != there) compare(std::string(kind.json), std::to_string(count), std::to_string(there), out);
    for (size_t i = 0; i < std::min(count, there); ++i) {
        const Pairs a = kind.show(had, i), b = kind.show(got, i);
        const std::string where = std::string(kind.variable) + " " + std::to_string(i + 1) + ", ";
        for (const auto& [key, value] : a) compare(where + key, value, value_of(b, key), out);
        for (const auto& [key, value] : b) {
            if (value_of(a, key).empty()) compare(where + key, "", value, out);
        }
    }
}

}  // namespace

std::optional<FileForm> file_form(std::string_view name) {
    const auto at = std::ranges::find(names, name, &Named::name);
    return at == names.end() ? std::nullopt : std::optional(at->form);
}

std::string_view name_of(FileForm form) { return std::ranges::find(names, form, &Named::form)->name; }

FileForm guess_form(std::string_view text) {
    const std::string_view begin = trim(text.substr(0, 4096));
    if (begin.starts_with('(')) return FileForm::sxp;
    if (begin.starts_with('<')) return FileForm::libvirt;
    if (!begin.starts_with('{')) return FileForm::file;
    return text.find("\"c_info\"") == std::string_view::npos ? FileForm::json : FileForm::libxl;
}

Outcome<Loaded> read_form(FileForm form, std::string_view text, const std::string& where, std::span<const Setting> settings,
                          const Runner& run) {
    if (form != FileForm::file && !settings.empty()) {
        return base::fail(Errc::inval, where + ": name=value is for files of xm and xl alone");
    }
    Loaded out;
    switch (form) {
        case FileForm::file: out = OTRY(parse_config(text, where, settings, run)); break;
        case FileForm::sxp: {
            const proto::Sxp sxp = OTRY(proto::parse_sxp(text).context(where));
            out.config = OTRY(from_sxp(sxp).context(where));
            break;
        }
        case FileForm::json: out.config = OTRY(from_json(text).context(where)); break;
        case FileForm::libxl: out = OTRY(from_libxl_json(text, where)); break;
        case FileForm::libvirt: out = OTRY(from_libvirt_xml(text, where)); break;
    }
    OTRY(validate(out.config).context(where));
    return out;
}

Outcome<std::string> write_form(FileForm form, const DomainConfig& config) {
    switch (form) {
        case FileForm::file: return to_file(config);
        case FileForm::sxp: return proto::to_pretty_string(to_sxp(config)) + "\n";
        case FileForm::json: return to_json(config) + "\n";
        case FileForm::libxl: return to_libxl_json(config) + "\n";
        case FileForm::libvirt: break;
    }
    return to_libvirt_xml(config);
}

std::vector<std::string> differences(const DomainConfig& had, const DomainConfig& got) {
    const DomainConfig a = plain(had), b = plain(got);
    std::vector<std::string> out;
    for (const Field& field : fields()) {
        if (field.has(a.guest))
            compare(std::string(field.file.empty() ? field.json : field.file), field.print(a), field.print(b), out);
    }
    for (const DeviceKind& kind : device_kinds()) compare_devices(kind, a, b, out);
    return out;
}

}  // namespace config
