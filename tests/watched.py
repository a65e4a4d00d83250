"""What processes write to and connect to, as the kernel sees it: native code, too."""

import os
import re
import shutil
import subprocess
from collections import defaultdict
from contextlib import suppress

STRACE = shutil.which("strace")
_CALLS = (
    *("open", "openat", "openat2", "creat", "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat"),
    *("rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "truncate"),
    *("chmod", "fchmodat", "chown", "fchownat", "mknod", "mknodat", "utimensat", "setxattr"),
    *("connect", "sendto", "sendmsg", "sendmmsg", "fsync", "fdatasync"),
)
_MARK = "/proc/watched/"


def mark(name):
    """Called in what is watched: what comes from now on belongs to `name`."""
    with suppress(OSError):
        os.mkdir(_MARK + name)


class Seen:
    """Of what was done between two marks."""

    def __init__(self):
        self.written = []
        """Paths opened for writing, made, moved, changed or removed."""
        self.steps = []
        """Files and folders synced, links made, and names changed, in their order."""
        self.connected = []
        """Calls of sockets that lead out of the machine, or may."""

    def outside(self, *folders):
        """The paths that lie in none of the folders."""
        return [
            path
            for path in self.written
            if not any(path == folder or path.startswith(f"{folder}/") for folder in folders)
        ]

    def unsynced(self, *folders):
        """What was renamed to in these folders and a power cut may still take, with the reason."""
        found = []
        for at, (step, *paths) in enumerate(self.steps):
            if step != "renamed" or not any(paths[1].startswith(f"{one}/") for one in folders):
                continue
            source, target = paths
            before, after = self.steps[:at], self.steps[at:]
            if not {("synced", source), ("linked", source)} & set(before):
                found.append(f"{target}: the file")
            if ("synced", os.path.dirname(target)) not in after:
                found.append(f"{target}: its folder")
        return found


def watch(command, trace, cwd, **environment):
    """Run it; return what became of it, and what was `Seen` after each mark ("" is before)."""
    watched = [STRACE, "-f", "--seccomp-bpf", "-qq", "-y", "-s", "4096"]
    watched += ["-e", f"trace={','.join(_CALLS)}", "-o", trace]
    result = subprocess.run(
        [*watched, *map(str, command)],
        cwd=cwd,
        # A pool of threads spins until all have begun, which strace may hold back for minutes.
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    return result, _read(trace.read_text(errors="replace").splitlines(), cwd)


def _read(lines, cwd):
    seen, now, begun = defaultdict(Seen), "", {}
    for line in lines:
        process, _, text = line.partition(" ")
        if text.endswith("<unfinished ...>"):
            begun[process] = text.removesuffix("<unfinished ...>")
            continue
        if resumed := re.match(r"<\.\.\. \w+ resumed>", text.strip()):
            text = begun.pop(process, "") + text.strip()[resumed.end() :]
        call = re.match(r"\s*(\w+)\((.*)\) += (-?\d+)", text)
        if not call:
            continue
        name, given, returned = call[1], call[2], int(call[3])
        if _MARK in given:
            now = given.rpartition(_MARK)[2].split('"')[0]
        elif name in ("connect", "sendto", "sendmsg", "sendmmsg"):
            if re.search(r"AF_INET6?|TCP|UDP", given):
                seen[now].connected.append(text)
        elif name in ("fsync", "fdatasync"):
            seen[now].steps.append(("synced", given.partition("<")[2].rstrip("> ")))
        elif returned >= 0 and (not name.startswith("open") or _for_writing(given)):
            paths = _paths(name, given, cwd)
            seen[now].written += paths
            step = {"rename": "renamed", "symlin": "linked"}.get(name[:6])
            if step:
                seen[now].steps.append((step, *paths))
    return seen


def _for_writing(given):
    # A file without a name is gone when it is closed.
    return re.search("O_(WRONLY|RDWR|CREAT|TRUNC)", given) and "O_TMPFILE" not in given


def _paths(name, given, cwd):
    """The paths of a call: each beside the folder that it is relative to, or alone."""
    found = re.findall(r'(?:(?:\d+|AT_FDCWD)<([^>]*)>, )?"((?:[^"\\]|\\.)*)"', given)
    if name in ("symlink", "symlinkat"):
        found = found[1:]  # what it leads to is not touched
    return [os.path.normpath(os.path.join(cwd, folder, path)) for folder, path in found]
