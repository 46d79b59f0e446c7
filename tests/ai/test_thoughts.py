"""Of a conversation that other models had a part in, Claude is shown its own thoughts alone."""

import msgspec
import pytest
from msgspec import Raw

from fastgw.ai import thoughts
from fastgw.ai.canonical import CALL_PROOF

OWN = b'{"type":"thinking","thinking":"a","signature":"EqQB"}'
FOREIGN = b'{"thinking":"b","type":"thinking","signature" : ""}'
PROOF = b'{"type":"thinking","thinking":"","signature":"%bc2ln"}' % CALL_PROOF.encode()
CALL = b'{"type":"tool_use","id":"x","name":"f","input":{"n":1.50,"signature":""},"new":{"a" : 1}}'


def conversation(*blocks: bytes) -> bytes:
    return b'[{"role":"user","content":"Hi"},{"role":"assistant","content":[%b]}]' % b",".join(blocks)


def test_thoughts_of_others_are_left_out_and_the_rest_is_as_it_was() -> None:
    assert bytes(thoughts.own(Raw(conversation(OWN, FOREIGN, PROOF, CALL)))) == conversation(OWN, CALL)


@pytest.mark.parametrize(
    "messages", [conversation(OWN, CALL), conversation(CALL), b'[{"signature":""}]', b'{"signature":""}']
)
def test_other_conversations_are_as_they_were(messages: bytes) -> None:
    assert bytes(thoughts.own(Raw(messages))) == messages


def test_a_turn_of_thoughts_alone_is_left_out() -> None:
    assert msgspec.json.decode(thoughts.own(Raw(conversation(FOREIGN)))) == [{"role": "user", "content": "Hi"}]
