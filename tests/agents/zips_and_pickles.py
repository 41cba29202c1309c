"""Helpers: zips and pickles of agents, assembled by hand."""

from __future__ import annotations

import base64
import io
import json
import struct
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

STOP = b"."


def unpack(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return {name: file.read(name) for name in file.namelist()}


def pack(members: Mapping[str, bytes] | Sequence[tuple[str, bytes]], method: int = 0) -> bytes:
    """Return a zip as SB3 writes it; pairs may repeat a name."""
    pairs = list(members.items()) if isinstance(members, Mapping) else members
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in pairs:
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            info.external_attr = 0o600 << 16
            file.writestr(info, content)
    return buffer.getvalue()


def text(value: str) -> bytes:
    encoded = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def integer(value: Any) -> bytes:
    """Return the opcodes of an integer; bytes are returned unchanged."""
    if isinstance(value, bytes):
        return value
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    encoded = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(encoded)]) + encoded


def integers(values: Sequence[Any]) -> bytes:
    return b"(" + b"".join(map(integer, values)) + b"t"


def name_global(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def call(module: str, name: str, arguments: bytes) -> bytes:
    return name_global(module, name) + b"(" + arguments + b"tR"


def payload(canary: str) -> bytes:
    """Return the opcodes of a call that writes a file."""
    return call("builtins", "exec", text(f"open({canary!r}, 'w').close()"))


@dataclass(frozen=True)
class Tensor:
    """Description of a tensor in a pickle, valid or not."""

    key: str
    shape: tuple[Any, ...]
    strides: tuple[Any, ...]
    numel: Any
    offset: Any = 0
    kind: str = "FloatStorage"
    device: str = "cpu"
    hooks: bytes = b"ccollections\nOrderedDict\n)R"
    rebuild: str = "_rebuild_tensor_v2"

    def opcodes(self) -> bytes:
        reference = text("storage") + name_global("torch", self.kind) + text(self.key)
        storage = b"(" + reference + text(self.device) + integer(self.numel) + b"tQ"
        layout = integer(self.offset) + integers(self.shape) + integers(self.strides)
        return call("torch._utils", self.rebuild, storage + layout + b"\x89" + self.hooks)

    def but(self, **changes: Any) -> Tensor:
        return replace(self, **changes)


def state_pickle(tensors: Sequence[tuple[str, Tensor | bytes]], before: bytes = b"") -> bytes:
    """Return the pickle of a state dict."""
    opcodes = b"\x80\x02" + before + b"ccollections\nOrderedDict\n)R("
    for name, tensor in tensors:
        opcodes += text(name) + (tensor if isinstance(tensor, bytes) else tensor.opcodes())
    return opcodes + b"u" + STOP


def describe_state(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, bytes]]:
    """Return the tensors of a state dict, as torch.save describes them, and their records."""
    tensors, records = {}, {}
    for key, (name, tensor) in enumerate(state.items()):
        tensors[name] = Tensor(str(key), tuple(tensor.shape), tensor.stride(), tensor.numel())
        records[f"data/{key}"] = tensor.numpy().tobytes()
    return tensors, records


def pack_policy(pickled: bytes, records: Mapping[str, bytes]) -> bytes:
    small = {"data.pkl": pickled, "byteorder": b"little", "version": b"3\n"}
    return pack({f"archive/{name}": one for name, one in {**small, **records}.items()})


def with_payload_in_data(data: bytes, canary: str) -> bytes:
    """Return SB3's ``data`` with each pickle replaced by a payload."""
    poison = base64.b64encode(b"\x80\x02" + payload(canary) + STOP).decode()
    settings = json.loads(data)
    for value in settings.values():
        if isinstance(value, dict) and ":serialized:" in value:
            value[":serialized:"] = poison
    return json.dumps(settings).encode()
