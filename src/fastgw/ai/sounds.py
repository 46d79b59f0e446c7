"""Decides how long a sound lasts, by what its file says at its head or its end: no frame is decoded or walked through.

What is not known is taken for speech in a lean codec, and no file for denser than studios make them.
"""

from __future__ import annotations

LEAN_BYTES = 2_000  # a second: 16 kbit/s
DENSE_BYTES = 400_000
WINDOW = 65_536  # bytes at either end that are looked at
SECONDS_MAX = 1 << 24

_KBITS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)  # of MPEG-1 audio, layer III
_KBITS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)  # and of MPEG-2
_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}

Ratio = tuple[int, int] | None  # seconds, as a fraction


def seconds(sound: memoryview) -> int:
    """Seconds, rounded up."""
    size = len(sound)
    told = (ratio for read in (_wav, _flac, _ogg, _mp4, _mp3) if (ratio := read(sound)) and min(ratio) > 0)
    number, divisor = next(told, (size, LEAN_BYTES))
    return min(max(-(-number // divisor), -(-size // DENSE_BYTES)), SECONDS_MAX)


def _little(data: bytes | memoryview, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")


def _big(data: bytes | memoryview, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "big")


def _wav(sound: memoryview) -> Ratio:
    head = bytes(sound[:WINDOW])
    at = head.find(b"fmt ")
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE" or at < 0:
        return None
    return len(sound), _little(head, at + 12, 4) * _little(head, at + 20, 2)  # samples a second, and bytes of one


def _flac(sound: memoryview) -> Ratio:
    if bytes(sound[:4]) != b"fLaC":
        return None
    packed = _big(sound, 18, 8)  # 20 bits of rate, 3 of channels, 5 of depth, 36 of samples
    return packed & ((1 << 36) - 1), packed >> 44


def _ogg(sound: memoryview) -> Ratio:
    """The last page says how many samples there were."""
    head, tail = bytes(sound[:256]), bytes(sound[-WINDOW:])
    last = tail.rfind(b"OggS")
    if head[:4] != b"OggS" or last < 0:
        return None
    vorbis = head.find(b"\x01vorbis")
    rate = _little(head, vorbis + 12, 4) if vorbis > 0 else 48_000  # Opus counts so, whatever its rate
    samples = _little(tail, last + 6, 8)
    return (samples, rate) if samples < 1 << 48 else None


def _mp4(sound: memoryview) -> Ratio:
    if bytes(sound[4:8]) != b"ftyp":
        return None
    for data in (bytes(sound[:WINDOW]), bytes(sound[-WINDOW:])):
        at = data.find(b"mvhd")
        if at >= 0 and data[at + 4 : at + 5] == b"\x01":
            return _big(data, at + 28, 8), _big(data, at + 24, 4)
        if at >= 0:
            return _big(data, at + 20, 4), _big(data, at + 16, 4)
    return None


def _mp3(sound: memoryview) -> Ratio:
    """Of the first frame: how many there are, or else how many bits a second has."""
    begins = 0
    if bytes(sound[:3]) == b"ID3":  # its size is in bytes of seven bits
        begins = 10 + sum((byte & 127) << shift for byte, shift in zip(sound[6:10], (21, 14, 7, 0), strict=False))
    frame = bytes(sound[begins : begins + 512])
    if len(frame) < 4 or frame[0] != 0xFF or frame[1] & 0xE6 != 0xE2:
        return None
    version, bitrate, frequency = frame[1] >> 3 & 3, frame[2] >> 4, frame[2] >> 2 & 3
    if version == 1 or bitrate == 15 or frequency == 3:
        return None
    for mark in (b"Xing", b"Info"):
        at = frame.find(mark)
        if at > 0 and frame[at + 7 : at + 8] and frame[at + 7] & 1:
            return _big(frame, at + 8, 4) * (1_152 if version == 3 else 576), _RATES[version][frequency]
    return len(sound) - begins, (_KBITS_1 if version == 3 else _KBITS_2)[bitrate] * 125
