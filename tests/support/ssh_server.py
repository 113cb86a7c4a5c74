"""An SSH server on loopback that lets git in with keys of its own, and nobody into a shell."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support import apt, detached
from tests.support.registry import free_port

DEFAULT_LIFETIME_S = 3600
# Git alone, on any path; what GitHub says to a deploy key that may only read.
_WRITER = """#!/bin/sh
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
exec git-shell -c "$SSH_ORIGINAL_COMMAND"
"""
_READER = """#!/bin/sh
case "$SSH_ORIGINAL_COMMAND" in
git-receive-pack*)
    echo "ERROR: The key you are authenticating with has been marked as read only." >&2
    exit 1 ;;
esac
exec "{writer}"
"""
_CONFIGURATION = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AllowTcpForwarding no
AllowAgentForwarding no
AcceptEnv GIT_PROTOCOL
"""


@dataclass(frozen=True, slots=True)
class SshServer:
    """A server that runs, and the keys that open it."""

    port: int
    folder: Path

    @property
    def writer(self) -> Path:
        """The private key that may push."""
        return self.folder / "writer"

    @property
    def reader(self) -> Path:
        """The private key that may only fetch."""
        return self.folder / "reader"

    @property
    def stranger(self) -> Path:
        """A private key that the server does not know."""
        return self.folder / "stranger"

    @property
    def known_hosts(self) -> Path:
        """A file that has this server's key."""
        return self.folder / "known_hosts"

    def url(self, repository: Path) -> str:
        """Return the address of a bare repository on this machine."""
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{repository.resolve()}"

    def answers(self) -> bool:
        """Say whether the server is ready."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False


@contextmanager
def running_ssh_server(folder: Path) -> Iterator[SshServer]:
    """Run an SSH server for as long as the `with` block lasts."""
    server = SshServer(free_port(), folder.resolve())
    _prepare(server)
    log = folder / "sshd.log"
    command = [_program(), "-D", "-e", "-f", str(server.folder / "sshd_config")]
    process = detached.start(command, log=log, lifetime_s=DEFAULT_LIFETIME_S)
    try:
        detached.wait_until_ready("the SSH server", server.answers, process=process, log=log)
        yield server
    finally:
        process.stop()


def make_key(path: Path, *, passphrase: str = "") -> str:
    """Make a key pair and return the public half."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", path.name, "-f", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return path.with_suffix(".pub").read_text().strip()


def _prepare(server: SshServer) -> None:
    folder = server.folder
    host = make_key(folder / "host_key")
    make_key(server.stranger)
    writer, reader = folder / "writer.sh", folder / "reader.sh"
    writer.write_text(_WRITER)
    reader.write_text(_READER.format(writer=writer))
    for script in (writer, reader):
        script.chmod(0o755)
    lines = [
        f'command="{script}",restrict {make_key(key)}\n'
        for script, key in ((writer, server.writer), (reader, server.reader))
    ]
    (folder / "authorized_keys").write_text("".join(lines))
    server.known_hosts.write_text(f"[127.0.0.1]:{server.port} {' '.join(host.split()[:2])}\n")
    (folder / "sshd_config").write_text(_CONFIGURATION.format(port=server.port, folder=folder))


def _program() -> str:
    """Return the server's absolute path, which it insists on; installed where there is none."""
    search = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"
    if shutil.which("sshd", path=search) is None:
        apt.install(["openssh-server"], why="an SSH server to push to")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # root's server insists on it
    return shutil.which("sshd", path=search) or "/usr/sbin/sshd"
