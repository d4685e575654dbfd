"""Telegrams of the three meters, framed as they come over the line, and as much of a broker as one agent needs."""

from __future__ import annotations

import socket
import struct

METER = "7359990000000001"
LLC = bytes.fromhex("e6e7000f40000000")
METERS_CLOCK = bytes.fromhex("07e40119060d091eff800000")


def aidon(watts: int) -> bytes:
    """Aidon's list 1: one register, active power."""
    return (
        LLC + bytes.fromhex("000101020309060100010700ff06") + struct.pack(">I", watts) + bytes.fromhex("02020f00161b")
    )


def kaifa(watts: int) -> bytes:
    """Kaifa's list 1: the meter's clock and one number."""
    return LLC + bytes.fromhex("090c") + METERS_CLOCK + bytes.fromhex("020106") + struct.pack(">I", watts)


def kamstrup(watts: int) -> bytes:
    """Kamstrup's list of a single-phase meter, which tells its number."""
    text = lambda words: bytes([0x0A, len(words)]) + words.encode()  # noqa: E731
    named = lambda obis, value: bytes.fromhex("0906" + obis) + value  # noqa: E731
    number = lambda value: b"\x06" + struct.pack(">I", value)  # noqa: E731
    return b"".join(
        (
            bytes.fromhex("e6e7000f00000000"), b"\x0c", METERS_CLOCK, b"\x02\x0f", text("Kamstrup_V0001"),
            named("0101000005ff", text(METER)), named("0101600101ff", text("000000000000000000")),
            named("0101010700ff", number(watts)), named("01011f0700ff", number(0)), named("0101200700ff", b"\x12\x00\xe6"),
            named("0001010000ff", b"\x09\x0c" + METERS_CLOCK), named("0101010800ff", number(100)),
        )
    )  # fmt: skip


def checksum(content: bytes) -> bytes:
    """ISO/IEC 13239's 16-bit frame check sequence, bit by bit; not amshan's table."""
    state = 0xFFFF
    for byte in content:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ 0x8408 if state & 1 else state >> 1
    return (state ^ 0xFFFF).to_bytes(2, "little")


def frame(payload: bytes) -> bytes:
    """An HDLC frame of type 3 around a telegram."""
    length = 2 + 1 + 2 + 1 + 2 + len(payload) + 2
    head = bytes([0xA0 | length >> 8, length & 0xFF, 0x41, 0x08, 0x83, 0x13])
    body = head + checksum(head) + payload
    return b"\x7e" + body + checksum(body) + b"\x7e"


def broker(listener: socket.socket, contents: list[bytes], seen: list[bytes]) -> None:
    """As much of an MQTT 3.1.1 broker as one subscriber needs."""
    connection, _ = listener.accept()
    with connection:
        seen.append(connection.recv(1024))
        connection.sendall(b"\x20\x02\x00\x00")
        seen.append(connection.recv(1024))
        connection.sendall(b"\x90\x03" + seen[-1][2:4] + b"\x00")
        for content in contents:
            body = b"\x00\x03ams" + content
            connection.sendall(b"\x30" + bytes([len(body)]) + body)
        connection.recv(1024)
