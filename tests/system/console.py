#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The terminal as a person sees it: ./run, a dom0 shell, `xm create -c demo`, the guest's shell, and back again.

Prints `ok NAME` or `not ok NAME` for each thing seen; stops at the first that is not seen.
"""
import argparse
import pathlib
import sys

import pexpect

TOP = pathlib.Path(__file__).resolve().parent.parent.parent


class Session:
    """One ./run on a pseudo terminal."""

    def __init__(self, arguments):
        command = ["--no-build", "--build-dir", arguments.build_dir, "--hypervisor", arguments.hypervisor, "--timeout", "400"]
        self.child = pexpect.spawn(str(TOP / "run"), command, encoding="utf-8", codec_errors="replace", timeout=120)
        self.child.logfile_read = open(pathlib.Path(arguments.build_dir) / "console-terminal.log", "w", encoding="utf-8")

    def see(self, name, pattern, timeout=120):
        """Waits for the pattern; prints the verdict; ends the program when it does not come."""
        try:
            self.child.expect(pattern, timeout=timeout)
            print(f"ok terminal: {name}", flush=True)
        except (pexpect.TIMEOUT, pexpect.EOF) as error:
            print(f"not ok terminal: {name}\n# {type(error).__name__}; the last of it:")
            for line in (self.child.before or "")[-1500:].splitlines():
                print(f"# {line}")
            self.child.close(force=True)
            sys.exit(1)

    def type(self, text):
        """Types one line."""
        self.child.send(text + "\r")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build-dir", default=str(TOP / "build/release"))
    parser.add_argument("--hypervisor", default="ours")
    session = Session(parser.parse_args())
    session.see("the hint says what to type", "xm create -c demo", 180)
    session.see("a dom0 shell", "dom0# ")
    session.type("xm list")
    session.see("xend answers in it", "Domain-0 +0 ")
    session.type("xm create -c demo")
    session.see("the sample domain boots on its console", "guest: ready", 180)
    session.see("down to its shell", "demo# ")
    session.type("echo seen-$((40 + 2))")
    session.see("which answers", "seen-42")
    session.child.send("\x1d")
    session.see("ctrl-] leads back to dom0", "dom0# ")
    session.type("xm shutdown -w demo; xm list; echo listed-$?")
    session.see("the sample domain shuts down", "listed-0")
    session.type("poweroff -f")
    session.see("the machine switches itself off", pexpect.EOF, 60)


main()
