# SPDX-License-Identifier: Apache-2.0
import torch

from bitlens.train.float_free.softmax import Softmax


def test_it_is_near_the_real_softmax() -> None:
    torch.manual_seed(0)
    scores = torch.floor(torch.randn(200, 10, dtype=torch.float64) * 600)  # deviation 2.3
    targets = torch.randint(0, 10, (200,))
    losses, gradient = Softmax(torch.device("cpu"))(scores, targets)
    real = (scores / 256).softmax(1)
    wanted = real - torch.nn.functional.one_hot(targets, 10)
    assert (gradient / 2**15 - wanted).abs().max() < 0.005
    usual = torch.nn.functional.cross_entropy(scores / 256, targets, reduction="none")
    assert ((losses - usual).abs() < 0.01 + 0.02 * usual)[usual < 6].all()


def test_edges() -> None:
    scores = torch.tensor([[0.0, 0.0], [2.0**20, -(2.0**20)], [-(2.0**20), 2.0**20]], dtype=torch.float64)
    losses, gradient = Softmax(torch.device("cpu"))(scores, torch.tensor([0, 0, 0]))
    assert gradient.tolist() == [[-(2**14), 2**14], [-1, 0], [-(2**15) + 0, 2**15 - 1]]
    assert losses[1] < 1e-4
    assert abs(float(losses[0]) - 0.6931) < 1e-4
    assert abs(float(losses[2]) - 11.09) < 0.01  # as if half a unit were left


def test_a_gradient_sums_to_little() -> None:
    torch.manual_seed(1)
    _, gradient = Softmax(torch.device("cpu"))(torch.floor(torch.randn(50, 7).double() * 300), torch.arange(50) % 7)
    assert (gradient.sum(1).abs() <= 7).all()  # each share is rounded down
