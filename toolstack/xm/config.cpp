// SPDX-License-Identifier: Apache-2.0
// xm config: reads configurations in every form there is, and writes them in another. xend is not asked.
#include "toolstack/config/convert.hpp"
#include "toolstack/config/program.hpp"
#include "toolstack/xm/app.hpp"

namespace xm {

using base::Errc;
using base::Outcome;
using config::FileForm;
using config::Loaded;

namespace {

Outcome<FileForm> form_named(const std::string& name) {
    if (const auto form = config::file_form(name)) return *form;
    return base::fail(Errc::inval, "'" + name + "' is no form of a configuration: file, sxp, json, libxl or libvirt");
}

Outcome<FileForm> form_of(const Call& call, std::string_view text) {
    if (call.line.has("from")) return form_named(call.line.value("from"));
    return config::guess_form(text);
}

Outcome<Loaded> read(Call& call, const std::string& file, std::span<const config::Setting> settings = {}) {
    const std::string text = OTRY(config::read_config(file));
    const FileForm form = OTRY(form_of(call, text));
    const auto run = [](std::string_view program, const std::string& name, const config::Variables& preset) {
        return config::run_program(program, name, preset);
    };
    Loaded loaded = OTRY(config::read_form(form, text, file, settings, run));
    for (const std::string& warning : loaded.warnings) call.world.err << "Warning: " << warning << "\n";
    return loaded;
}

Outcome<> check(Call& call) {
    const auto files = std::span(call.line.arguments).subspan(1);
    size_t wrong = 0;
    for (const std::string& file : files) {
        const auto loaded = read(call, file);
        if (loaded) {
            call.out << file << ": '" << loaded->config.name << "' is whole" << std::endl;
            continue;
        }
        if (files.size() == 1) return loaded.failure();
        call.world.err << "Error: " << loaded.failure().text << "\n";
        ++wrong;
    }
    if (wrong == 0) return base::ok;
    return base::fail(Errc::inval, std::to_string(wrong) + " of " + std::to_string(files.size()) + " configurations are wrong");
}

Outcome<> convert(Call& call) {
    if (!call.line.has("to")) return base::fail(Errc::inval, "xm config convert wants --to file, sxp, json, libxl or libvirt");
    const FileForm to = OTRY(form_named(call.line.value("to")));
    std::vector<config::Setting> settings;
    for (const std::string& word : std::span(call.line.arguments).subspan(2)) {
        const size_t equals = word.find('=');
        if (equals == std::string::npos || equals == 0) return base::fail(Errc::inval, "'" + word + "' is no name=value");
        settings.push_back({word.substr(0, equals), word.substr(equals + 1)});
    }
    const std::string& file = call.line.arguments[1];
    const Loaded loaded = OTRY(read(call, file, settings));
    const std::string text = OTRY(config::write_form(to, loaded.config).context(file));
    // Read again: what is missing there is said, and no list of what each form has no word for can be out of date.
    const Loaded back = OTRY(config::read_form(to, text, "what would be written", {}, {}));
    for (const std::string& difference : config::differences(loaded.config, back.config)) {
        call.world.err << "Warning: " << file << ": in the form '" << config::name_of(to) << "' " << difference << "\n";
    }
    call.out << text;
    return base::ok;
}

Outcome<> config_verb(Call& call) {
    const std::string& what = call.line.arguments[0];
    if (what == "check") return check(call);
    if (what == "convert") return convert(call);
    return base::fail(Errc::inval, "'" + what.substr(0, 40) + "' is neither check nor convert");
}

}  // namespace

std::vector<Verb> config_verbs() {
    return {{"config",
             "check <File>... | convert --to <Form> <File> [name=value]...",
             "Look through configurations, or write one in another form.",
             {{'h', "help", "", "Print this help."},
              {'f', "from", "FORM",
               "The form that it has: file (xm's and xl's), sxp, json, libxl, libvirt. By its beginning otherwise."},
              {'t', "to", "FORM", "The form that it is to have."}},
             2,
             1000,
             false,
             config_verb}};
}

}  // namespace xm
