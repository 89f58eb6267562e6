// SPDX-License-Identifier: Apache-2.0
#include "toolstack/config/program.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "toolstack/config/lexer.hpp"
#include "toolstack/config/program_helper.hpp"
#include "toolstack/service/fd.hpp"

namespace config {

using base::Errc;
using base::Outcome;
using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;
using service::Fd;
using service::Pipe;

namespace {

constexpr const char* interpreter = "/usr/bin/python3";
constexpr int no_interpreter = 127, no_sandbox = 126;

/// The child's end of it all. Descriptors: 0 the request, 2 as it is, 3 the answer.
[[noreturn]] void become_python(int request, int answer, const ProgramLimits& limits) {
    if (!service::take_descriptors({request, 2, 2, answer})) ::_exit(no_sandbox);
    if (service::enter_sandbox(limits.sandbox) != 0) ::_exit(no_sandbox);
    const std::array<const char*, 7> arguments = {interpreter, "-I", "-S", "-B", "-c", program_helper, nullptr};
    const std::array<const char*, 3> environment = {"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", nullptr};
    ::execve(interpreter, const_cast<char**>(arguments.data()), const_cast<char**>(environment.data()));
    ::_exit(no_interpreter);
}

int left(Clock::time_point end) {
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
    return ms > 0 ? static_cast<int>(ms) : 0;
}

base::Failure too_slow(const ProgramLimits& limits) {
    return base::fail(Errc::timedout, "it runs for more than " + std::to_string(limits.time.count() / 1000) + " s");
}

/// Writes the request and reads the answer, whichever moves. Errors: timedout, toobig.
Outcome<std::string> converse(Pipe& request, Pipe& answer, std::string_view question, Clock::time_point end,
                              const ProgramLimits& limits) {
    ::fcntl(request.write.get(), F_SETFL, O_NONBLOCK);
    std::string out;
    std::array<char, 65536> buffer{};
    for (;;) {
        std::array<pollfd, 2> ends = {
            {{answer.read.get(), POLLIN, 0}, {question.empty() ? -1 : request.write.get(), POLLOUT, 0}}};
        const int ready = ::poll(ends.data(), ends.size(), left(end));
        if (ready == 0) return too_slow(limits);
        if (ready < 0 && errno != EINTR) return base::fail(Errc::io, std::strerror(errno));
        if (ends[1].revents != 0) {
            const ssize_t put = ::write(request.write.get(), question.data(), question.size());
            if (put > 0) question.remove_prefix(static_cast<size_t>(put));
            if (put < 0 && errno != EAGAIN) question = {};  // it does not want to read: its answer says why
            if (question.empty()) request.write = Fd();
        }
        if (ends[0].revents == 0) continue;
        const ssize_t got = ::read(answer.read.get(), buffer.data(), buffer.size());
        if (got <= 0) return out;
        out.append(buffer.data(), static_cast<size_t>(got));
        if (out.size() > limits.answer) return base::fail(Errc::toobig, "its variables are too large");
    }
}

/// Why there was no answer.
std::string death(int status) {
    if (WIFEXITED(status) && WEXITSTATUS(status) == no_sandbox) return "its sandbox cannot be made (seccomp)";
    if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL)) return "it computes for too long";
    return "python3 ended without an answer";
}

Outcome<std::string> ask_python(const std::string& question, const ProgramLimits& limits) {
    Pipe request = OTRY(service::make_pipe());
    Pipe answer = OTRY(service::make_pipe());
    const pid_t child = ::fork();
    if (child < 0) return base::fail(Errc::nomem, std::string("fork: ") + std::strerror(errno));
    if (child == 0) become_python(request.read.get(), answer.write.get(), limits);
    request.read = Fd();
    answer.write = Fd();
    void (*const before)(int) = ::signal(SIGPIPE, SIG_IGN);
    const auto end = Clock::now() + limits.time;
    auto out = converse(request, answer, question, end, limits);
    ::signal(SIGPIPE, before);
    // One that has closed its answer may go on without it.
    if (out && out->empty() && !service::ends_by(child, end)) out = too_slow(limits);
    if (!out || !out->empty()) ::kill(child, SIGKILL);  // it has said what it had to say
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    if (!out || !out->empty()) return out;
    if (WIFEXITED(status) && WEXITSTATUS(status) == no_interpreter) {
        return base::fail(Errc::noent, std::string("it is a Python program, and there is no ") + interpreter + " to run it");
    }
    return base::fail(Errc::inval, death(status));
}

constexpr int most_depth = 64;  // the helper leaves out what is deeper; a program that answers itself may not

/// A value as the helper wrote it: tuples are {"t": […]}, dictionaries {"d": [[key, value], …]}.
Outcome<Value> value_of(const Json& json, Position where, int depth = 0) {
    if (depth > most_depth) return base::fail(Errc::inval, "it is nested too deeply");
    const auto list_of = [&](const Json& items) -> Outcome<Value::List> {
        Value::List out;
        for (const Json& item : items) out.push_back(OTRY(value_of(item, where, depth + 1)));
        return out;
    };
    if (json.is_null()) return Value{Value::None{}, where};
    if (json.is_boolean()) return Value{json.get<bool>(), where};
    if (json.is_number_float()) return Value{json.get<double>(), where};
    if (json.is_number_unsigned() && json.get<uint64_t>() > INT64_MAX) {
        return base::fail(Errc::inval, "the number " + json.dump() + " is too large");
    }
    if (json.is_number()) return Value{json.get<int64_t>(), where};
    if (json.is_string()) return Value{json.get<std::string>(), where};
    if (json.is_array()) return Value{OTRY(list_of(json)), where};
    if (json.contains("x")) return Value{Value::Opaque{json.at("x").get<std::string>().substr(0, 60)}, where};
    if (json.contains("t")) return Value{Value::Tuple{OTRY(list_of(json.at("t")))}, where};
    Value::Dict dict;
    for (const Json& pair : json.at("d")) {
        dict.keys.push_back(OTRY(value_of(pair.at(0), where, depth + 1)));
        dict.values.push_back(OTRY(value_of(pair.at(1), where, depth + 1)));
    }
    return Value{std::move(dict), where};
}

Position position(const Json& line, const Json& column) { return {line.get<uint32_t>(), column.get<uint32_t>()}; }

/// The helper's own process may be the program's by now: nothing of its answer is believed unseen.
Outcome<Variables> variables_of(const std::string& text, const std::string& file) {
    const Json answer = Json::parse(text, nullptr, false);
    Variables out;
    try {
        if (answer.contains("error")) {
            return fail_at(file, position(answer.at("line"), answer.at("column")), answer.at("error").get<std::string>());
        }
        for (const Json& variable : answer.at("variables")) {
            const Position where = position(variable.at(1), variable.at(2));
            auto value = value_of(variable.at(3), where);
            if (!value) return fail_at(file, where, value.failure().text);
            out.set(variable.at(0).get<std::string>(), std::move(*value));
        }
    } catch (const Json::exception&) { return base::fail(Errc::inval, file + ": its program did not give variables"); }
    return out;
}

}  // namespace

Outcome<Variables> run_program(std::string_view text, const std::string& file, const Variables& preset,
                               const ProgramLimits& limits) {
    if (text.size() > Limits{}.bytes)
        return base::fail(Errc::toobig, file + ": more than " + std::to_string(Limits{}.bytes) + " bytes");
    Json given = Json::object();
    for (const auto& [name, value] : preset.items()) {
        const auto* list = value.as<Value::List>();
        if (list == nullptr) given[name] = value.text();
        else
            for (const Value& item : *list) given[name].push_back(item.text());
    }
    const Json request = {{"file", file}, {"text", text}, {"preset", given}};
    const auto answer = ask_python(request.dump(-1, ' ', false, Json::error_handler_t::replace), limits);
    if (!answer) return base::fail(answer.failure().code, file + ": " + answer.failure().text);
    return variables_of(*answer, file);
}

}  // namespace config
