"""Mistakes and other right styles of exercise 3, ``build_cnn``."""

from __future__ import annotations

_LAST = "        nn.Linear(512, n_actions),\n"
_HIDDEN = "7, 512),\n        nn.ReLU(),\n"
_FLATTEN = "        nn.Flatten(),\n"
_FIRST = "        nn.Conv2d(n_stack, 32, kernel_size=8, stride=4),\n"
_SECOND = "        nn.Conv2d(32, 64, kernel_size=4, stride=2),\n        nn.ReLU(),\n"
_THIRD = "        nn.Conv2d(64, 64, kernel_size=3, stride=1),\n        nn.ReLU(),\n"

#: A network as a class; what is in braces is filled in.
_CLASS = """
class Network(nn.Module):
    def __init__(self, n_actions, n_stack):
        super().__init__()
        self.a = nn.Conv2d(n_stack, 32, 8, 4)
        self.b = nn.Conv2d(32, 64, 4, 2)
        self.c = nn.Conv2d(64, 64, 3, 1)
        self.hidden = nn.Linear(3136, 512)
        self.out = nn.Linear(512, n_actions)
        {more}

    def forward(self, x):
        {first}
        for layer in (self.a, self.b, self.c):
            x = torch.relu(layer(x))
        {middle}
        x = torch.relu(self.hidden({flat}))
        return {values}


def build_cnn(n_actions, n_stack=4):
    {before}
    return {network}
"""


def _network(
    *,
    more: str = "pass",
    first: str = "pass",
    middle: str = "pass",
    flat: str = "x.flatten(1)",
    values: str = "self.out(x)",
    before: str = "pass",
    network: str = "Network(n_actions, n_stack)",
) -> str:
    """Return a right network as a class, but for what is passed."""
    return _CLASS.format(
        more=more,
        first=first,
        middle=middle,
        flat=flat,
        values=values,
        before=before,
        network=network,
    )


#: property that must find it -> (right, wrong, part of the message), see Mistake
MISTAKES: dict[str, list[tuple[str, str, str]]] = {
    "returns_a_network": [
        (
            "nn.Linear(512, n_actions),\n    )",
            "nn.Linear(512, n_actions),\n    )(torch.zeros(1, n_stack, 84, 84))",
            "do not call it",
        ),
        (
            "return nn.Sequential(\n        nn.Conv2d(n",
            "nn.Sequential(\n        nn.Conv2d(n",
            "None",
        ),
        ("", _network(network="Network"), "returned the class Network"),
        ("", _network(network="(Network(n_actions, n_stack), 3136)"), "returned tuple of 2"),
        ("", _network(network="list(Network(n_actions, n_stack).children())"), "return nn.Seq"),
        ("", _network(network="Network(n_actions, n_stack).forward"), "has no weights to learn"),
        ("", _network(network="nn.ModuleList([nn.Linear(3136, 512)])"), "has no forward"),
        ("", _network().replace("return self.out(x)", "self.out(x)"), "forward ends with return"),
        (
            "",
            "\n\ndef build_cnn(n_actions, n_stack=4):\n    return nn.Module()\n",
            "has no forward",
        ),
        ("", _network(values="(self.out(x), x)"), "returned tuple, not a tensor"),
    ],
    "convolutions_are_the_papers": [
        ("", _network(first="x = x[None]"), "leave the axes as they are"),
        ("kernel_size=4, stride=2", "kernel_size=4, stride=1", "'64 filters of 4 x 4, stride 1'"),
        ("kernel_size=3, stride=1", "kernel_size=3, stride=1, padding=1", "leave the padding out"),
        (_THIRD, "", "there are 2 of them"),
        (_THIRD, _THIRD + _THIRD, "there are 4 of them"),
        (
            _SECOND + _THIRD,
            _THIRD.replace("64, 64", "32, 64") + _SECOND.replace("32, 64", "64, 64"),
            "their order in forward",
        ),
        ("32, kernel_size=8", "16, kernel_size=8", "'16 filters of 8 x 8, stride 4' is not"),
        (_SECOND, _SECOND + "        nn.MaxPool2d(2),\n", "comes MaxPool2d"),
        (_FLATTEN, "        nn.AdaptiveAvgPool2d(7),\n" + _FLATTEN, "comes AdaptiveAvgPool2d"),
        (_FLATTEN, "        nn.MaxPool2d(2),\n" + _FLATTEN, "comes MaxPool2d"),
        ("", _network(network="Network(n_actions, n_stack).double()"), "weights are torch.float64"),
    ],
    "linear_layers_are_the_papers": [
        ("7 * 7, 512)", "7 * 7, 256)", "256 units, not 512 units"),
        ("64 * 7 * 7", "64 * 8 * 8", "it takes 4096 numbers and gets 3136"),
        (_FLATTEN, "", "flatten what comes before it"),
        (_FLATTEN, "        nn.Flatten(0),\n", "keep the axis of the batch"),
        (
            _LAST,
            "        nn.Linear(512, 512),\n        nn.ReLU(),\n" + _LAST,
            "there are 3 of them",
        ),
        (_LAST, "        nn.Linear(512, n_actions, bias=False),\n", "4 units without bias"),
    ],
    "values_for_each_action": [
        ("n_stack, 32, kernel", "4, 32, kernel", "the first convolution takes 4 channels"),
        (_LAST, _LAST.replace("n_actions", "4"), "the last layer has 4 units"),
        (
            "",
            "\n\nACTIONS = 4\n" + _network(network="Network(ACTIONS, n_stack)"),
            "your code uses ACTIONS from outside",
        ),
        ("", _network(flat="x.view(1, -1)"), "one row for each stack"),
        ("", _network(values="self.out(x).squeeze()"), "of 1 stacks have the shape (4,)"),
        ("", _network(values="self.out(x).squeeze(-1)"), "of 3 stacks have the shape (3,)"),
        ("", _network(values="self.out(x).double()"), "the values are torch.float64"),
    ],
    "pixels_are_taken_as_they_are": [
        ("", _network(first="x = x / 255"), "the training loop divides by 255"),
        ("", _network(first="x = x.to(torch.uint8).float()"), "as integers (uint8)"),
        ("", _network(first="x = 2 * x - 1"), "when they reach the first layer"),
        ("", _network(first="x = x.transpose(2, 3)"), "when they reach the first layer"),
        (_FIRST, "        nn.Dropout(0.1),\n" + _FIRST, "Dropout stands before it"),
        (_FIRST, "        nn.BatchNorm2d(n_stack),\n" + _FIRST, "BatchNorm2d stands before it"),
        ("", _network(first="x /= 255"), "changes its input in place"),
    ],
    "same_stack_same_values": [
        (_HIDDEN, _HIDDEN + "        nn.Dropout(0.2),\n", "Dropout: it leaves out units"),
        ("", _network(values="self.out(nn.functional.dropout(x, 0.1))"), "dropout, noise, or"),
        ("", _network(values="self.out(x + 0.1 * torch.randn_like(x))"), "dropout, noise, or"),
        (
            _FLATTEN,
            "        nn.BatchNorm2d(64),\n        nn.ReLU(),\n" + _FLATTEN,
            "BatchNorm2d tak",
        ),
        ("", _network(flat="x.transpose(0, 1).reshape(len(x), -1)"), "does the reshape mix rows"),
        (
            "",
            _network(values="(lambda q: q - q.mean(0))(self.out(x))"),
            "does the reshape mix rows",
        ),
    ],
    "layers_are_not_linear": [
        (_LAST, _LAST + "        nn.ReLU(),\n", "after the last layer comes ReLU"),
        (_LAST, _LAST + "        nn.Softmax(dim=1),\n", "after the last layer comes Softmax"),
        ("", _network(values="self.out(x).flip(1)"), "not in the order of the last layer"),
        ("", _network(values="torch.tanh(self.out(x))"), "after the last layer comes Tanh"),
        ("", _network(values="self.out(x).clamp(-1, 1)"), "comes a clamp to -1..1"),
        ("nn.ReLU(),\n        nn.Flatten()", "nn.Flatten()", "stride 1) comes no ReLU"),
        (_HIDDEN, "7, 512),\n", "after layer 4 (512 units) comes no ReLU"),
        (_HIDDEN, "7, 512),\n        nn.Sigmoid(),\n", "(512 units) comes Sigmoid"),
        (_HIDDEN, "7, 512),\n        nn.LeakyReLU(),\n", "(512 units) comes LeakyReLU"),
        (_HIDDEN, "7, 512),\n        nn.ReLU6(),\n", "(512 units) comes ReLU6"),
        (_HIDDEN, "7, 512),\n        nn.LayerNorm(512),\n        nn.ReLU(),\n", "comes LayerNorm"),
        (_HIDDEN, "7, 512),\n        nn.PReLU(),\n", "(512 units) comes PReLU"),
        ("", _network().replace("torch.relu(layer", "nn.functional.gelu(layer"), "comes GELU"),
        ("", _network().replace("torch.relu(self", "nn.functional.elu(self"), "comes ELU"),
        ("", _network(middle="x = x / 2"), "comes something else"),
    ],
    "every_layer_learns": [
        ("", _network(more="self.spare = nn.Linear(9, 9)"), "spare.weight, spare.bias is made"),
        (
            "",
            _network(more="del self.out; self.out = [nn.Linear(512, n_actions)]").replace(
                "self.out(x)", "self.out[0](x)"
            ),
            "is not part of the network",
        ),
        (
            "",
            _network(first="torch.manual_seed(0)", values="nn.Linear(512, len(self.out.bias))(x)"),
            "is not part of the network",
        ),
        ("", _network(middle="x = x.detach()"), "no gradient reaches 32 filters"),
        (
            "",
            _network(middle="x = torch.as_tensor(x.detach().numpy())"),
            "no gradient reaches 32 f",
        ),
        (
            "",
            _network().replace("    def forward", "    @torch.no_grad()\n    def forward"),
            "4 unit",
        ),
        ("", _network(more="self.a.requires_grad_(False)"), "are frozen"),
        (
            "",
            _network(more="self.apply(lambda m: [nn.init.zeros_(p) for p in m.parameters()])"),
            "start with the same weights",
        ),
        (
            "",
            _network(more="nn.init.constant_(self.hidden.weight, 0.01)"),
            "all 512 units of layer 4",
        ),
    ],
    "networks_share_nothing": [
        (
            "",
            "\n\nMADE = {}\n"
            + _network(
                network="MADE.setdefault((n_actions, n_stack), Network(n_actions, n_stack))"
            ),
            "two calls returned the same network",
        ),
        (
            "",
            "\n\nSHARED = nn.Linear(3136, 512)\n" + _network(more="self.hidden = SHARED"),
            "share 2 tensors of weights",
        ),
    ],
}

_LAYERS = """
def build_cnn(n_actions, n_stack=4):
    sizes = [(n_stack, 32, 8, 4), (32, 64, 4, 2), (64, 64, 3, 1)]
    layers = []
    for inputs, outputs, kernel, stride in sizes:
        layers += [nn.Conv2d(inputs, outputs, kernel, stride), nn.ReLU(inplace=True)]
    layers.append(nn.Flatten())
    with torch.no_grad():
        size = nn.Sequential(*layers)(torch.zeros(1, n_stack, 84, 84)).shape[1]
    layers += [nn.Linear(size, 512), nn.ReLU(inplace=True), nn.Linear(512, n_actions)]
    return nn.Sequential(*layers)
"""

#: style -> definitions that follow the solution, and replace its own
STYLES: dict[str, str] = {
    "unusual": """
class Network(nn.Module):
    def __init__(self, n_actions, n_stack):
        super().__init__()
        self.out = nn.Linear(512, n_actions)  # made first: the order of making says nothing
        self.hidden = nn.Linear(7 * 7 * 64, 512)
        self.c = nn.Conv2d(64, 64, (3, 3))
        self.b = nn.Conv2d(32, 64, (4, 4), (2, 2))
        self.a = nn.Conv2d(n_stack, 32, (8, 8), (4, 4))

    def forward(self, x):
        for layer in (self.a, self.b, self.c):
            x = layer(x).clamp(min=0)
        return self.out(torch.relu(self.hidden(x.reshape(len(x), -1))))


def build_cnn(n_actions, n_stack=4):
    return Network(n_actions, n_stack)
""",
    "a list of layers, the size is tried out": _LAYERS,
    "lazy layers and one ReLU": """
def build_cnn(n_actions, n_stack=4):
    relu = nn.ReLU()
    return nn.Sequential(
        nn.LazyConv2d(32, 8, 4), relu, nn.LazyConv2d(64, 4, 2), relu, nn.LazyConv2d(64, 3), relu,
        nn.Flatten(), nn.LazyLinear(512), relu, nn.LazyLinear(n_actions),
    )
""",
    "parts in parts": """
def convolution(*sizes, **options):
    return nn.Sequential(nn.Conv2d(*sizes, padding="valid", **options), nn.ReLU())


def build_cnn(n_actions, n_stack=4):
    body = nn.Sequential(
        convolution(n_stack, 32, kernel_size=8, stride=4),
        convolution(32, 64, kernel_size=4, stride=2),
        convolution(64, 64, kernel_size=3),
    )
    head = nn.Sequential(nn.Linear(64 * 49, 512), nn.ReLU(), nn.Linear(512, n_actions))
    return nn.Sequential(body, nn.Flatten(start_dim=1, end_dim=-1), head, nn.Identity())
""",
    "names and a ModuleDict": """
from collections import OrderedDict


class Net(nn.Module):
    def __init__(self, n_stack, n_actions):
        super().__init__()
        self.parts = nn.ModuleDict(OrderedDict(
            conv1=nn.Conv2d(n_stack, 32, 8, stride=4),
            conv2=nn.Conv2d(32, 64, 4, stride=2),
            conv3=nn.Conv2d(64, 64, 3, stride=1),
            fc1=nn.Linear(3136, 512),
            fc2=nn.Linear(512, n_actions),
        ))

    def forward(self, input):
        y = input.float()
        for name, part in self.parts.items():
            if name == "fc1":
                y = torch.flatten(y, start_dim=1)
            y = part(input=y)
            if name != "fc2":
                y = torch.maximum(y, torch.zeros_like(y))
        return y


def build_cnn(n_actions, n_stack=4):
    return Net(n_stack, n_actions)
""",
    "other weights at the start": """
def build_cnn(n_actions, n_stack=4):
    net = nn.Sequential()
    for name, layer in dict(
        c1=nn.Conv2d(n_stack, 32, 8, 4), r1=nn.ReLU(), c2=nn.Conv2d(32, 64, 4, 2), r2=nn.ReLU(),
        c3=nn.Conv2d(64, 64, 3), r3=nn.ReLU(), f=nn.Flatten(), l1=nn.Linear(3136, 512),
        r4=nn.ReLU(), l2=nn.Linear(512, n_actions),
    ).items():
        net.add_module(name, layer)
        if hasattr(layer, "weight"):
            nn.init.orthogonal_(layer.weight)
            nn.init.zeros_(layer.bias)
    nn.init.zeros_(net.l2.weight)
    return net
""",
    "its own ReLU and flattening": """
class Positive(nn.Module):
    def forward(self, x):
        return x * (x > 0)


class Rows(nn.Module):
    def forward(self, x):
        return x.permute(0, 2, 3, 1).reshape(x.size(0), -1)


HIDDEN = 512


def build_cnn(n_actions, n_stack=4):
    return nn.Sequential(
        nn.Conv2d(n_stack, 32, 8, 4), Positive(), nn.Conv2d(32, 64, 4, 2), Positive(),
        nn.Conv2d(64, 64, 3), Positive(), Rows(), nn.Linear(3136, HIDDEN), Positive(),
        nn.Linear(HIDDEN, n_actions),
    )
""",
    "a list of modules": """
import torch.nn.functional as F


class Net(nn.Module):
    def __init__(self, n_actions, n_stack):
        super().__init__()
        channels = (n_stack, 32, 64, 64)
        self.convs = nn.ModuleList(
            nn.Conv2d(channels[i], channels[i + 1], k, s)
            for i, (k, s) in enumerate([(8, 4), (4, 2), (3, 1)])
        )
        self.fc = nn.ModuleList([nn.Linear(3136, 512), nn.Linear(512, n_actions)])

    def features(self, x):
        for conv in self.convs:
            x = F.relu_(conv(x))
        return x.view(x.shape[0], -1)

    def forward(self, x):
        assert x.dim() == 4
        return self.fc[1](F.threshold(self.fc[0](self.features(x)), 0, 0))


def build_cnn(n_actions, n_stack=4):
    network = Net(n_actions, n_stack)
    return network.eval()
""",
}
