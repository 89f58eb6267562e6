#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the page tables show while a guest runs: the emulator is stopped again and again, and where a CPU is in ring 3, its
CR3's mappings in the hypervisor's part of the address space are listed.

With page-table isolation: the M2P map, descriptor tables, and a few pages of the image. Without it: the direct map too, or
this test could not fail.
"""
import argparse
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
SLOT = 1 << 39
FIRST, END = 0xFFFF800000000000, 0xFFFF880000000000
M2P, DESCRIPTORS, IMAGE = FIRST, FIRST + 4 * SLOT, FIRST + 5 * SLOT
IMAGE_PAGES = 8  # entry text, a page of SYSCALL stubs, IDT, TSS, the last page of this CPU's stack
WANTED_SAMPLES = 20


class Monitor:
    """The emulator's monitor, on a socket."""

    def __init__(self, path, patience):
        for _ in range(patience * 10):
            try:
                self.socket = socket.socket(socket.AF_UNIX)
                self.socket.connect(path)
                break
            except OSError:
                time.sleep(0.1)
        self.socket.settimeout(120)
        self.read()

    def read(self):
        text = b""
        while not text.endswith(b"(qemu) "):
            more = self.socket.recv(65536)
            if not more:
                raise EOFError
            text += more
        return text.decode(errors="replace")

    def ask(self, command):
        self.socket.sendall(command.encode() + b"\n")
        return self.read()


def hypervisor_ranges(text):
    """(start, end, rights) of what `info mem` lists in slots 256 to 271."""
    rows = re.findall(r"^([0-9a-f]{16})-([0-9a-f]{16}) [0-9a-f]{16} (\S+)", text, re.M)
    return [(int(a, 16), int(b, 16), r) for a, b, r in rows if int(a, 16) < END and int(b, 16) > FIRST]


def wrong_in(ranges):
    """What an isolated guest's page tables should not hold, as lines."""
    wrong, image_pages = [], 0
    for start, end, rights in ranges:
        line = f"{start:016x}-{end:016x} {rights}"
        if M2P <= start and end <= M2P + SLOT:
            if "w" in rights:
                wrong.append(f"the M2P map is writable: {line}")
        elif IMAGE <= start and end <= IMAGE + SLOT:
            image_pages += (end - start) >> 12
            if "u" in rights:
                wrong.append(f"the guest may use a page of the image: {line}")
        elif not (DESCRIPTORS <= start and end <= DESCRIPTORS + SLOT):
            wrong.append(line)
    if not 0 < image_pages <= IMAGE_PAGES:
        wrong.append(f"{image_pages} pages of the image")
    return wrong


def samples(arguments, options):
    """The ranges seen at each stop in ring 3."""
    with tempfile.TemporaryDirectory() as work:
        script = pathlib.Path(work) / "exec"
        script.write_text("#!/bin/sh\n(while :; do :; done) & (while :; do :; done) & sleep 300\n")
        path = f"{work}/monitor"
        command = [str(TOP / "run"), "--no-build", "--build-dir", arguments.build_dir, "--exec", str(script), "--log",
                   f"{work}/log", "--append", options, "--qemu", f"-monitor unix:{path},server=on,wait=off"]
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seen = []
        try:
            monitor = Monitor(path, 120)
            deadline = time.monotonic() + 240
            while len(seen) < WANTED_SAMPLES and time.monotonic() < deadline:
                monitor.ask("stop")
                for cpu in (0, 1):
                    monitor.ask(f"cpu {cpu}")
                    if re.search(r"CPL=3", monitor.ask("info registers")):
                        seen.append(hypervisor_ranges(monitor.ask("info mem")))
                monitor.ask("cont")
                time.sleep(0.5)
            monitor.socket.sendall(b"quit\n")
        except (OSError, EOFError) as error:
            print(f"# {type(error).__name__}: {error}")
        finally:
            run.terminate()
            run.wait()
        return seen


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build-dir", default=str(TOP / "build/release"))
    arguments = parser.parse_args()
    failed = False

    def verdict(good, name, lines=()):
        nonlocal failed
        failed |= not good
        print(f"{'ok' if good else 'not ok'} {name}", flush=True)
        for line in sorted(set(lines))[:12] if not good else ():
            print(f"# {line}")

    isolated = samples(arguments, "xpti=yes")
    wrong = [line for ranges in isolated for line in wrong_in(ranges)]
    verdict(len(isolated) >= WANTED_SAMPLES and not wrong,
            f"an isolated guest's page tables hold no memory of the hypervisor ({len(isolated)} looks)", wrong)
    plain = samples(arguments, "xpti=no")
    verdict(bool(plain) and all(wrong_in(ranges) for ranges in plain),
            f"without isolation they do, and that is seen ({len(plain)} looks)")
    return failed


if __name__ == "__main__":
    sys.exit(main())
