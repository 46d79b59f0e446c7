"""How long a sound lasts is read from its file, and of a transcript that tells no usage."""

from __future__ import annotations

import io
import struct
import wave

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastgw._usage import Usage
from fastgw.ai import sounds
from fastgw.ai.passing_typed import Transcripts


def wav(seconds: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((2, 2, 16_000, 0, "NONE", ""))
        writer.writeframes(bytes(64_000 * seconds))
    return file.getvalue()


def atom(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data) + 8) + name + data


FTYP = atom(b"ftyp", b"M4A \0\0\0\0")
FRAME = b"\xff\xfb\x90\xc0"  # MPEG-1, layer III, 128 kbit/s, 44.1 kHz
SOUNDS = {
    "wav": (wav(3), 4),  # its head takes a little of a second
    "flac": (b"fLaC\0\0\0\x22" + bytes(10) + (44_100 << 44 | 1 << 41 | 441_000).to_bytes(8, "big") + bytes(30_000), 10),
    "opus": (b"OggS" + bytes(24) + b"OpusHead" + bytes(9_000) + b"OggS\0\4" + (96_000).to_bytes(8, "little"), 2),
    "vorbis": (
        b"OggS" + bytes(24) + b"\x01vorbis" + bytes(5) + (8_000).to_bytes(4, "little")
        + b"OggS\0\4" + (24_000).to_bytes(8, "little"), 3,
    ),
    "mp4": (FTYP + atom(b"moov", atom(b"mvhd", bytes(12) + struct.pack(">II", 1_000, 7_500))), 8),
    "mp4-64": (FTYP + bytes(99_000) + atom(b"mvhd", b"\1" + bytes(19) + struct.pack(">IQ", 1_000, 9_000)), 9),
    "mp3": (FRAME + bytes(31_996), 2),
    "mp3-tagged": (b"ID3\4\0\0\0\0\1\0" + bytes(128) + FRAME + bytes(15_996), 1),
    "mp3-variable": (FRAME + bytes(32) + b"Xing\0\0\0\1" + (383).to_bytes(4, "big") + bytes(9_000), 11),
    "unknown": (b"webm" + bytes(9_996), 5),
    "nothing": (b"", 0),
    "a lie": (FTYP + atom(b"mvhd", bytes(12) + struct.pack(">II", 1_000, 1)) + bytes(4_000_000), 11),
}  # fmt: skip


@pytest.mark.parametrize("name", SOUNDS)
def test_how_long_a_sound_is(name: str) -> None:
    sound, seconds = SOUNDS[name]
    assert sounds.seconds(memoryview(sound)) == seconds


@settings(max_examples=60)
@given(st.sampled_from(sorted(SOUNDS)), st.integers(0, 4_000), st.binary(max_size=40))
def test_files_that_are_broken_last_some_time(name: str, at: int, noise: bytes) -> None:
    sound = SOUNDS[name][0][:20_000]
    broken = sound[:at] + noise
    assert 0 <= sounds.seconds(memoryview(broken)) <= sounds.SECONDS_MAX
    assert sounds.seconds(memoryview(broken)) >= bool(broken)


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        (b'{"text":"Hi","usage":{"type":"duration","seconds":9}}', Usage(seconds=9)),
        (b'{"text":"Hi","duration":8.4}', Usage(seconds=9)),
        (b'{"text":"Hi","duration":"8.47"}', Usage(seconds=9)),
        (b"1\n00:00:00,000 --> 00:01:02,500\nHi\n\n2\n00:01:03,000 --> 01:00:04,000\nyou\n", Usage(seconds=3_604)),
        (b"WEBVTT\n\n00:00.000 --> 00:02.001\nHi\n", Usage(seconds=3)),
        (b"Hi\n", None),
        (b'{"text":"Hi"}', None),
        (b'{"duration":"long"}', None),
        (b'{"duration":-1}', None),
    ],
)
def test_what_a_transcript_has_cost(body: bytes, usage: Usage | None) -> None:
    relay = Transcripts(by_second=True)
    assert relay.whole(body) == body
    assert (relay.usage, relay.ended) == (usage, True)
    tokens = Transcripts(by_second=False)
    tokens.whole(body)
    assert tokens.usage is None
    tokens.whole(b'{"usage":{"input_tokens":4,"output_tokens":2}}')
    assert tokens.usage == Usage(input=4, output=2)
