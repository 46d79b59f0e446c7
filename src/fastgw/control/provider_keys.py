"""Decides how the keys of providers are shown: by their place in the file, never what they are."""

import os
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from .._credentials import Credentials, table_path
from .._segment import Segment, SegmentError
from ..model import Config, Provider
from ..states import CredentialState

NOTHING = (0, 0, 0, 0, 0, 0)


class ProviderKeyShown(Struct, frozen=True):
    """One key: the `key`-th of its provider, from 1. `state` is "ok", "resting" as long as the provider asks for that,
    "refused" by it, or "unpaid", where its account there has no money; `since` is when that began, and `until` when the
    key is tried again, null where it is ok. The counts are of calls made with it, and of those after which it was told
    to rest or was refused, since the segment was made."""

    key: int
    state: str
    since: datetime | None
    until: datetime | None
    calls: int
    rests: int
    refusals: int


class ProviderShown(Struct, frozen=True):
    name: str
    keys: list[ProviderKeyShown]


def provider_keys(segment: Segment, config: Config) -> list[ProviderShown]:
    """Of all providers of the configuration, what workers know of their keys now. For any thread."""
    table = _table(segment)
    now = datetime.now(UTC).replace(microsecond=0)
    return [ProviderShown(provider.name, _keys(table, provider, now)) for provider in config.providers]


def _table(segment: Segment) -> Credentials | None:
    """None where no worker has a provider, or the table cannot be read."""
    if not os.path.exists(table_path(segment)):
        return None
    try:
        return Credentials(segment)
    except (OSError, SegmentError):
        return None


def _keys(table: Credentials | None, provider: Provider, now: datetime) -> list[ProviderKeyShown]:
    secrets = [secret.reveal() for secret in provider.keys] or [""]
    shown = []
    for number, secret in enumerate(secrets, 1):
        why, rests_ms, since_s, *counts = NOTHING if table is None else table.look(provider.name, secret)
        state = CredentialState(why)
        since = until = None
        if state is not CredentialState.OK:
            since = now - timedelta(seconds=since_s)
            until = now + timedelta(seconds=-(-rests_ms // 1000))
        shown.append(ProviderKeyShown(number, state.name.lower(), since, until, *counts))
    return shown
