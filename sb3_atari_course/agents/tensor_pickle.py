"""Which tensors does the pickle of torch.save describe? Read without making anything.

A pickle is a program for a machine with a stack. This is such a machine that knows only what the
pickle of a state dict needs: no name is looked up, nothing is called, no tensor is made. What it
gives is a plan of the tensors, which can be checked before torch reads the same bytes.
"""

from __future__ import annotations

import math
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import torch as th

#: In bytes; the pickle of a hundred tensors has 20 kB.
MAX_PICKLE = 2**20

_MAKE_DICT = "collections OrderedDict"
_MAKE_TENSOR = "torch._utils _rebuild_tensor_v2"
#: Storage class -> dtype.
_DTYPES = {
    "torch FloatStorage": th.float32,
    "torch DoubleStorage": th.float64,
    "torch HalfStorage": th.float16,
    "torch BFloat16Storage": th.bfloat16,
    "torch LongStorage": th.int64,
    "torch IntStorage": th.int32,
    "torch ShortStorage": th.int16,
    "torch CharStorage": th.int8,
    "torch ByteStorage": th.uint8,
    "torch BoolStorage": th.bool,
}
_GLOBALS = {_MAKE_DICT, _MAKE_TENSOR, *_DTYPES}
_DEVICE = re.compile(r"(cpu|cuda|mps|xpu)(:\d{1,3})?", re.ASCII)


class NotTensorsError(Exception):
    """Why a pickle does not describe a dictionary of tensors."""


@dataclass(frozen=True)
class Storage:
    """A record of numbers that tensors are views of."""

    key: str
    dtype: th.dtype
    size: int


@dataclass(frozen=True)
class PlannedTensor:
    """A tensor that is not there yet."""

    storage: Storage
    shape: tuple[int, ...]

    @property
    def dtype(self) -> th.dtype:
        """Type of its elements."""
        return self.storage.dtype

    @property
    def n_bytes(self) -> int:
        """Memory that it takes by itself."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class _Global:
    name: str


def plan_tensors(pickled: bytes) -> dict[str, PlannedTensor]:
    """Return the tensors that a state dict's pickle describes.

    :param pickled: ``data.pkl`` of a file of :func:`torch.save`.
    :raises NotTensorsError: if it holds anything else.
    """
    if len(pickled) > MAX_PICKLE:
        _refuse(f"it has {len(pickled)} bytes, more than {MAX_PICKLE}")
    machine = _Machine()
    try:
        for opcode, argument, position in pickletools.genops(pickled):
            if opcode.name not in _STEPS:
                _refuse(f"it needs {opcode.name}, which no tensor does")
            _STEPS[opcode.name](machine, argument)
            end = position
    except NotTensorsError:
        raise
    except Exception as error:  # whatever nonsense does: an empty stack, a truncated argument
        _refuse(f"it cannot be read ({type(error).__name__})")
    if end != len(pickled) - 1 or len(machine.stack) != 1 or machine.below:
        _refuse("it does not end where it should")
    return _checked_plan(machine.stack[0])


def _checked_plan(result: Any) -> dict[str, PlannedTensor]:
    if type(result) is not dict or not result:
        _refuse("it is no dictionary of tensors")
    for name, tensor in result.items():
        if type(name) is not str or len(name) > 300:
            _refuse("it has a tensor without a name")
        if type(tensor) is not PlannedTensor:
            _refuse(f"{name!r} is no tensor")
    return dict(result)


def _refuse(why: str) -> NoReturn:
    raise NotTensorsError(why)


class _Machine:
    """The stack, those below it, and the memo."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def mark(self, _: Any) -> None:
        self.below.append(self.stack)
        self.stack = []

    def pop_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def push_global(self, name: str) -> None:
        if name not in _GLOBALS:
            _refuse(f"it names {name[:100]!r}, which no tensor needs")
        self.push(_Global(name))

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def get(self, index: int) -> None:
        self.push(self.memo[index])

    def make_tuple(self, n_items: int | None) -> None:
        if n_items is None:
            self.push(tuple(self.pop_mark()))
            return
        items = [self.stack.pop() for _ in range(n_items)]
        self.push(tuple(reversed(items)))

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict or len(items) % 2:
            _refuse("it fills something that is no dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) is not str or key in target:
                _refuse("it has two tensors of one name, or one without a name")
            target[key] = value

    def set_item(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.set_items([key, value])

    def load_storage(self, _: Any) -> None:
        self.push(_planned_storage(self.stack.pop()))

    def call(self, _: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if function == _Global(_MAKE_DICT) and arguments == ():
            self.push({})
        elif function == _Global(_MAKE_TENSOR):
            self.push(_planned_tensor(arguments))
        else:
            _refuse("it calls something that no tensor needs")

    def build(self, _: Any) -> None:
        """Forget a module's version numbers, all that a state dict has beside its tensors."""
        state, target = self.stack.pop(), self.stack[-1]
        if type(target) is not dict or type(state) is not dict or list(state) != ["_metadata"]:
            _refuse("it changes something that is no state dict")


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**40


def _planned_storage(told: Any) -> Storage:
    if type(told) is not tuple or len(told) != 5 or told[0] != "storage":
        _refuse("it has a reference that is no storage")
    _, kind, key, device, size = told
    if type(kind) is not _Global or kind.name not in _DTYPES or not _is_size(size):
        _refuse("it has a storage of unknown type or size")
    if type(key) is not str or not re.fullmatch(r"\d{1,6}", key, re.ASCII):
        _refuse("it has a storage whose key is no number")
    if type(device) is not str or not _DEVICE.fullmatch(device):
        _refuse("it has a storage on an unknown device")
    return Storage(key, _DTYPES[kind.name], size)


def _planned_tensor(arguments: Any) -> PlannedTensor:
    if type(arguments) is not tuple or len(arguments) != 6:
        _refuse("it makes a tensor of an unknown kind")
    storage, offset, shape, strides, requires_grad, hooks = arguments
    if type(storage) is not Storage or type(requires_grad) is not bool or hooks != {}:
        _refuse("it makes a tensor of an unknown kind")
    if type(shape) is not tuple or type(strides) is not tuple or len(shape) != len(strides):
        _refuse("it has a tensor without a shape")
    if len(shape) > 8 or not all(map(_is_size, (offset, *shape, *strides))):
        _refuse("it has a tensor of an impossible shape")
    n_elements = math.prod(shape)
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if n_elements > storage.size or (n_elements and last >= storage.size):
        _refuse(f"it has a tensor of shape {shape} that is larger than its {storage.size} numbers")
    return PlannedTensor(storage, shape)


#: Opcode -> what it does.
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda machine, version: None if version == 2 else _refuse("its protocol is not 2"),
    "STOP": lambda machine, _: None,
    "MARK": _Machine.mark,
    "GLOBAL": _Machine.push_global,
    "REDUCE": _Machine.call,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.load_storage,
    "SETITEM": _Machine.set_item,
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_mark()),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE": lambda machine, _: machine.make_tuple(None),
    "TUPLE1": lambda machine, _: machine.make_tuple(1),
    "TUPLE2": lambda machine, _: machine.make_tuple(2),
    "TUPLE3": lambda machine, _: machine.make_tuple(3),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE"), _Machine.push),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _Machine.put),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _Machine.get),
}
