"""Keys: shown once, kept as digests, effective at once; those of the file and of the API side by side."""

from collections.abc import Callable

import pytest
from desk import DAY_S, RATE, Desk, a_config, a_key, an_account

from fastgw.identities import of_text
from fastgw.ledger.books import Books
from fastgw.ledger.errors import Conflict, Invalid, LoadError, NotFound, ReadOnly
from fastgw.ledger.views import KeyView
from fastgw.model import Rate
from fastgw.states import KeyStatus

FILE_KEY = "sk-acme-0001-abcdef"


@pytest.fixture
def acme(desk: Desk) -> Desk:
    """An account of the file with a key of the file."""
    desk.apply(accounts=[an_account(balance=100)], keys=[a_key(FILE_KEY, name="first", rate=RATE)])
    return desk


def record(desk: Desk, text: str) -> dict[str, object]:
    """The key in the segment."""
    found: dict[str, object] = desk.segment.key(desk.segment.find_key(desk.segment.digest(text.encode())))
    return found


def test_a_key_works_at_once_and_is_shown_once(acme: Desk) -> None:
    view, text = acme.books.create_key("acme", name="web", rate=RATE, expires_s=acme.now_s + 60)
    assert text.startswith("fgw_")
    assert len(text) > 40
    assert (view.account, view.name, view.hint, view.origin, view.status) == ("acme", "web", text[-4:], "api", "active")
    assert (view.rate, view.expires_s, view.created_s) == (RATE, acme.now_s + 60, acme.now_s)
    assert record(acme, text)["account"] == acme.index()
    assert record(acme, text)["status"] == KeyStatus.ACTIVE
    assert acme.books.find_key(text) == acme.books.key(view.id) == view
    ledger = (acme.state / "ledger.sqlite").read_bytes() + (acme.state / "ledger.sqlite-wal").read_bytes()
    assert text.encode() not in ledger
    assert view.id == "key_" + acme.segment.digest(text.encode())[:8].hex()


def test_every_key_is_another(acme: Desk) -> None:
    assert len({acme.books.create_key("acme")[1] for _ in range(20)}) == 20


def test_keys_of_the_api_are_there_after_restart_and_reboot(acme: Desk) -> None:
    view, text = acme.books.create_key("acme", name="web", rate=RATE, budget_nanos=9, budget_period="day")
    revoked, gone = acme.books.create_key("acme")
    acme.books.revoke_key(revoked.id)
    for again in (acme.restart, lambda: acme.apply(accounts=[an_account(balance=100)]), acme.reboot):
        again()
        assert acme.books.find_key(text) == view
        assert record(acme, text)["status"] == KeyStatus.ACTIVE
        assert record(acme, gone)["status"] == KeyStatus.REVOKED


def test_a_key_of_the_file_shows_what_the_file_says(acme: Desk) -> None:
    view = acme.books.find_key(FILE_KEY)
    assert (view.account, view.name, view.hint, view.origin) == ("acme", "first", "cdef", "file")
    assert (view.rate, view.created_s) == (RATE, 0)
    assert acme.books.key(view.id) == view
    acme.apply(accounts=[an_account(balance=100)], keys=[a_key(FILE_KEY)])
    assert (acme.books.key(view.id).name, acme.books.key(view.id).rate) == ("", None)


def test_a_short_key_gives_no_hint(acme: Desk) -> None:
    acme.apply(accounts=[an_account()], keys=[a_key("sk-short")])
    assert acme.books.find_key("sk-short").hint == ""


def test_a_key_taken_out_of_the_file_is_revoked_and_not_listed(acme: Desk) -> None:
    view = acme.books.find_key(FILE_KEY)
    acme.apply(accounts=[an_account(balance=100)])
    assert record(acme, FILE_KEY)["status"] == KeyStatus.REVOKED
    with pytest.raises(NotFound):
        acme.books.key(view.id)
    with pytest.raises(NotFound):
        acme.books.find_key(FILE_KEY)
    assert acme.books.keys() == []


def test_a_revoked_key_stays_revoked(acme: Desk) -> None:
    view, text = acme.books.create_key("acme")
    assert acme.books.revoke_key(view.id).status == "revoked"
    assert record(acme, text)["status"] == KeyStatus.REVOKED
    assert acme.books.revoke_key(view.id).status == "revoked", "again is no mistake"
    with pytest.raises(Conflict, match="is revoked"):
        acme.books.change_key(view.id, name="x")
    with pytest.raises(Conflict, match="is revoked"):
        acme.books.rotate_key(view.id)


def test_an_expired_key_says_so(acme: Desk) -> None:
    view, text = acme.books.create_key("acme", expires_s=acme.now_s + 10)
    acme.pass_s(10)
    assert acme.books.key(view.id).status == "expired"
    assert acme.books.change_key(view.id, expires_s=0).status == "active"
    assert record(acme, text)["expires_s"] == 0


def test_fields_are_changed_one_by_one(acme: Desk) -> None:
    view, text = acme.books.create_key("acme", name="web", rate=RATE)
    view = acme.books.change_key(view.id, name="mobile")
    assert (view.name, view.rate) == ("mobile", RATE)
    faster = Rate(9, 10**9, 9)
    assert acme.books.change_key(view.id, rate=faster).rate == faster
    assert acme.segment.limit_of(int(str(record(acme, text)["limit"])))[2] == 9
    view = acme.books.change_key(view.id, rate=None, budget_nanos=50, budget_period="month")
    assert (view.rate, view.name, view.budget_nanos, view.budget_period) == (None, "mobile", 50, "month")
    assert record(acme, text)["limit"] == 0
    view = acme.books.change_key(view.id, budget_nanos=0, budget_period="")
    assert (view.budget_nanos, record(acme, text)["budget"]) == (0, -1)
    acme.reboot()
    assert acme.books.key(view.id) == view


def test_a_rotated_key_passes_its_terms_on_and_ends(acme: Desk) -> None:
    old, old_text = acme.books.create_key("acme", name="web", rate=RATE)
    new, text = acme.books.rotate_key(old.id)
    assert (new.name, new.rate, new.status) == ("web", RATE, "active")
    assert new.id != old.id
    assert text != old_text
    assert record(acme, old_text)["status"] == KeyStatus.REVOKED
    assert acme.books.key(old.id).status == "revoked"


def test_a_rotated_key_may_have_some_grace(acme: Desk) -> None:
    old, old_text = acme.books.create_key("acme", expires_s=acme.now_s + 50)
    acme.books.rotate_key(old.id, grace_s=20)
    assert record(acme, old_text)["expires_s"] == acme.now_s + 20
    acme.pass_s(20)
    with pytest.raises(Conflict, match="is expired"):
        acme.books.rotate_key(old.id)
    soon, _ = acme.books.create_key("acme", expires_s=acme.now_s + 5)
    acme.books.rotate_key(soon.id, grace_s=20)
    assert acme.books.key(soon.id).expires_s == acme.now_s + 5, "grace makes no key last longer"
    with pytest.raises(Invalid, match="negative"):
        acme.books.rotate_key(acme.books.create_key("acme")[0].id, grace_s=-1)


def test_a_budget_is_the_keys_own_and_outlives_its_rotation(acme: Desk) -> None:
    old, old_text = acme.books.create_key("acme", budget_nanos=50)
    meter = int(str(record(acme, old_text)["budget"]))
    acme.segment.hold(0, meter, 30)
    acme.segment.capture(0, meter, 30, 20)
    assert acme.books.key(old.id).budget_used_nanos == 20
    new, text = acme.books.rotate_key(old.id, grace_s=60)
    assert record(acme, text)["budget"] == meter, "or both together could spend more"
    for again in (acme.turn, acme.restart, acme.reboot):
        again()
        view = acme.books.key(new.id)
        assert (view.budget_nanos, view.budget_used_nanos, view.budget_period) == (50, 20, "")
        money = acme.segment.account(int(str(record(acme, text)["budget"])))
        assert money["granted"] - money["captured"] == 30


def test_a_budget_of_the_file_follows_the_file(acme: Desk) -> None:
    def budget(nanos: int, period: str = "") -> KeyView:
        keys = [a_key(FILE_KEY, budget_nanos=nanos, budget_period=period)]
        acme.apply(accounts=[an_account(balance=100)], keys=keys)
        return acme.books.find_key(FILE_KEY)

    assert budget(50).budget_nanos == 50
    meter = int(str(record(acme, FILE_KEY)["budget"]))
    assert acme.segment.hold(0, meter, 40)
    acme.segment.capture(0, meter, 40, 40)
    view = budget(45, "day")
    assert (view.budget_nanos, view.budget_used_nanos, view.budget_period) == (45, 40, "day")
    assert not acme.segment.hold(0, meter, 6)
    acme.pass_s(DAY_S)
    assert acme.books.find_key(FILE_KEY).budget_used_nanos == 0
    assert budget(0).budget_nanos == 0
    assert record(acme, FILE_KEY)["budget"] == -1


def test_keys_are_listed_by_account_in_pages(acme: Desk) -> None:
    acme.books.create_account("other")
    mine = [acme.books.create_key("acme")[0] for _ in range(3)]
    others = [acme.books.create_key("other")[0] for _ in range(2)]
    file = acme.books.find_key(FILE_KEY)
    assert acme.books.keys() == [file, *mine, *others]
    assert acme.books.keys(limit=2) == [file, mine[0]]
    assert acme.books.keys(after=mine[0].id, limit=3) == [*mine[1:], others[0]]
    assert acme.books.keys("other") == others
    assert acme.books.keys("other", after=others[0].id) == others[1:]
    assert acme.books.keys("acme", after=mine[1].id) == [mine[2]]
    with pytest.raises(NotFound):
        acme.books.keys("nobody")
    with pytest.raises(NotFound):
        acme.books.keys(after="key_00")


def test_the_files_keys_are_read_only(acme: Desk) -> None:
    key_id = acme.books.find_key(FILE_KEY).id
    with pytest.raises(ReadOnly, match="declared in the configuration"):
        acme.books.revoke_key(key_id)
    with pytest.raises(ReadOnly, match="declared in the configuration"):
        acme.books.rotate_key(key_id)
    with pytest.raises(ReadOnly, match="declared in the configuration"):
        acme.books.change_key(key_id, name="x")
    assert record(acme, FILE_KEY)["status"] == KeyStatus.ACTIVE


@pytest.mark.parametrize("key_id", ["", "key_", "key_zz", "key_0123456789ABCDEF", "key_0123456789abcdef", "x" * 1000])
def test_an_id_that_no_key_has_is_not_found(acme: Desk, key_id: str) -> None:
    for look in (acme.books.key, acme.books.revoke_key, acme.books.rotate_key):
        with pytest.raises(NotFound):
            look(key_id)
    with pytest.raises(NotFound):
        acme.books.find_key(key_id)


def test_a_key_of_the_api_cannot_be_declared_too(acme: Desk) -> None:
    _, text = acme.books.create_key("acme")
    with pytest.raises(LoadError, match="key 1 was made through the API") as refused:
        acme.books.apply(a_config([an_account(balance=100)], [a_key(text)]))
    assert text not in str(refused.value)
    assert acme.books.find_key(text).origin == "api"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda books: books.create_key("acme", name='"'), "name must be"),
        (lambda books: books.create_key("acme", budget_nanos=-1), "budget must be"),
        (lambda books: books.create_key("acme", budget_nanos=1, budget_period="week"), "budget_period must be"),
        (lambda books: books.create_key("acme", budget_period="day"), "needs a budget"),
        (lambda books: books.create_key("acme", expires_s=1), "in the future"),
        (lambda books: books.create_key("acme", rate=Rate(0, 1, 1)), "rate: "),
        (lambda books: books.create_key("acme", rate=Rate(1, 1, 10**10)), "burst must be"),
    ],
)
def test_terms_that_make_no_sense_are_refused(acme: Desk, wrong: Callable[[Books], object], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        wrong(acme.books)
    assert len(acme.books.keys()) == 1


def test_more_keys_than_there_is_room_for_are_a_conflict(acme: Desk) -> None:
    for _ in range(63):
        acme.books.create_key("acme")
    with pytest.raises(Conflict, match="no room for it: more than 64 keys"):
        acme.books.create_key("acme")
    assert len(acme.books.keys()) == 64


def test_a_closed_account_gets_no_keys_and_its_own_are_kept(acme: Desk) -> None:
    view, text = acme.books.create_key("acme")
    acme.apply()
    with pytest.raises(Conflict, match="is closed"):
        acme.books.create_key("acme")
    acme.reboot()
    assert acme.books.key(view.id).status == "active"
    assert acme.segment.find_key(acme.segment.digest(text.encode())) == -1
    acme.apply(accounts=[an_account(balance=100)])
    assert record(acme, text)["status"] == KeyStatus.ACTIVE, "it works again with its account"


def test_a_certificate_is_a_key_without_a_secret_and_only_once(acme: Desk) -> None:
    identity = of_text("billing.example.com")
    view, text = acme.books.create_key("acme", name="mtls", identity=identity)
    assert (text, view.status, view.hint) == ("", "active", ".com")
    assert acme.segment.find_key(acme.segment.digest(identity.encode())) >= 0
    with pytest.raises(Conflict, match=f'is a key already: "{view.id}"'):
        acme.books.create_key("acme", identity=identity)
    acme.books.revoke_key(view.id)
    with pytest.raises(Conflict):
        acme.books.create_key("acme", identity=identity)
