"""Tests of the mutual password proof: right, wrong, replayed, reflected, relayed, garbled."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncluster.errors import ProofError
from asyncluster.model.peer import Role
from asyncluster.wire.proof import (
    REFUSED,
    Binding,
    Credentials,
    Doorkeeper,
    JoinerProof,
    MasterProof,
    Message,
    Verifier,
    canonical,
    make_verifier,
)

ITERATIONS = 4096
BINDING = Binding(Role.NODE, b"x" * 32, b"c" * 32, canonical({"role": "node", "features": ["a"]}), canonical({}))
NODE = Credentials("node", "node password", "server password")


class Accounts:
    """Verifiers in memory."""

    def __init__(self, *verifiers: Verifier) -> None:
        self.verifiers = {(each.name, each.role): each for each in verifiers}

    def find(self, name: str, role: str) -> Verifier | None:
        """As `Verifiers` says."""
        return self.verifiers.get((name, role))


ACCOUNTS = Accounts(
    make_verifier("node", "node", "node password", iterations=ITERATIONS),
    make_verifier("ann", "client", "ann's password", iterations=ITERATIONS),
    make_verifier("twin", "node", "one word", iterations=ITERATIONS),
)
KEEPER = Doorkeeper(ACCOUNTS, "server password", iterations=ITERATIONS, decoy_key=b"d" * 32)

Tamper = Callable[[str, Message], Message]


def converse(joiner: JoinerProof, master: MasterProof, tamper: Tamper = lambda _, message: message) -> list[Message]:
    """Carry messages until both are done; answers all of them."""
    said: list[Message] = []
    message: Message | None = joiner.start()
    while message is not None:
        said.append(message)
        answer = master.answer(tamper("to master", message))
        said.append(answer)
        message = joiner.answer(tamper("to joiner", answer))
    return said


def pair(
    credentials: Credentials = NODE,
    binding: Binding = BINDING,
    theirs: Binding | None = None,
    keeper: Doorkeeper = KEEPER,
) -> tuple[JoinerProof, MasterProof]:
    """A joiner and a master who may see different sessions."""
    return JoinerProof(credentials, binding), MasterProof(keeper, binding if theirs is None else theirs)


def both_refuse(joiner: JoinerProof, master: MasterProof) -> None:
    """Nobody was proven and nobody can be asked again."""
    assert not joiner.proven
    assert not master.proven
    assert master.name == ""


def client(binding: Binding = BINDING) -> Binding:
    """The same session, joined as a client."""
    return attrs.evolve(binding, role=Role.CLIENT)


def test_right_passwords_prove_both() -> None:
    """With both passwords right, both are proven in four exchanges, and the master knows the account."""
    joiner, master = pair()
    assert len(converse(joiner, master)) == 8
    assert joiner.proven
    assert master.proven
    assert master.name == "node"


def test_no_message_bears_a_password_and_none_is_long() -> None:
    """No password crosses the wire; every message is far below the limit."""
    for message in converse(*pair()):
        assert "password" not in repr(message)
        assert sum(len(str(value)) for value in message.values()) < 600


def test_client_without_server_password_proves_in_two() -> None:
    """A client without the server password is done in two exchanges; the master has shown the verifier."""
    joiner, master = pair(Credentials("ann", "ann's password"), client())
    assert len(converse(joiner, master)) == 4
    assert joiner.proven
    assert master.proven


def test_client_checks_that_the_master_holds_the_verifier() -> None:
    """A client without the server password refuses a master whose signature is not of its account."""
    for signature in ("v=" + "A" * 43 + "=", "e=other-error", ""):
        joiner, master = pair(Credentials("ann", "ann's password"), client())
        second = joiner.answer(master.answer(joiner.start()))
        assert second is not None
        with pytest.raises(ProofError, match="this master does not know the password of user 'ann'"):
            joiner.answer({"step": 2, "scram": signature})
        assert not joiner.proven


def test_client_with_server_password_asks_for_it() -> None:
    """A client that was given the server password has the master prove it."""
    joiner, master = pair(Credentials("ann", "ann's password", "server password"), client())
    assert len(converse(joiner, master)) == 8


@pytest.mark.parametrize(
    ("credentials", "role"),
    [
        (Credentials("node", "wrong", "server password"), Role.NODE),
        (Credentials("nobody", "node password", "server password"), Role.NODE),
        (Credentials("ann", "ann's password", "server password"), Role.NODE),
        (Credentials("node", "node password"), Role.CLIENT),
    ],
    ids=["password", "unknown", "client as node", "node as client"],
)
def test_wrong_account_is_refused_alike(credentials: Credentials, role: Role) -> None:
    """Wrong password, unknown user and the wrong role get the same messages and the same refusal."""
    joiner, master = pair(credentials, attrs.evolve(BINDING, role=role))
    first = master.answer(joiner.start())
    assert set(first) == {"step", "scram"}
    assert ",i=4096" in str(first["scram"])
    with pytest.raises(ProofError, match=r"^a peer failed the proof: wrong password, unknown account, or another TLS"):
        master.answer(joiner.answer(first))
    with pytest.raises(ProofError, match=f"the master refused user '{credentials.user}' as a {role.value}"):
        joiner.answer(REFUSED)
    both_refuse(joiner, master)


def test_unknown_account_has_a_lasting_salt_of_the_same_shape() -> None:
    """A made-up salt is the same at each try and after a restart, differs by name, and looks like a real one."""

    def salt(user: str, keeper: Doorkeeper) -> str:
        joiner, master = pair(Credentials(user, "p", "s"), keeper=keeper)
        return str(master.answer(joiner.start())["scram"]).split(",")[1]

    later = Doorkeeper(ACCOUNTS, "server password", iterations=ITERATIONS, decoy_key=b"d" * 32)
    assert salt("ghost", KEEPER) == salt("ghost", later) != salt("ghost2", KEEPER)
    assert salt("node", KEEPER) == salt("node", later)
    assert len(salt("ghost", KEEPER)) == len(salt("node", KEEPER))


def test_wrong_server_password_is_noticed_by_the_joiner() -> None:
    """A master that holds the verifier but not the server password is refused, and told nothing more."""
    keeper = Doorkeeper(ACCOUNTS, "another", iterations=ITERATIONS)
    joiner, master = pair(keeper=keeper)
    with pytest.raises(ProofError, match="this master does not know the server password"):
        converse(joiner, master)
    both_refuse(joiner, master)


def test_master_is_not_proven_to_a_joiner_without_the_server_password() -> None:
    """The master takes no joiner for proven that cannot sign run 2."""
    joiner, master = pair()
    third = joiner.answer(master.answer(joiner.answer(master.answer(joiner.start()))))
    master.answer(third)
    with pytest.raises(ProofError):
        master.answer({"step": 4, "scram": "v=" + "A" * 43 + "="})
    assert not master.proven


def test_same_word_for_both_passwords_works() -> None:
    """Both passwords may be the same word; the runs still have different keys."""
    keeper = Doorkeeper(ACCOUNTS, "one word", iterations=ITERATIONS)
    joiner, master = pair(Credentials("twin", "one word", "one word"), keeper=keeper)
    said = converse(joiner, master)
    assert joiner.proven
    assert master.proven
    assert "one word" not in repr(said)


@pytest.mark.parametrize(
    "change",
    [
        {"exporter": b"y" * 32},
        {"certificate_hash": b"d" * 32},
        {"joiner_hello": canonical({"role": "node", "features": []})},
        {"master_hello": canonical({"protocol": 0})},
    ],
    ids=["exporter", "certificate", "joiner's hello", "master's hello"],
)
def test_somebody_in_the_middle_is_refused_by_both(change: dict[str, bytes]) -> None:
    """Another session, certificate or Hello on either end makes both ends refuse."""
    joiner, master = pair(theirs=attrs.evolve(BINDING, **change))
    first = master.answer(joiner.start())
    second = joiner.answer(first)
    with pytest.raises(ProofError):
        master.answer(second)
    with pytest.raises(ProofError):
        joiner.answer({"step": 2, "scram": "v=" + "A" * 43 + "="})
    both_refuse(joiner, master)


def test_role_is_bound() -> None:
    """A role rewritten on the way breaks the proof, even where both roles have that name and password."""
    both = Accounts(*(make_verifier("x", role, "p", b"s" * 16, ITERATIONS) for role in ("node", "client")))
    keeper = Doorkeeper(both, "s", iterations=ITERATIONS)
    joiner, master = pair(Credentials("x", "p", "s"), client(), BINDING, keeper)
    with pytest.raises(ProofError):
        converse(joiner, master)


def test_leaving_out_run_two_is_bound() -> None:
    """Nobody on the way can make a client do without the proof of the server password."""
    joiner, master = pair(Credentials("ann", "ann's password", "server password"), client())

    def tamper(_: str, message: Message) -> Message:
        return message | {"mutual": False} if "mutual" in message else message

    with pytest.raises(ProofError):
        converse(joiner, master, tamper)
    both_refuse(joiner, master)


def test_joiner_who_asks_for_run_two_is_content_with_nothing_less() -> None:
    """A master cannot end the conversation after run 1 when run 2 was asked for."""
    joiner, master = pair()
    second = master.answer(joiner.answer(master.answer(joiner.start())))
    with pytest.raises(ProofError):
        joiner.answer({"step": 2, "scram": second["scram"]})
    assert not joiner.proven


def test_node_must_ask_for_run_two() -> None:
    """A node without the server password is refused at home, and by the master if it tries all the same."""
    with pytest.raises(ProofError, match="a node must know the server password"):
        JoinerProof(Credentials("node", "node password"), BINDING)
    joiner = JoinerProof(Credentials("node", "node password"), client())
    with pytest.raises(ProofError, match="a node must ask"):
        MasterProof(KEEPER, BINDING).answer(joiner.start())


def test_a_node_with_an_account_of_its_own_needs_no_server_password() -> None:
    """Run 1 shows that the master holds the verifier of a secret that nobody else has."""
    keeper = Doorkeeper(
        Accounts(make_verifier("~burst-1", "node", "its own", iterations=ITERATIONS)), "server password",
        iterations=ITERATIONS,
    )  # fmt: skip
    joiner, master = pair(Credentials("~burst-1", "its own"), keeper=keeper)
    converse(joiner, master)
    assert (joiner.proven, master.proven, master.name) == (True, True, "~burst-1")
    false = Doorkeeper(
        Accounts(make_verifier("~burst-1", "node", "another", iterations=ITERATIONS)), "server password",
        iterations=ITERATIONS,
    )  # fmt: skip
    joiner, master = pair(Credentials("~burst-1", "its own"), keeper=false)
    with pytest.raises(ProofError):
        converse(joiner, master)
    both_refuse(joiner, master)
    assert master.claimed == "~burst-1"


def test_nobody_can_tell_which_nodes_have_an_account_of_their_own() -> None:
    """Unknown ones are answered with as many iterations as known ones, which have fewer than people's."""
    known = make_verifier("~burst-1", "node", "its own", iterations=ITERATIONS)
    keeper = Doorkeeper(Accounts(known), "server password", iterations=3 * ITERATIONS, decoy_key=b"d" * 32)
    asked = {name: keeper.find(name, Role.NODE)[0] for name in ("~burst-1", "~burst-2", "desk-1")}
    assert [each.iterations for each in asked.values()] == [ITERATIONS, ITERATIONS, 3 * ITERATIONS]
    assert {len(each.salt) for each in asked.values()} == {16}


def test_an_account_that_changes_during_the_proof_is_refused() -> None:
    """A secret that serves once is not good for two who began at a time."""
    accounts = Accounts(make_verifier("~burst-1", "node", "once", iterations=ITERATIONS))
    keeper = Doorkeeper(accounts, "server password", iterations=ITERATIONS)
    joiner, master = pair(Credentials("~burst-1", "once"), keeper=keeper)
    answer = joiner.answer(master.answer(joiner.start()))
    accounts.verifiers["~burst-1", "node"] = make_verifier("~burst-1", "node", "its own", iterations=ITERATIONS)
    with pytest.raises(ProofError, match="changed or removed"):
        master.answer(answer)
    del accounts.verifiers["~burst-1", "node"]
    joiner, master = pair(Credentials("~burst-1", "once"), keeper=keeper)
    with pytest.raises(ProofError):
        converse(joiner, master)


def test_replay_of_a_run_is_refused_by_both() -> None:
    """Messages recorded in one run serve in no other, not even within the same session."""
    said = converse(*pair())
    master = MasterProof(KEEPER, BINDING)
    master.answer(said[0])
    with pytest.raises(ProofError):
        master.answer(said[2])
    joiner = JoinerProof(NODE, BINDING)
    joiner.start()
    with pytest.raises(ProofError):
        joiner.answer(said[1])


def test_nothing_of_run_one_serves_in_run_two() -> None:
    """A joiner who throws run 1's words back at the master in run 2 gets nowhere, nor does a master."""
    keeper = Doorkeeper(ACCOUNTS, "one word", iterations=ITERATIONS)
    joiner, master = pair(Credentials("twin", "one word", "one word"), keeper=keeper)
    said: list[Message] = [joiner.start()]
    for _ in range(2):
        said.append(master.answer(said[-1]))
        said.append(joiner.answer(said[-1]) or {})
    with pytest.raises(ProofError):
        joiner.answer({"step": 3, "scram": said[2]["scram"]})
    with pytest.raises(ProofError):
        master.answer({"step": 3, "scram": said[1]["scram"]})
    both_refuse(joiner, master)


def test_master_is_no_oracle_for_another_master() -> None:
    """A hostile master that relays run 2 from the true one in another session fails at the joiner."""
    mine = attrs.evolve(BINDING, exporter=b"z" * 32)
    joiner, hostile = pair(binding=mine)  # the hostile one even knows the account
    helper, true = pair()
    hers = hostile.answer(joiner.answer(hostile.answer(joiner.start())))
    true_second = true.answer(helper.answer(true.answer(helper.start())))
    third = joiner.answer(hers | {key: true_second[key] for key in ("salt", "iterations", "back")})
    relayed = true.answer(third)
    with pytest.raises(ProofError, match="does not know the server password"):
        joiner.answer(relayed)


def test_run_two_is_tied_to_its_run_one() -> None:
    """Run 2 of one conversation does not fit another of the same session and the same passwords."""
    (joiner, master), (helper, other) = pair(), pair()
    second = master.answer(joiner.answer(master.answer(joiner.start())))
    foreign = other.answer(helper.answer(other.answer(helper.start())))
    third = joiner.answer(second | {"back": foreign["back"]})
    with pytest.raises(ProofError):
        joiner.answer(other.answer(third))


def test_order_and_single_use() -> None:
    """Each machine takes its messages once, in order, and is dead after an error or the end."""
    joiner, master = pair()
    said = converse(joiner, master)
    for machine in (joiner, master):
        with pytest.raises(ProofError, match="has ended"):
            machine.answer(said[0])
    with pytest.raises(ProofError, match="serves once"):
        joiner.start()
    late = MasterProof(KEEPER, BINDING)
    with pytest.raises(ProofError, match="out of turn"):
        late.answer(said[2])
    with pytest.raises(ProofError, match="has ended"):
        late.answer(said[0])
    with pytest.raises(ProofError):
        JoinerProof(NODE, BINDING).answer(said[1])


@pytest.mark.parametrize(
    "changes", [{"iterations": 4095}, {"iterations": 600_001}, {"salt": b"s"}, {"iterations": True}]
)
def test_bounds_of_what_the_master_proposes(changes: Message) -> None:
    """A master cannot make the joiner work for hours, nor use a salt that is none."""
    joiner, master = pair()
    second = master.answer(joiner.answer(master.answer(joiner.start())))
    with pytest.raises(ProofError):
        joiner.answer(second | changes)


def test_bounds_of_run_one() -> None:
    """Ten million iterations, which scramp would take, are refused before any is done."""
    joiner, master = pair()
    first = master.answer(joiner.start())
    greedy = str(first["scram"]).replace("i=4096", "i=9999999")
    with pytest.raises(ProofError, match="more iterations than is reasonable"):
        joiner.answer({"step": 1, "scram": greedy})


def test_joiner_cannot_make_the_master_work() -> None:
    """The master spends no more than the agreed iterations on a joiner."""
    joiner, master = pair()
    third = joiner.answer(master.answer(joiner.answer(master.answer(joiner.start()))))
    assert third is not None
    with pytest.raises(ProofError, match="other iterations"):
        master.answer(third | {"scram": str(third["scram"]).replace("i=4096", "i=9999999")})


@given(step=st.integers(0, 7), cut=st.integers(0, 200))
@settings(max_examples=60, deadline=None)
def test_truncated_messages_give_only_proof_errors(step: int, cut: int) -> None:
    """A message cut short anywhere proves nobody and raises nothing but ProofError."""
    count = -1

    def tamper(_: str, message: Message) -> Message:
        nonlocal count
        count += 1
        if count == step and isinstance(text := message.get("scram"), str):
            return message | {"scram": text[: min(cut, len(text) - 1)]}
        return message

    joiner, master = pair()
    if step == 7:  # the last word has no content to cut
        return
    with pytest.raises(ProofError):
        converse(joiner, master, tamper)
    assert not joiner.proven


plain = st.none() | st.booleans() | st.integers() | st.text(max_size=40) | st.binary(max_size=40)
words = st.dictionaries(st.sampled_from(["scram", "step", "mutual", "salt", "back", "iterations", "x"]), plain)
scram = st.text(alphabet="nrsicpve=,a1y@ \u00e9\ud800\u0000", max_size=60)


@given(
    message=plain
    | st.lists(plain)
    | words
    | st.fixed_dictionaries({"step": st.just(1), "mutual": st.just(True), "scram": scram}),
    steps=st.integers(0, 3),
)
@settings(max_examples=300, deadline=None)
def test_garbage_gives_only_proof_errors(message: object, steps: int) -> None:
    """Whatever a stranger says at whatever step, only ProofError comes out, and no text of his in it."""
    joiner, master = pair()
    turn: Message | None = joiner.start()
    for _ in range(steps):
        assert turn is not None
        turn = joiner.answer(master.answer(turn))
    if isinstance(message, dict) and message.get("step") == 1:
        message = message | {"step": steps + 1}
    # at the last step the joiner has checked everything already and only hears that the master is done too
    for machine in (master, joiner)[: 1 if steps == 3 else 2]:
        with pytest.raises(ProofError):
            machine.answer(message)
        assert not machine.proven


@given(head=st.sampled_from(["n,,", "y,,", "p=tls-server-end-point,,", "p=tls-exporter,,", ""]), tail=scram)
@settings(max_examples=200, deadline=None)
def test_garbled_first_words(head: str, tail: str) -> None:
    """First words with other flags of channel binding, or none, never get to a second step that proves."""
    master = MasterProof(KEEPER, BINDING)
    with contextlib.suppress(ProofError):
        master.answer({"step": 1, "mutual": True, "scram": head + tail})
    with pytest.raises(ProofError):
        master.answer({"step": 2, "scram": "c=biws,r=x,p=" + "A" * 43 + "="})


def test_without_channel_binding_nobody_gets_in() -> None:
    """A joiner that knows the password but refuses the binding is refused."""
    import scramp

    for mechanisms, channel in ((["SCRAM-SHA-256"], None), (["SCRAM-SHA-256"], ("tls-server-end-point", b"x"))):
        plain_client = scramp.ScramClient(mechanisms, "node", "node password", channel_binding=channel)
        with pytest.raises(ProofError):
            MasterProof(KEEPER, BINDING).answer({"step": 1, "mutual": True, "scram": plain_client.get_client_first()})


def test_long_messages_are_refused_before_they_are_parsed() -> None:
    """More than 2 KiB is no proof."""
    with pytest.raises(ProofError, match="too long"):
        MasterProof(KEEPER, BINDING).answer({"step": 1, "mutual": True, "scram": "n" * 2100})
    with pytest.raises(ProofError, match="too long"):
        MasterProof(KEEPER, BINDING).answer({"step": 1, "mutual": True, "scram": "é" * 1100})


@pytest.mark.parametrize("password", ["", "\u00ad", "a\ud800", "a\x07b", "x" * 1025, "\u0627a"])
def test_odd_passwords_are_clear_errors(password: str) -> None:
    """An empty, invisible, unencodable, unprintable, endless or mixed-direction password is named, not shown."""
    with pytest.raises(ProofError, match="the password") as caught:
        JoinerProof(Credentials("node", password, "s"), BINDING)
    assert not password or repr(password)[1:-1] not in str(caught.value)
    with pytest.raises(ProofError, match="the server password"):
        JoinerProof(Credentials("node", "p", password), BINDING)
    with pytest.raises(ProofError, match="the password"):
        make_verifier("node", "node", password, iterations=ITERATIONS)
    with pytest.raises(ProofError, match="the server password"):
        Doorkeeper(ACCOUNTS, password, iterations=ITERATIONS)


def test_passwords_typed_differently_are_one() -> None:
    """Composed and decomposed letters are the same password, in both runs; names with commas work."""
    accounts = Accounts(make_verifier("Zo\u00eb, a=b", "node", "caf\u00e9", iterations=ITERATIONS))
    keeper = Doorkeeper(accounts, "na\u00efve", iterations=ITERATIONS)
    joiner, master = pair(Credentials("Zoe\u0308, a=b", "cafe\u0301", "nai\u0308ve"), keeper=keeper)
    converse(joiner, master)
    assert master.name == "Zo\u00eb, a=b"


def test_secrets_are_masked() -> None:
    """No repr shows a password, a key or the exporter's value."""
    verifier = make_verifier("node", "node", "p", b"s" * 16, ITERATIONS)
    shown = repr([Credentials("u", "hidden-one", "hidden-two"), verifier, BINDING, KEEPER, *pair()])
    assert "hidden" not in shown
    assert "xxxx" not in shown
    for part in (verifier.salt, verifier.stored_key, verifier.server_key):
        assert repr(part) not in shown


names = st.text(alphabet=st.characters(codec="ascii", exclude_categories=["C"]), min_size=1, max_size=30)


@given(name=names.filter(str.strip), salt=st.binary(min_size=16, max_size=64))
@settings(max_examples=50, deadline=None)
def test_verifier_survives_its_line(name: str, salt: bytes) -> None:
    """A verifier written as a line and read again is the same, whatever is in the name."""
    verifier = make_verifier(name, "client", "p", salt, ITERATIONS)
    assert "\n" not in verifier.to_line()
    assert Verifier.from_line(verifier.to_line()) == verifier


@given(st.text(max_size=120))
def test_other_lines_are_value_errors(line: str) -> None:
    """A line that is no verifier raises ValueError, whose text holds nothing of it."""
    with pytest.raises(ValueError, match=r"^not a line|^the role|^iterations|^a key"):
        Verifier.from_line(line)


@pytest.mark.parametrize(
    ("old", "new"),
    [("SHA-256", "SHA-1"), (":node:", ":master:"), ("$4096:", "$1:"), ("$4096:", "$99999999:"), ("=$", "=$AAAA")],
)
def test_lines_out_of_bounds(old: str, new: str) -> None:
    """Another mechanism, role, count or key length is refused."""
    line = make_verifier("n", "node", "p", iterations=ITERATIONS).to_line()
    assert old in line
    with pytest.raises(ValueError):
        Verifier.from_line(line.replace(old, new, 1))


values = st.recursive(
    plain.filter(lambda value: not isinstance(value, str) or value.isprintable()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(values, values)
def test_canonical_tells_values_apart(one: object, two: object) -> None:
    """Two different values never have the same canonical bytes; the order in a dict does not matter."""
    assert (canonical(one) == canonical(two)) == (repr(_sorted(one)) == repr(_sorted(two)))


def _sorted(value: object) -> object:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def test_canonical_takes_basic_types_only() -> None:
    """A tuple is a list, as on the wire; an enum, which would arrive as a plain number, is refused."""
    assert canonical((1, "a")) == canonical([1, "a"]) != canonical(["1", "a"])
    for value in (Role.NODE, object(), {1}, "\ud800"):
        with pytest.raises(ProofError):
            canonical([value])


@pytest.mark.parametrize("change", [{"exporter": b""}, {"certificate_hash": b"x"}, {"role": Role.MASTER}])
def test_binding_must_be_whole(change: dict[str, object]) -> None:
    """No binding without an exporter value, a certificate and a role that can join."""
    with pytest.raises(ProofError):
        attrs.evolve(BINDING, **change)
