"""Fuzzer: malformed agent files of many kinds, derived from a valid one by a seed."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch as th

from tests.agents import zips_and_pickles
from tests.agents.zips_and_pickles import Tensor, call, integer, pack, pack_policy, payload, text


@dataclass
class Fuzzer:
    """Generator of malformed agent files.

    :param agent: a valid zip: DQN on CartPole.
    :param card: its model card, for a file named ``agent.zip``.
    :param canary: path of a file that no payload may write.
    :param rng: decides place and size of the malformation.
    """

    agent: bytes
    card: dict[str, Any]
    canary: str
    rng: np.random.Generator

    def __post_init__(self) -> None:
        self.members = zips_and_pickles.unpack(self.agent)
        state = th.load(io.BytesIO(self.members["policy.pth"]), weights_only=True)
        self.state = dict(state)
        self.tensors, self.records = zips_and_pickles.describe_state(self.state)

    def write(self, kind: str, folder: Path) -> Path:
        """Write the malformed agent into a new folder; return the path to open."""
        folder.mkdir(parents=True)
        path = folder / "agent.zip"
        made = KINDS[kind](self)
        if callable(made):  # writes something other than a file's bytes
            made(path)
        else:
            path.write_bytes(made)
        return path

    def pick(self, *values: Any) -> Any:
        return values[self.rng.integers(len(values))]

    def with_policy(self, policy: bytes) -> bytes:
        return pack({**self.members, "policy.pth": policy})

    def with_pickle(self, pickled: bytes, records: dict[str, bytes] | None = None) -> bytes:
        return self.with_policy(pack_policy(pickled, self.records if records is None else records))

    def with_tensor(self, tensor: Tensor | bytes, before: bytes = b"") -> bytes:
        """Return an agent with one tensor replaced."""
        tensors = {**self.tensors, self.pick(*self.tensors): tensor}
        return self.with_pickle(zips_and_pickles.state_pickle(list(tensors.items()), before))

    def with_state(self, state: dict[str, Any], **how: Any) -> bytes:
        buffer = io.BytesIO()
        th.save(state, buffer, **how)
        return self.with_policy(buffer.getvalue())

    def with_data(self, **changes: Any) -> bytes:
        settings = {**json.loads(self.members["data"]), **changes}
        return pack({**self.members, "data": json.dumps(settings).encode()})

    def with_card(self, content: bytes | dict[str, Any]) -> Any:
        """Return a function that writes the valid agent with a malformed model card."""
        card = content if isinstance(content, bytes) else json.dumps(content).encode()

        def write(path: Path) -> None:
            path.write_bytes(self.agent)
            path.with_name("card.json").write_bytes(card)

        return write

    # zips

    def spliced(self) -> bytes:
        """Truncate the file, or replace bytes at its start, end or middle by noise."""
        begin = self.pick(0, len(self.agent), self.rng.integers(len(self.agent)))
        end = self.pick(begin, begin + self.rng.integers(1, 99), len(self.agent))
        noise = self.rng.bytes(self.pick(0, self.rng.integers(1, 99)))
        return self.agent[:begin] + (noise or b"x") + self.agent[end:]

    def flip(self, content: bytes, begin: int, end: int) -> bytes:
        changed = bytearray(content)
        changed[self.rng.integers(begin, end)] ^= 1 << self.rng.integers(8)
        return bytes(changed)

    def flipped(self) -> bytes:
        """Flip a bit of a member, its header, the directory or the end record."""
        with zipfile.ZipFile(io.BytesIO(self.agent)) as file:
            info = self.pick(*file.infolist())
        begin = self.agent.index(self.members[info.filename])
        directory, end = self.agent.index(b"PK\1\2"), len(self.agent)
        return self.pick(
            self.flip(self.agent, begin, begin + info.file_size),
            self.flip(self.agent, info.header_offset + 4, info.header_offset + 28),
            self.flip(self.agent, directory + 6, directory + 30),
            self.flip(self.agent, end - 22, end),
        )

    def flipped_in_policy(self) -> bytes:
        """Flip a bit of a record inside policy.pth, with a valid outer checksum."""
        record = self.records[self.pick(*self.records)]
        policy = self.members["policy.pth"]
        begin = policy.index(record)
        return self.with_policy(self.flip(policy, begin, begin + len(record)))

    def wrong_directory(self) -> bytes:
        """Declare a wrong size of a member, or a wrong number of members, in the directory."""
        changed = bytearray(self.agent)
        at = changed.index(b"PK\1\2") + 20
        size = int(self.pick(0, 2**20, 2**32 - 1, self.rng.integers(2**32)))
        n = int(self.pick(0, 5, 7, 65535))
        if self.pick(True, False):
            changed[at : at + 8] = struct.pack("<2L", size, size)
        else:
            changed[-14:-10] = struct.pack("<2H", n, n)
        return bytes(changed)

    def odd_member(self) -> bytes:
        """Add a member with an odd or duplicate name, or thousands; or remove one."""
        members = dict(self.members)
        records = zips_and_pickles.unpack(members["policy.pth"])
        again = self.pick("policy.pth", "POLICY.PTH", "data")
        odd_name = self.pick("../agent.py", "/tmp/x", "C:\\x", "..", "\u202ex", "x\n", "a/")
        del members[self.pick("policy.pth", "data")]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # duplicate names
            return self.pick(
                lambda: pack({**self.members, odd_name: b"x"}),
                lambda: self.with_policy(pack({**records, odd_name: b"x"})),
                lambda: pack([*self.members.items(), (again, b"")]),
                lambda: pack([(again, b""), *self.members.items()]),
                lambda: self.with_policy(pack([*records.items(), ("archive/DATA.pkl", b"")])),
                lambda: pack({**self.members, **{f"x{i}": b"" for i in range(2500)}}),
                lambda: pack(members),
            )()

    def bomb(self) -> Any:
        """Return a zip bomb, or a huge sparse file."""
        zeros = bytes(int(self.pick(10, 60)) * 2**20)
        method = self.pick(zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)

        def sparse(path: Path) -> None:
            with path.open("wb") as file:
                file.truncate(int(self.pick(2**30, 2**40)))

        return self.pick(
            lambda: pack({**self.members, self.pick("data", "policy.pth", "x"): zeros}, method),
            lambda: self.with_policy(pack({"archive/data.pkl": zeros}, method)),
            lambda: sparse,
        )()

    # pickles

    def payload_policy(self) -> bytes:
        """Hide a call in policy.pth, in one of torch's formats, or before the tensors."""
        poison = payload(self.canary)
        whole = b"\x80\x02" + poison + b"."
        bias = self.tensors["q_net.q_net.0.bias"]
        return self.pick(
            lambda: self.with_policy(whole),
            lambda: self.with_policy(pickle.dumps(0x1950A86A20F9469CFC6C, 2) + whole),
            lambda: self.with_pickle(whole),
            lambda: self.with_pickle(whole, {"constants.pkl": whole}),
            lambda: self.with_tensor(poison),
            lambda: self.with_tensor(bias, before=poison + b"0"),
            lambda: self.with_tensor(bias.but(hooks=poison)),
            lambda: self.with_state(self.state, _use_new_zipfile_serialization=False),
        )()

    def greedy_global(self) -> bytes:
        """Call functions allowed by torch's weights_only with arguments that take RAM or crash."""
        huge = integer(self.pick(10**9, 10**12, 2**62))
        shape = b"(" + huge + huge + b"t"
        dtype = b"ctorch\nfloat32\n"
        opcodes = self.pick(
            call("builtins", "bytearray", huge),
            call("__builtin__", "bytearray", huge),
            call("collections", "Counter", text("x")),
            call("torch", "Size", shape),
            call("torch._utils", "_rebuild_qtensor", integer(0) + shape),
            call("torch._utils", "_rebuild_sparse_tensor", dtype + shape),
            call("torch", "device", text("cuda")),
        )
        return self.with_tensor(opcodes)

    def odd_pickle(self) -> bytes:
        """Write a pickle that is not a state dict, or no valid pickle."""
        pairs = list(self.tensors.items())
        good = zips_and_pickles.state_pickle(pairs)
        return self.with_pickle(
            self.pick(
                b"",
                b"\x80\x04" + good[2:],
                b"\x80\x02N.",
                b"\x80\x02" + b")" * 9 + b"t.",
                good[: self.rng.integers(len(good))],
                good[:-1] + b"\x85" * 100_000 + b".",
                good[:-1] + (b"(" * 100_000) + b".",
                b"\x80\x02)" + b"q\x00h\x00\x86" * 60 + b".",
                b"\x80\x02}q\x00" + text("a") + b"h\x00s.",
                good[:-1] + b"q\x00" * (2**20) + b".",
                zips_and_pickles.state_pickle([*pairs, ("x" * 999, pairs[0][1])]),
                good.replace(text(pairs[0][0]), b"K\1"),  # a name that is a number
                good[:-1] + b"}" + text("_metadata") + b"}s}b.",
            )
        )

    def odd_tensor(self) -> bytes:
        """Describe a tensor that does not fit its storage."""
        huge = int(self.pick(10**6, 10**10, 2**62, 2**63, 2**400))
        changes = self.pick(
            {"shape": (huge, huge), "strides": (0, 0)},
            {"shape": (huge, huge), "strides": (huge, 1)},
            {"strides": (-1, -1)},
            {"offset": self.pick(huge, -1)},
            {"numel": self.pick(huge, -1, b"\x88", text("1"))},
            {"shape": (1,) * 50, "strides": (1,) * 50},
            {"shape": (4, 16), "strides": (1,)},
            {"key": self.pick("../data", "-1", "99", "data.pkl", "", "0" * 99)},
            {"device": self.pick("meta", "hpu", "cuda:99999999", "x" * 99, "privateuseone")},
            {"kind": self.pick("UntypedStorage", "Tensor", "QInt8Storage", "load", "x" * 99)},
            {"rebuild": self.pick("_rebuild_parameter", "_rebuild_wrapper_subclass", "x")},
            {"hooks": b"N"},
        )
        name = self.pick(*(name for name in self.tensors if name.endswith("weight")))
        tensors = {**self.tensors, name: self.tensors[name].but(**changes)}
        return self.with_pickle(zips_and_pickles.state_pickle(list(tensors.items())))

    def odd_record(self) -> bytes:
        """Write records of wrong sizes, or many tensors that share one."""
        name = self.pick(*self.records)
        pickled = zips_and_pickles.state_pickle(list(self.tensors.items()))
        records = dict(self.records)
        number = records.pop(name)
        wide = Tensor("0", (2**18,), (1,), 2**18)
        shared = zips_and_pickles.state_pickle([(f"q_net.{i}", wide) for i in range(400)])
        return self.pick(
            lambda: self.with_pickle(pickled, records),
            lambda: self.with_pickle(pickled, {**records, name: number[:-4]}),
            lambda: self.with_pickle(pickled, {**records, name: number + b"\0" * 4}),
            lambda: self.with_pickle(pickled, {**self.records, "constants.pkl": b"1" * 99}),
            lambda: self.with_pickle(shared, {"data/0": bytes(2**20)}),
        )()

    def other_state(self) -> bytes:
        """Save tensors of another shape, dtype or name, fewer of them, or NaN."""
        name = self.pick(*self.state)
        tensor = self.state[name]
        spoilt = tensor.clone()
        spoilt.view(-1)[self.rng.integers(tensor.numel())] = self.pick(np.nan, np.inf, -np.inf)
        changed = self.pick(
            {name: th.cat([tensor, tensor])},
            {name: tensor[:-1]},
            {name: tensor.double()},
            {name: tensor.long()},
            {name: tensor.flatten().to_sparse()},
            {name: spoilt},
            {name: self.pick(1.0, None)},
            {"extra.weight": th.zeros(3)},
        )
        old, new = self.pick(("q_net.", "net."), ("q_net_target", "actor"), (".weight", ".w"))
        kept = list(self.state)[: self.rng.integers(len(self.state))]
        return self.pick(
            lambda: self.with_state({**self.state, **changed}),
            lambda: self.with_state({one: self.state[one] for one in kept}),
            lambda: self.with_state({k.replace(old, new): v for k, v in self.state.items()}),
        )()

    # settings

    def odd_json(self) -> bytes:
        return self.pick(
            b"",
            b"{",
            b"[]",
            b"\xff\xfe",
            b"[" * 100_000,
            b'{"a":' * 100_000,
            b'{"a": ' + b"1" * 100_000 + b"}",
            b" " * (2**20 + 1),
            self.rng.bytes(1000),
        )

    def odd_data(self) -> bytes:
        init = "<function system.__init__ at 0x1>"
        return self.pick(
            lambda: pack({**self.members, "data": b"{" + self.odd_json()}),
            lambda: self.with_data(policy_class={"__module__": "os", "__init__": init}),
            lambda: self.with_data(exploration_rate=self.pick(7, -1, "x", [], True, np.nan)),
            lambda: self.with_data(policy_kwargs=self.pick([], "os.system", 3, None)),
            lambda: self.with_data(policy_kwargs=odd_policy_kwargs(self)),
        )()

    def wrong_files_in_card(self) -> Any:
        listed = self.card["files"]["agent.zip"]
        odd = self.pick(
            {"agent.zip": {**listed, "sha256": "0" * 64}},
            {"agent.zip": {**listed, "bytes": listed["bytes"] + 1}},
            {"agent.zip": {"sha256": listed["sha256"]}},
            {"agent.zip": "x"},
            {"other.zip": listed},
            {"agent.zip": listed, "../agent.zip": listed},
            [],
        )
        return self.with_card({**self.card, "files": odd})

    def hostile_card(self) -> Any:
        """Write a model card that names modules to import, or sizes that take RAM."""
        huge = int(self.pick(2**31, 10**12, 10**39))
        box = {"type": "Box", "dtype": "float32", "low": 0, "high": 1, "shape": [4]}
        change = self.pick(
            {"format": self.pick(0, 2, True, "1", None, [])},
            {"algorithm": self.pick("os.system", "", [], {}, 3, "sac")},
            {"policy": self.pick("os.system", "pickle.loads", [], 3, "NoPolicy")},
            {"policy_kwargs": self.pick([], "x", odd_policy_kwargs(self))},
            {"exploration_rate": self.pick(2, -0.1, "x", None, True, float("nan"))},
            {"use_sde": self.pick(1, "x", True)},
            {"env_id": []},
            {"action_space": {"type": "Discrete", "n": self.pick(huge, 3, 0, -1, "2", 2.0)}},
            {"action_space": {"type": self.pick("Text", "os.system", [], None)}},
            {"observation_space": {**box, "shape": self.pick([2**20, 2**20], [huge])}},
            {"observation_space": {**box, "low": self.pick([0] * 5, huge)}},
            {"observation_space": {**box, "dtype": "object"}},
        )
        return self.with_card({**self.card, **change})

    def elsewhere(self) -> Any:
        """Replace the agent or its model card by a link, folder or pipe."""
        name = self.pick("agent.zip", "card.json")
        kind = self.pick("/etc/passwd", "../none", "/dev/zero", "folder", "pipe")

        def write(path: Path) -> None:
            path.write_bytes(self.agent)
            odd = path.with_name(name)
            odd.unlink(missing_ok=True)
            if kind == "folder":
                odd.mkdir()
            elif kind == "pipe":
                os.mkfifo(odd)
            else:
                odd.symlink_to(kind)

        return write

    def something_else(self) -> bytes:
        return self.pick(
            b"PK\5\6" + bytes(18),
            b"<!DOCTYPE html><title>404 Not Found</title>",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            gzip.compress(self.agent),
            self.members["policy.pth"],
            self.rng.bytes(int(self.rng.integers(0, 9999))),
            b"\x80\x02" + payload(self.canary) + b".",
        )


def odd_policy_kwargs(fuzzer: Fuzzer) -> dict[str, Any]:
    """Return policy_kwargs that name modules, or sizes that take RAM or time."""
    huge = int(fuzzer.pick(2**20, 10**9, 10**30))
    deep: Any = 1
    for _ in range(30):
        deep = [deep]
    return fuzzer.pick(
        {"net_arch": [huge, huge]},
        {"net_arch": [1] * 100_000},
        {"net_arch": fuzzer.pick(-1, [0.5], [[]], "x", {"pi": huge}, deep, [-4], [None])},
        {"n_critics": 10**6},
        {"activation_fn": fuzzer.pick("os.system", "<class 'subprocess.Popen'>", [], 3, "ReLU")},
        {"features_extractor_class": fuzzer.pick("os.system", "torch.hub.load", [], 3)},
        {"features_extractor_class": "stable_baselines3.common.torch_layers.NatureCNN"},
        {"features_extractor_kwargs": fuzzer.pick({"activation_fn": []}, {"x": huge}, 3, "x")},
        {"nonsense": fuzzer.pick(1, "x" * 999)},
    )


#: Name of a kind -> generator of bytes, or of a function that writes something to a path.
KINDS: dict[str, Callable[[Fuzzer], Any]] = {
    "spliced": Fuzzer.spliced,
    "bit flipped": Fuzzer.flipped,
    "bit flipped in policy.pth": Fuzzer.flipped_in_policy,
    "wrong directory": Fuzzer.wrong_directory,
    "odd member": Fuzzer.odd_member,
    "bomb": Fuzzer.bomb,
    "payload in policy.pth": Fuzzer.payload_policy,
    "greedy global": Fuzzer.greedy_global,
    "odd pickle": Fuzzer.odd_pickle,
    "odd tensor": Fuzzer.odd_tensor,
    "odd record": Fuzzer.odd_record,
    "other tensors": Fuzzer.other_state,
    "odd data": Fuzzer.odd_data,
    "odd card": lambda f: f.with_card(f.odd_json()),
    "wrong files in card": Fuzzer.wrong_files_in_card,
    "hostile card": Fuzzer.hostile_card,
    "elsewhere": Fuzzer.elsewhere,
    "something else": Fuzzer.something_else,
}
