// SPDX-License-Identifier: Apache-2.0
// link: parse format
#include "lib/dev/uart.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace {

using namespace dev;

/// A serial port: what was sent appears when the line has had time for it.
struct FakePort {
    bool absent = false, broken = false;
    unsigned depth = 16;
    unsigned reads_a_byte = 0;  ///< 0: only drain() sends
    uint8_t enabled = 0;
    std::string fifo, sent, typed;
    bool became_empty = false;  ///< the reason that reading the cause clears
    uint64_t reads = 0;
    unsigned overruns = 0;
    unsigned status_reads = 0;

    uint8_t read(uint16_t reg) {
        ++reads;
        if (absent) return 0xff;
        switch (reg) {
            case uart::data: {
                const char c = typed.empty() ? 0 : typed[0];
                if (!typed.empty()) typed.erase(0, 1);
                return static_cast<uint8_t>(c);
            }
            case uart::interrupt_enable: return enabled;
            case uart::interrupt_cause: {
                const uint8_t fifo_bits = depth == 16 ? uart::cause_fifo : uint8_t{0};
                if (!typed.empty() && (enabled & uart::on_receive)) return static_cast<uint8_t>(fifo_bits | 4);
                if (!became_empty || !(enabled & uart::on_empty)) return static_cast<uint8_t>(fifo_bits | 1);
                became_empty = false;
                return static_cast<uint8_t>(fifo_bits | 2);
            }
            case uart::line_status:
                if (reads_a_byte && !fifo.empty() && ++status_reads % reads_a_byte == 0) drain(1);
                return static_cast<uint8_t>((typed.empty() ? 0 : uart::status_data) |
                                            (fifo.empty() && !broken ? uart::status_empty : 0));
            default: return 0;
        }
    }
    void write(uint16_t reg, uint8_t value) {
        if (absent) return;
        if (reg == uart::interrupt_enable && !divisor) {
            enabled = value;
            if ((value & uart::on_empty) && fifo.empty()) became_empty = true;
        }
        if (reg == uart::line_control) divisor = value & uart::divisor_access;
        if (reg != uart::data || divisor) return;
        if (fifo.size() == depth) ++overruns;
        else fifo += static_cast<char>(value);
    }
    /// The line sends n bytes.
    void drain(size_t n) {
        if (broken || fifo.empty()) return;
        sent += fifo.substr(0, n);
        fifo.erase(0, n);
        if (fifo.empty()) became_empty = true;
    }
    bool divisor = false;
};

using Line = Uart<FakePort>;

std::unique_ptr<Line> started(FakePort port = {}) {
    auto line = std::make_unique<Line>(port);
    EXPECT_TRUE(line->start({}));
    return line;
}
void write(Line& line, TextFrom from, const std::string& text) { line.write(from, text.data(), text.size()); }
/// The line sends everything, by interrupts alone.
void run_interrupts(Line& line) {
    for (unsigned quiet = 0; quiet < 2;) {
        line.registers().drain(16);
        bool any = false;
        while (line.wants_service()) {
            any = true;
            line.pump();
        }
        quiet = any || !line.registers().fifo.empty() ? 0 : quiet + 1;
    }
}
std::string with_returns(const std::string& text) {
    std::string out;
    for (char c : text) out += c == '\n' ? std::string("\r\n") : std::string(1, c);
    return out;
}

TEST(Serial, AtOnceUntilTheRingIsUsed) {
    for (unsigned depth : {16u, 1u}) {
        FakePort port;
        port.depth = depth;
        port.reads_a_byte = 3;
        auto line = started(port);
        const std::string text = "one\ntwo, longer than the queue of the port is\nthree\n";
        write(*line, TextFrom::hypervisor, text);
        line->registers().drain(16);
        EXPECT_EQ(line->registers().sent, with_returns(text));
        EXPECT_EQ(line->registers().overruns, 0u);
        EXPECT_EQ(line->registers().enabled, 0);
    }
}

TEST(Serial, FromTheRingByInterrupt) {
    for (unsigned depth : {16u, 1u}) {
        FakePort port;
        port.depth = depth;
        auto line = started(port);
        line->start_ring(false);
        std::string all;
        for (unsigned i = 0; i < 300; ++i) {
            const std::string text = "line " + std::to_string(i) + (i % 3 ? "\n" : ", and on\n");
            const uint64_t reads = line->registers().reads;
            write(*line, TextFrom::hypervisor, text);
            EXPECT_LE(line->registers().reads - reads, 4u) << "a writer does not wait for the line";
            all += text;
            if (i % 7 == 0) run_interrupts(*line);
        }
        EXPECT_TRUE(line->waiting());
        run_interrupts(*line);
        EXPECT_FALSE(line->waiting());
        EXPECT_EQ(line->registers().sent, with_returns(all));
        EXPECT_EQ(line->registers().overruns, 0u);
    }
}

TEST(Serial, ShortTextForAnIdleLineAsksForNoInterrupt) {
    for (unsigned depth : {16u, 1u}) {
        FakePort port;
        port.depth = depth;
        auto line = started(port);
        line->start_ring(false);
        write(*line, TextFrom::dom0_console, "x");
        EXPECT_EQ(line->registers().fifo, "x");
        EXPECT_FALSE(line->waiting());
        EXPECT_FALSE(line->registers().enabled & uart::on_empty);
        // Behind text that the port still has it keeps its place.
        write(*line, TextFrom::dom0_console, "y");
        EXPECT_TRUE(line->waiting());
        EXPECT_TRUE(line->registers().enabled & uart::on_empty);
        line->registers().drain(16);
        write(*line, TextFrom::dom0_console, "z\n");
        run_interrupts(*line);
        EXPECT_FALSE(line->waiting());
        EXPECT_FALSE(line->registers().enabled & uart::on_empty);
        EXPECT_EQ(line->registers().sent, "xyz\r\n");
        EXPECT_EQ(line->sent(), 5u);
        EXPECT_EQ(line->registers().overruns, 0u);
    }
}

// A port that never interrupts: the timer pumps.
TEST(Serial, WithoutInterrupts) {
    auto line = started();
    line->start_ring(false);
    const std::string text(1000, 'x');
    write(*line, TextFrom::guest, text);
    unsigned looks = 0;
    for (; line->waiting() && looks < 1000; ++looks) {
        line->registers().drain(16);
        line->pump();
    }
    line->registers().drain(16);
    EXPECT_EQ(line->registers().sent, text);
    EXPECT_EQ(line->sent(), text.size());
    EXPECT_LE(looks, 63u);
}

TEST(Serial, WhatHasNoRoomIsCounted) {
    auto line = started();
    line->start_ring(false);
    const std::string text = std::string(98, 'g') + "\n";
    const unsigned lines = 2 * TransmitRing::capacity / 100;
    for (unsigned i = 0; i < lines; ++i) write(*line, TextFrom::guest, text);
    write(*line, TextFrom::hypervisor, "(XEN) still heard\n");  // a guest cannot take the room of the hypervisor's own lines
    for (unsigned i = 0; i < 5; ++i) write(*line, TextFrom::guest, text);
    run_interrupts(*line);
    const std::string& sent = line->registers().sent;
    const std::string whole = with_returns(text);
    unsigned kept = 0, lost = 0;
    size_t at = 0;
    std::string last;
    while (at < sent.size()) {
        const size_t end = sent.find('\n', at) + 1;
        ASSERT_NE(end, 0u);
        last = sent.substr(at, end - at);
        at = end;
        unsigned n = 0;
        if (last == whole) ++kept;
        else if (std::sscanf(last.c_str(), "(XEN) %u lines lost", &n) == 1) lost += n;
        else EXPECT_EQ(last, "(XEN) still heard\r\n");
    }
    EXPECT_NE(sent.find("still heard"), std::string::npos);
    EXPECT_EQ(kept + lost, lines + 5);
    EXPECT_GE(kept, TransmitRing::capacity / 4 / 100 - 1);
    EXPECT_LE(kept, TransmitRing::capacity / 4 / 100 + 1);
    EXPECT_EQ(last, "(XEN) 5 lines lost: too many at once\r\n") << "said even when nothing else is written";
}

// dom0 asks before it writes: it waits, and none of its text is lost. Guests that write all the time do not hold it up.
TEST(Serial, Dom0LosesNothingAndIsServedFirst) {
    for (unsigned guest_lines : {0u, 50u}) {
        auto line = started();
        line->start_ring(false);
        std::string all;
        unsigned waits = 0;
        for (unsigned i = 0; i < 3000; ++i) {
            std::string text = "dom0 " + std::to_string(i) + std::string(i % 100, '.') + "\n";
            for (unsigned here = 0; !line->has_room(text.size()); ++here) {
                ASSERT_LT(here, 100u) << "the line sends, and there is no room";
                ++waits;
                line->registers().drain(16);
                line->pump();
                for (unsigned n = 0; n < guest_lines; ++n) write(*line, TextFrom::guest, "# a guest\n");
            }
            write(*line, TextFrom::dom0_console, text);
            all += with_returns(text);
        }
        run_interrupts(*line);
        EXPECT_GT(waits, 0u);
        std::string from_dom0;
        const std::string& sent = line->registers().sent;
        for (size_t at = 0, end; at < sent.size(); at = end) {
            end = sent.find('\n', at) + 1;
            if (sent[at] != '#' && sent[at] != '(') from_dom0 += sent.substr(at, end - at);
        }
        EXPECT_EQ(from_dom0, all);
    }
}

TEST(Serial, AfterAPanicEverythingAppears) {
    FakePort port;
    port.reads_a_byte = 2;
    auto line = started(port);
    line->start_ring(false);
    const std::string before(3000, 'b'), after(100, 'a');
    write(*line, TextFrom::hypervisor, before);
    EXPECT_TRUE(line->waiting());
    line->flush();
    write(*line, TextFrom::hypervisor, after);
    line->registers().drain(16);
    EXPECT_EQ(line->registers().sent, before + after);
    EXPECT_EQ(line->registers().overruns, 0u);
}

// What was sent at once while the machine started says nothing of the room there is now.
TEST(Serial, APanicDoesNotWriteIntoAFullPort) {
    for (const size_t last : {size_t{1}, size_t{16}}) {
        FakePort port;
        port.reads_a_byte = 2;
        auto line = started(port);
        write(*line, TextFrom::hypervisor, "boot\n");
        line->registers().drain(16);
        line->start_ring(false);
        const std::string before(last, 'b'), after(100, 'a');
        write(*line, TextFrom::hypervisor, before);
        line->flush();
        write(*line, TextFrom::hypervisor, after);
        line->registers().drain(16);
        EXPECT_EQ(line->registers().sent, "boot\r\n" + before + after);
        EXPECT_EQ(line->registers().overruns, 0u);
    }
}

TEST(Serial, APortThatHangsOrIsNotThere) {
    FakePort port;
    port.absent = true;
    Line none(port);
    EXPECT_FALSE(none.start({}));

    auto line = started();
    line->registers().broken = true;
    write(*line, TextFrom::hypervisor, std::string(2000, 'x'));
    EXPECT_LE(line->registers().reads, 1'100'000u) << "one wait, not one a byte";
    EXPECT_EQ(line->registers().fifo, "");
    line->registers().broken = false;
    write(*line, TextFrom::hypervisor, "back");
    EXPECT_EQ(line->registers().fifo, "back");

    line->registers().drain(16);
    line->start_ring(false);
    line->registers().broken = true;
    for (unsigned i = 0; i < 10; ++i) write(*line, TextFrom::hypervisor, "waits\n");
    EXPECT_EQ(line->sent(), 0u);
    line->discard();
    EXPECT_FALSE(line->waiting());
    line->registers().broken = false;
    write(*line, TextFrom::hypervisor, "again\n");
    run_interrupts(*line);
    EXPECT_EQ(line->registers().sent, "backagain\r\n");
}

TEST(Serial, Input) {
    auto line = started();
    line->start_ring(true);
    line->registers().typed = "typed text";
    EXPECT_TRUE(line->wants_service());
    char text[64];
    EXPECT_EQ(std::string(text, line->receive(text, 5)), "typed");
    EXPECT_TRUE(line->wants_service());
    EXPECT_EQ(std::string(text, line->receive(text, sizeof text)), " text");
    EXPECT_FALSE(line->wants_service());
    EXPECT_TRUE(line->has_room(1 << 20)) << "synchronous: always";
}

}  // namespace
