"""Malformed agents' files of many kinds, each made from a good one, by a seed."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch as th

from tests.agents import making
from tests.agents.making import Tensor, call, integer, pack, pack_policy, payload, text


@dataclass
class Fuzzer:
    """Makes bad files of a good one.

    :param agent: a good zip: DQN on CartPole.
    :param card: the card beside it, for a file named ``agent.zip``.
    :param canary: a file that no payload may write.
    :param rng: where the malformation is, and how large.
    """

    agent: bytes
    card: dict[str, Any]
    canary: str
    rng: np.random.Generator

    def __post_init__(self) -> None:
        self.members = making.unpack(self.agent)
        state = th.load(io.BytesIO(self.members["policy.pth"]), weights_only=True)
        self.state = dict(state)
        self.tensors, self.records = making.describe_state(self.state)

    def write(self, kind: str, folder: Path) -> Path:
        """Write the malformed agent into a new folder; return the path to open."""
        folder.mkdir(parents=True)
        path = folder / "agent.zip"
        made = KINDS[kind](self)
        if callable(made):  # no bytes but something else in the file system
            made(path)
        else:
            path.write_bytes(made)
        return path

    def pick(self, *values: Any) -> Any:
        return values[self.rng.integers(len(values))]

    def agent_with(self, **members: bytes) -> bytes:
        named = {name.replace("__", "."): content for name, content in members.items()}
        return pack({**self.members, **named})

    def with_policy(self, policy: bytes) -> bytes:
        return self.agent_with(policy__pth=policy)

    def with_tensor(self, tensor: Tensor | bytes, before: bytes = b"") -> bytes:
        """Return an agent, one of its tensors replaced."""
        name = self.pick(*self.tensors)
        pickled = making.state_pickle(list({**self.tensors, name: tensor}.items()), before)
        return self.with_policy(pack_policy(pickled, self.records))

    def changed_tensor(self, **changes: Any) -> bytes:
        """Return an agent, the description of one of its weights changed."""
        name = self.pick(*(name for name in self.tensors if name.endswith("weight")))
        tensors = {**self.tensors, name: self.tensors[name].but(**changes)}
        pickled = making.state_pickle(list(tensors.items()))
        return self.with_policy(pack_policy(pickled, self.records))

    def with_state(self, state: dict[str, Any]) -> bytes:
        buffer = io.BytesIO()
        th.save(state, buffer)
        return self.with_policy(buffer.getvalue())

    def with_data(self, **changes: Any) -> bytes:
        settings = {**json.loads(self.members["data"]), **changes}
        return self.agent_with(data=json.dumps(settings).encode())

    def with_card(self, content: bytes | dict[str, Any] | None = None, **changes: Any) -> Any:
        """Return what writes the good agent beside a bad card."""
        if content is None:
            content = {**self.card, **changes}
        card = content if isinstance(content, bytes) else json.dumps(content).encode()

        def write(path: Path) -> None:
            path.write_bytes(self.agent)
            path.with_name("card.json").write_bytes(card)

        return write

    # zips

    def flip(self, content: bytes, begin: int, end: int) -> bytes:
        changed = bytearray(content)
        changed[self.rng.integers(begin, end)] ^= 1 << self.rng.integers(8)
        return bytes(changed)

    def flip_in_data(self) -> bytes:
        name = self.pick(*self.members)
        begin = self.agent.index(self.members[name])
        return self.flip(self.agent, begin, begin + len(self.members[name]))

    def flip_in_policy(self) -> bytes:
        """Flip a bit of a record inside policy.pth; the outer checksum fits again."""
        record = self.records[self.pick(*self.records)]
        policy = self.members["policy.pth"]
        begin = policy.index(record)
        return self.with_policy(self.flip(policy, begin, begin + len(record)))

    def flip_in_header(self) -> bytes:
        """Flip a bit of what both headers of a member say: flags to the name's length."""
        with zipfile.ZipFile(io.BytesIO(self.agent)) as file:
            offset = self.pick(*(info.header_offset for info in file.infolist()))
        begin = self.pick(offset, self.agent.index(b"PK\1\2") + 2)
        return self.flip(self.agent, begin + 4, begin + 28)

    def flip_at_end(self) -> bytes:
        return self.flip(self.agent, len(self.agent) - 22, len(self.agent))

    def insert(self) -> bytes:
        at, noise = self.rng.integers(len(self.agent)), self.rng.bytes(self.rng.integers(1, 99))
        return self.agent[:at] + noise + self.agent[at:]

    def remove(self) -> bytes:
        at = self.rng.integers(len(self.agent) - 99)
        return self.agent[:at] + self.agent[at + self.rng.integers(1, 99) :]

    def lying_size(self) -> bytes:
        """Let the directory declare another size of a member, of up to 4 GB."""
        changed = bytearray(self.agent)
        at = changed.index(b"PK\1\2") + 20
        size = int(self.pick(0, 1, 2**20, 2**31, 2**32 - 1, self.rng.integers(2**32)))
        changed[at : at + 8] = struct.pack("<2L", size, size)
        return bytes(changed)

    def lying_count(self) -> bytes:
        changed = bytearray(self.agent)
        n = int(self.pick(0, 5, 7, 65535))
        changed[-14:-10] = struct.pack("<2H", n, n)
        return bytes(changed)

    def bad_name(self, members: dict[str, bytes]) -> bytes:
        names = (
            "../agent.py",
            "/tmp/x",
            "a/../../x",
            "C:\\x",
            "a//b",
            "..",
            "\u202ex",
            "x\n",
            "a/",
        )
        return pack({**members, self.pick(*names): b"x"})

    def special_member(self) -> bytes:
        """Add a member that is a link, a folder or a device."""
        info = zipfile.ZipInfo(self.pick("link", "policy.pth"))
        info.external_attr = (self.pick(0o120777, 0o040755, 0o020666, 0o010644) << 16) & 2**32 - 1
        buffer = io.BytesIO(pack({k: v for k, v in self.members.items() if k != info.filename}))
        with zipfile.ZipFile(buffer, "a") as file:
            file.writestr(info, self.pick("/etc/passwd", "../../x"))
        return buffer.getvalue()

    def twice(self, members: dict[str, bytes], name: str) -> bytes:
        again = self.pick(name, name.upper(), name.title())
        pairs = [*members.items(), (again, b"")]
        return self.quiet_pack(pairs if self.pick(True, False) else pairs[::-1])

    @staticmethod
    def quiet_pack(pairs: list[tuple[str, bytes]]) -> bytes:
        """Pack names that zipfile would warn of."""
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return pack(pairs)

    def bomb(self) -> bytes:
        """Return zeros that unpack to hundreds of times the file."""
        zeros = bytes(int(self.pick(10, 60)) * 2**20)
        method = self.pick(zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
        return pack({**self.members, self.pick("data", "policy.pth", "x"): zeros}, method)

    def nested_bomb(self) -> bytes:
        zeros = bytes(60 * 2**20)
        records = {f"archive/{name}": one for name, one in self.records.items()}
        bomb = pack({"archive/data.pkl": zeros, **records}, zipfile.ZIP_DEFLATED)
        return self.with_policy(bomb)

    def sparse(self) -> Any:
        def write(path: Path) -> None:
            with path.open("wb") as file:
                file.truncate(int(self.pick(2**30, 2**40)))

        return write

    # pickles

    def payload_policy(self) -> bytes:
        """Hide a call in policy.pth, in one of torch's three formats, or before the tensors."""
        poison = payload(self.canary)
        whole = b"\x80\x02" + poison + b"."
        return self.pick(
            lambda: self.with_policy(whole),
            lambda: self.with_policy(pickle.dumps(0x1950A86A20F9469CFC6C, 2) + whole),
            lambda: self.with_policy(pack_policy(whole, self.records)),
            lambda: self.with_policy(pack_policy(whole, {"constants.pkl": whole})),
            lambda: self.with_tensor(poison),
            lambda: self.with_tensor(self.tensors["q_net.q_net.0.bias"], before=poison + b"0"),
            lambda: self.changed_tensor(hooks=poison),
            lambda: self.with_policy(tar_of({"pickle": whole, "storages": whole})),
        )()

    def greedy_global(self) -> bytes:
        """Call what torch's weights_only allows, with arguments that take memory or crash."""
        huge = integer(self.pick(10**9, 10**12, 2**62))
        shape = b"(" + huge + huge + b"t"
        dtype = b"ctorch\nfloat32\n"
        opcodes = self.pick(
            call("builtins", "bytearray", huge),
            call("__builtin__", "bytearray", huge),
            call("builtins", "list", b"(" + integer(1) * 9 + b"t"),
            call("collections", "Counter", text("x")),
            call("torch", "Size", shape),
            call(
                "torch._utils", "_rebuild_meta_tensor_no_storage", dtype + shape + shape + b"\x89"
            ),
            call("torch._utils", "_rebuild_qtensor", integer(0) + shape),
            call("torch._utils", "_rebuild_sparse_tensor", dtype + shape),
            call("torch", "device", text("cuda")),
            call("_codecs", "encode", text("x" * 99) + text("utf-8")),
            call("torch._tensor", "_rebuild_from_type_v2", dtype + shape),
        )
        return self.with_tensor(opcodes)

    def odd_pickle(self) -> bytes:
        """Write a pickle that is no state dict, or none at all."""
        good = making.state_pickle(list(self.tensors.items()))
        pairs = list(self.tensors.items())
        pickled = self.pick(
            b"",
            b"\x80\x02.",
            b"\x80\x04" + good[2:],
            b"\x80\x02N.",
            b"\x80\x02}.",
            b"\x80\x02" + b")" * 9 + b"t.",
            good[: self.rng.integers(len(good))],
            good + good,
            good[:-1] + b"\x85" * 100_000 + b".",
            good[:-1] + (b"(" * 100_000) + b".",
            b"\x80\x02)" + b"q\x00h\x00\x86" * 60 + b".",
            b"\x80\x02}q\x00" + text("a") + b"h\x00s.",
            b"\x80\x02]q\x00h\x00a.",
            good[:-1] + b"q\x00" * (2**20) + b".",
            making.state_pickle([*pairs, pairs[0]]),
            making.state_pickle([*pairs, ("x" * 999, pairs[0][1])]),
            good[:-1] + b"}" + text("_metadata") + b"}s}b.",
        )
        return self.with_policy(pack_policy(pickled, self.records))

    def odd_tensor(self) -> bytes:
        """Describe a tensor that its numbers cannot be."""
        huge = int(self.pick(10**6, 10**10, 2**62, 2**63, 2**400))
        changes = self.pick(
            {"shape": (huge, huge), "strides": (0, 0)},
            {"shape": (huge, huge), "strides": (huge, 1)},
            {"strides": (huge, huge)},
            {"strides": (-1, -1)},
            {"offset": huge},
            {"offset": -1},
            {"numel": huge},
            {"numel": -1},
            {"numel": b"\x88"},
            {"numel": text("1")},
            {"shape": (1,) * 50, "strides": (1,) * 50},
            {"shape": (4, 16), "strides": (1,)},
            {"key": self.pick("../data", "-1", "99", "data.pkl", "", "0" * 99)},
            {"device": self.pick("meta", "hpu", "cuda:99999999", "x" * 99, "privateuseone")},
            {"kind": self.pick("UntypedStorage", "Tensor", "QInt8Storage", "load", "x" * 99)},
            {"rebuild": self.pick("_rebuild_parameter", "_rebuild_wrapper_subclass", "x")},
            {"hooks": b"N"},
        )
        return self.changed_tensor(**changes)

    def odd_record(self) -> bytes:
        """Let the numbers differ from their description."""
        name = self.pick(*self.records)
        records = dict(self.records)
        change = self.pick("short", "long", "missing", "extra", "huge")
        if change == "missing":
            del records[name]
        elif change in ("extra", "huge"):
            records[self.pick("data/77", "constants.pkl", "code/x.py", "version")] = b"1" * 99
        else:
            records[name] = records[name][:-4] if change == "short" else records[name] + b"\0" * 4
        pickled = making.state_pickle(list(self.tensors.items()))
        return self.with_policy(pack_policy(pickled, records))

    def shared_numbers(self) -> bytes:
        """Describe hundreds of large tensors that share one record."""
        wide = Tensor("0", (2**18,), (1,), 2**18)
        pickled = making.state_pickle([(f"q_net.{i}", wide) for i in range(400)])
        return self.with_policy(pack_policy(pickled, {"data/0": bytes(2**20)}))

    # tensors

    def other_state(self) -> bytes:
        """Save tensors of another shape, type or name, or no numbers."""
        name = self.pick(*self.state)
        tensor = self.state[name]
        spoilt = tensor.clone()
        spoilt.view(-1)[self.rng.integers(tensor.numel())] = self.pick(np.nan, np.inf, -np.inf)
        changed = self.pick(
            {name: th.cat([tensor, tensor])},
            {name: tensor[:-1]},
            {name: tensor.double()},
            {name: tensor.half()},
            {name: tensor.long()},
            {name: tensor.flatten().to_sparse()},
            {name: spoilt},
            {name: 1.0},
            {name: None},
            {"extra.weight": th.zeros(3)},
            {"q_net.q_net.0.weight": th.zeros(16, 4, 1)},
        )
        return self.with_state({**self.state, **changed})

    def fewer_tensors(self) -> bytes:
        kept = list(self.state)[: self.rng.integers(len(self.state))]
        return self.with_state({name: self.state[name] for name in kept})

    def renamed_tensors(self) -> bytes:
        old, new = self.pick(("q_net.", "net."), ("q_net_target", "actor"), (".weight", ".w"))
        return self.with_state({k.replace(old, new): v for k, v in self.state.items()})

    # settings

    def odd_data(self) -> bytes:
        content = self.pick(
            b"{",
            b"[]",
            b"null",
            b"\xff\xfe",
            b"[" * 100_000,
            b'{"a":' * 100_000,
            b'{"a": ' + b"1" * 100_000 + b"}",
            b'{"a": 1, "a": 2}',
            self.rng.bytes(1000),
        )
        return self.agent_with(data=content)

    def odd_settings(self) -> bytes:
        return self.with_data(
            **self.pick(
                {"policy_class": {"__module__": "os", "__init__": "<function system.__init__>"}},
                {"policy_class": {"__module__": "mine.policies"}},
                {"exploration_rate": self.pick(7, -1, "x", [], True, float("nan"))},
                {"policy_kwargs": self.pick([], "os.system", 3, None)},
                {"policy_kwargs": odd_policy_kwargs(self)},
            )
        )

    def odd_card(self) -> Any:
        return self.with_card(
            self.pick(
                b"",
                b"{",
                b"[]",
                b"{}",
                b"\xff",
                b"[" * 100_000,
                b'{"format":' * 50_000,
                b'{"format": ' + b"9" * 10_000 + b"}",
                b'{"format": 1, "format": 1, "files": {}}',
                b" " * (2**20 + 1),
                b'{"format": 1}',
                self.rng.bytes(500),
            )
        )

    def lying_card(self) -> Any:
        files = self.card["files"]
        told = files["agent.zip"]
        odd = self.pick(
            {"agent.zip": {**told, "sha256": "0" * 64}},
            {"agent.zip": {**told, "bytes": told["bytes"] + 1}},
            {"agent.zip": {**told, "sha256": told["sha256"].upper()}},
            {"agent.zip": {"sha256": told["sha256"]}},
            {"agent.zip": "x"},
            {"other.zip": told},
            {**files, "../agent.zip": told},
            {},
            [],
        )
        return self.with_card(files=odd)

    def hostile_card(self) -> Any:
        """Name modules to import, and sizes that take memory."""
        huge = int(self.pick(2**31, 10**12, 10**39))
        box = {"type": "Box", "dtype": "float32", "low": 0, "high": 1}
        return self.with_card(
            **self.pick(
                {"format": self.pick(0, 2, True, "1", None, [])},
                {"algorithm": self.pick("os.system", "", [], {}, 3, "sac")},
                {"policy": self.pick("os.system", "pickle.loads", [], 3, "NoPolicy")},
                {"policy_kwargs": odd_policy_kwargs(self)},
                {"policy_kwargs": self.pick([], "x", 3)},
                {"exploration_rate": self.pick(2, -0.1, "x", None, True, float("nan"))},
                {"use_sde": self.pick(1, "x", True)},
                {"env_id": []},
                {"action_space": {"type": "Discrete", "n": self.pick(huge, 3, 0, -1, "2", 2.0)}},
                {"action_space": {"type": self.pick("Text", "os.system", [], None)}},
                {"observation_space": {**box, "shape": [2**20, 2**20]}},
                {"observation_space": {**box, "shape": [huge]}},
                {"observation_space": {**box, "shape": [4], "low": [0] * 5}},
                {"observation_space": {**box, "shape": [4], "dtype": "object"}},
                {"observation_space": {"type": "MultiDiscrete", "nvec": [2] * 20_000}},
                {"observation_space": {"type": "Dict", "spaces": {}}},
                {"observation_space": [[[]]]},
            )
        )

    def card_elsewhere(self) -> Any:
        """Put something else than a file where the card is."""
        kind = self.pick("link", "dangling", "folder", "pipe", "device")

        def write(path: Path) -> None:
            path.write_bytes(self.agent)
            card = path.with_name("card.json")
            if kind == "folder":
                card.mkdir()
            elif kind == "pipe":
                os.mkfifo(card)
            else:
                target = {"link": "/etc/passwd", "dangling": "../none", "device": "/dev/zero"}
                card.symlink_to(target[kind])

        return write

    def agent_elsewhere(self) -> Any:
        def write(path: Path) -> None:
            kind = self.pick("pipe", "device", "folder")
            if kind == "pipe":
                os.mkfifo(path)
            elif kind == "device":
                path.symlink_to("/dev/zero")
            else:
                path.mkdir()
                for name in ("a.zip", "b.zip"):
                    (path / name).write_bytes(self.agent)

        return write

    def something_else(self) -> bytes:
        return self.pick(
            b"",
            b"P",
            b"PK\5\6" + bytes(18),
            b"<!DOCTYPE html><title>404 Not Found</title>",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            gzip.compress(self.agent),
            tar_of(self.members),
            self.members["policy.pth"],
            self.rng.bytes(int(self.rng.integers(1, 9999))),
            b"\x80\x02" + payload(self.canary) + b".",
        )


def odd_policy_kwargs(fuzzer: Fuzzer) -> dict[str, Any]:
    """Return policy_kwargs that name modules, or sizes that take memory or time."""
    huge = int(fuzzer.pick(2**20, 10**9, 10**30))
    deep: Any = 1
    for _ in range(30):
        deep = [deep]
    return fuzzer.pick(
        {"net_arch": [huge, huge]},
        {"net_arch": [2**20] * 60},
        {"net_arch": [1] * 100_000},
        {"net_arch": fuzzer.pick(-1, [0.5], [[]], "x", {"pi": huge}, deep, [-4], [None])},
        {"n_critics": 10**6},
        {"activation_fn": fuzzer.pick("os.system", "<class 'subprocess.Popen'>", [], 3, "ReLU")},
        {"features_extractor_class": fuzzer.pick("os.system", "torch.hub.load", [], 3)},
        {"features_extractor_class": "stable_baselines3.common.torch_layers.NatureCNN"},
        {"features_extractor_kwargs": fuzzer.pick({"activation_fn": []}, {"x": huge}, 3, "x")},
        {"nonsense": fuzzer.pick(1, "x" * 999, {"a": "b" * 999})},
        {"observation_space": 1},
    )


def tar_of(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _without(f: Fuzzer) -> bytes:
    return pack({name: content for name, content in f.members.items() if name != "policy.pth"})


def _legacy(f: Fuzzer) -> bytes:
    buffer = io.BytesIO()
    th.save(f.state, buffer, _use_new_zipfile_serialization=False)
    return f.with_policy(buffer.getvalue())


def _records(f: Fuzzer) -> dict[str, bytes]:
    return making.unpack(f.members["policy.pth"])


#: Name of a kind -> what makes one; bytes, or a function that writes something to a path.
KINDS: dict[str, Callable[[Fuzzer], Any]] = {
    "truncated": lambda f: f.agent[: f.rng.integers(len(f.agent))],
    "bit flipped in a member": Fuzzer.flip_in_data,
    "bit flipped in policy.pth": Fuzzer.flip_in_policy,
    "bit flipped in a header": Fuzzer.flip_in_header,
    "bit flipped in the end": Fuzzer.flip_at_end,
    "bytes inserted": Fuzzer.insert,
    "bytes removed": Fuzzer.remove,
    "bytes in front": lambda f: f.rng.bytes(int(f.rng.integers(1, 99))) + f.agent,
    "bytes behind": lambda f: f.agent + f.rng.bytes(int(f.rng.integers(1, 99))),
    "a zip behind": lambda f: f.agent + f.agent,
    "lying size": Fuzzer.lying_size,
    "lying count": Fuzzer.lying_count,
    "bad name": lambda f: f.bad_name(f.members),
    "bad name in policy.pth": lambda f: f.with_policy(f.bad_name(_records(f))),
    "link or folder": Fuzzer.special_member,
    "member twice": lambda f: f.twice(f.members, "policy.pth"),
    "record twice": lambda f: f.with_policy(f.twice(_records(f), "archive/data.pkl")),
    "members by the thousand": lambda f: pack({**f.members, **{f"x{i}": b"" for i in range(2500)}}),
    "bomb": Fuzzer.bomb,
    "bomb in policy.pth": Fuzzer.nested_bomb,
    "sparse file": Fuzzer.sparse,
    "no policy.pth": _without,
    "payload in policy.pth": Fuzzer.payload_policy,
    "legacy policy.pth": _legacy,
    "greedy global": Fuzzer.greedy_global,
    "odd pickle": Fuzzer.odd_pickle,
    "odd tensor": Fuzzer.odd_tensor,
    "odd record": Fuzzer.odd_record,
    "shared numbers": Fuzzer.shared_numbers,
    "other tensors": Fuzzer.other_state,
    "fewer tensors": Fuzzer.fewer_tensors,
    "renamed tensors": Fuzzer.renamed_tensors,
    "odd data": Fuzzer.odd_data,
    "odd settings": Fuzzer.odd_settings,
    "odd card": Fuzzer.odd_card,
    "lying card": Fuzzer.lying_card,
    "hostile card": Fuzzer.hostile_card,
    "card elsewhere": Fuzzer.card_elsewhere,
    "agent elsewhere": Fuzzer.agent_elsewhere,
    "something else": Fuzzer.something_else,
}
