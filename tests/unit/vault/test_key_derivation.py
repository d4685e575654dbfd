"""Argon2id in its bounded process, recovery codes, and the host key's file."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from hypothesis import given
from hypothesis import strategies as st

from pod_server.vault import recovery_code
from pod_server.vault.errors import HostKeyMissing, RecoveryCodeMistyped, SignInBusy, Tampered
from pod_server.vault.host_key import HostKey, HostKeyFile
from pod_server.vault.key_derivation import Argon2Cost, KeyDerivation, Passphrase

CHEAP = Argon2Cost(64, 1, 1)


def test_the_process_derives_what_argon2id_derives(derivation):
    salt = bytes(range(16))
    expected = Argon2id(salt=salt, length=32, iterations=2, lanes=2, memory_cost=128).derive("smørbrød".encode())
    assert derivation.derive(Passphrase("smørbrød"), salt, Argon2Cost(128, 2, 2)) == expected


def test_the_derivation_happens_in_another_process(derivation):
    derivation.derive(Passphrase("smørbrød"), bytes(16), CHEAP)
    assert derivation._process.pid != os.getpid()


def test_a_process_that_has_gone_is_started_again(derivation):
    first = derivation.derive(Passphrase("smørbrød"), bytes(16), CHEAP)
    os.kill(derivation._process.pid, signal.SIGKILL)
    derivation._process.wait()
    assert derivation.derive(Passphrase("smørbrød"), bytes(16), CHEAP) == first


def test_only_a_few_may_wait_and_the_rest_are_told_so():
    derivation = KeyDerivation(waiting_at_most=2)
    results = []

    def ask():
        try:
            results.append(derivation.derive(Passphrase("smørbrød"), bytes(16), Argon2Cost(65536, 2, 1)))
        except SignInBusy as busy:
            results.append(busy)

    threads = [threading.Thread(target=ask) for _ in range(5)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        derivation.close()
    assert sum(isinstance(result, bytes) for result in results) == 2
    assert sum(isinstance(result, SignInBusy) for result in results) == 3


def test_a_process_that_gives_no_answer_is_ended():
    derivation = KeyDerivation(answer_seconds=0.2)
    try:
        process = derivation._running()
        os.kill(process.pid, signal.SIGSTOP)
        # The process that follows it has no time to start up.
        derivation._answer_seconds = 0.001
        started = time.monotonic()
        with pytest.raises(SignInBusy):
            derivation.derive(Passphrase("smørbrød"), bytes(16), Argon2Cost(65536, 8, 1))
        assert time.monotonic() - started < 30
        assert process.poll() is not None
    finally:
        derivation.close()


def test_the_cost_of_a_slot_is_read_within_bounds():
    assert Argon2Cost.decode(Argon2Cost().encoded()) == Argon2Cost()
    for text in (
        "argon2id m=9999999,t=3,p=1",
        "argon2id m=65536,t=0,p=1",
        "argon2id m=65536,t=3,p=99",
        "argon2id m=7,t=1,p=1",
        "argon2i m=65536,t=3,p=1",
        "argon2id m=+65536,t=3,p=1",
        "argon2id m=65536,t=3",
        "",
    ):
        with pytest.raises(Tampered):
            Argon2Cost.decode(text)


@given(st.binary(min_size=16, max_size=16))
def test_a_recovery_code_reads_back_however_it_is_typed(entropy):
    code = recovery_code.write(entropy)
    assert recovery_code.read(code) == entropy
    assert recovery_code.read(code.lower().replace("-", "  ").replace("0", "o").replace("1", "l")) == entropy


@given(st.binary(min_size=16, max_size=16), st.integers(0, 27), st.integers(1, 31))
def test_one_mistyped_character_is_noticed(entropy, at, by):
    """Not for certain: the checksum has twelve bits, so one mistyped code in 4096 may pass; a slot then refuses it."""
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    code = list(recovery_code.write(entropy).replace("-", ""))
    code[at] = alphabet[(alphabet.index(code[at]) + by) % 32]
    try:
        read = recovery_code.read("".join(code))
    except RecoveryCodeMistyped:
        return
    assert read != entropy


@pytest.mark.parametrize("text", ["", "U" * 28, "A" * 27, "A" * 29, "é" * 28, "0" * 28])
def test_what_is_no_recovery_code_is_named_so(text):
    with pytest.raises(RecoveryCodeMistyped):
        recovery_code.read(text)


def test_the_host_key_is_made_once_and_kept_private(tmp_path):
    path = tmp_path / "keys" / "host.key"
    first = HostKeyFile.load_or_create(path)
    assert HostKeyFile.load_or_create(path).fingerprint == first.fingerprint
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["host.key"]
    assert first.fingerprint in repr(first)


def test_processes_that_race_get_one_host_key(tmp_path):
    path = tmp_path / "host.key"
    keys = []
    threads = [threading.Thread(target=lambda: keys.append(HostKeyFile.load_or_create(path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({key.fingerprint for key in keys}) == 1


@pytest.mark.parametrize("text", ["", "not a key", "tvilling-host-key-v1 AAAA", "tvilling-host-key-v1 ****", "ø"])
def test_a_damaged_host_key_is_named_and_not_replaced(tmp_path, text):
    path = tmp_path / "host.key"
    path.write_text(text, "utf-8")
    with pytest.raises(HostKeyMissing):
        HostKeyFile.load_or_create(path)
    assert path.read_text("utf-8") == text


def test_derived_keys_differ_by_label_and_extend_by_length():
    key = HostKey(bytes(32))
    assert key.derive("a") != key.derive("b")
    assert key.derive("a", 80)[:32] == key.derive("a")
    assert len(key.derive("a", 80)) == 80
    with pytest.raises(ValueError, match="HKDF"):
        key.derive("a", 0)


def test_the_process_ends_with_its_parent():
    program = """
import os, signal
from pod_server.vault.key_derivation import SHARED, Argon2Cost, Passphrase
SHARED.derive(Passphrase("smørbrød"), bytes(16), Argon2Cost(64, 1, 1))
print(SHARED._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    process_id = int(done.stdout)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        time.sleep(0.02)
    pytest.fail("the deriving process outlived its parent")


def test_a_server_with_thousands_of_descriptors_can_still_check_passphrases():
    program = """
import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
held = [os.open("/dev/null", os.O_RDONLY) for _ in range(1200)]
from pod_server.vault.key_derivation import SHARED, Argon2Cost, Passphrase
print(len(SHARED.derive(Passphrase("smørbrød"), bytes(16), Argon2Cost(64, 1, 1))))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "32"
