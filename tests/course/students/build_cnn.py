"""Mistakes and other right styles of exercise 3, ``build_cnn``."""

from __future__ import annotations

#: property that must find it -> (right, wrong, part of the message), see Mistake
MISTAKES: dict[str, list[tuple[str, str, str]]] = {
    "convolutions_are_the_papers": [
        ("kernel_size=4, stride=2", "kernel_size=4, stride=1", "the convolutions"),
    ],
    "values_for_each_action": [
        ("n_stack, 32, kernel", "4, 32, kernel", "your code raised"),
        ("Linear(64 * 7 * 7, 512)", "Linear(64 * 7 * 7, 256)", "your code raised"),
    ],
    "layers_are_not_linear": [
        (
            "        nn.Linear(512, n_actions),\n",
            "        nn.Linear(512, n_actions),\n        nn.ReLU(),\n",
            "no ReLU, sigmoid or softmax",
        ),
        ("nn.ReLU(),\n        nn.Flatten()", "nn.Flatten()", "missing after layer 3"),
        ("7, 512),\n        nn.ReLU(),\n", "7, 512),\n", "a ReLU is missing after layer 4"),
        (
            "7, 512),\n        nn.ReLU(),\n",
            "7, 512),\n        nn.Sigmoid(),\n",
            "a ReLU is missing after layer 4",
        ),
    ],
    "pixels_are_taken_as_they_are": [
        (
            "return nn.Sequential(\n        nn.Conv2d(n_stack",
            (
                "class Scale(nn.Module):\n        def forward(self, x):\n"
                "            return x / 255\n\n"
                "    return nn.Sequential(\n        Scale(),\n        nn.Conv2d(n_stack"
            ),
            "the training loop divides by 255",
        ),
    ],
    "parameters_are_the_papers": [
        (
            "        nn.Linear(512, n_actions),\n",
            "        nn.Linear(512, 512),\n        nn.ReLU(),\n"
            "        nn.Linear(512, n_actions),\n",
            "make 1,686,180",
        ),
    ],
    "stacks_do_not_mix": [
        (
            "        nn.Flatten(),\n",
            "        nn.BatchNorm2d(64, affine=False),\n        nn.ReLU(),\n"
            "        nn.Flatten(),\n",
            "other values alone than in a batch",
        ),
    ],
}

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
}
