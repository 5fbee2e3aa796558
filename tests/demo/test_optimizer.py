"""The optimizer moves what it should, by how much it should."""

import torch

from demo.optimizer import Optimizer, orthogonalize


def test_matrices_become_nearly_orthogonal() -> None:
    torch.manual_seed(0)
    for shape in ((3, 24, 64), (3, 64, 24)):  # a square one may have singular values near nothing, which stay small
        values = torch.linalg.svdvals(orthogonalize(torch.randn(shape)))
        assert values.min() > 0.3
        assert values.max() < 1.4


def test_a_step_changes_all_parameters_and_rate_0_none() -> None:
    torch.manual_seed(0)
    model = torch.nn.ModuleDict({"embed_tokens": torch.nn.Embedding(5, 8), "inner": torch.nn.Linear(8, 6)})
    head = torch.nn.Linear(6, 2)
    optimizer = Optimizer(model, head.parameters(), 0.01, "cpu")
    parameters = [*model.parameters(), *head.parameters()]
    for rate, moves in ((0.0, False), (0.01, True)):
        before = [parameter.detach().clone() for parameter in parameters]
        head(model["inner"](model["embed_tokens"](torch.arange(5)))).square().sum().backward()
        optimizer.rate.fill_(rate)
        optimizer.step()
        changed = [not torch.equal(old, new) for old, new in zip(before, parameters, strict=True)]
        assert changed == [moves] * len(parameters)


def test_it_finds_the_minimum_of_a_least_squares_problem() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 4))
    inputs, wanted = torch.randn(64, 8), torch.randn(64, 8) @ torch.randn(8, 4) * 0
    optimizer = Optimizer(model, [], 0.0, "cpu")
    optimizer.rate.fill_(0.02)
    for _ in range(60):
        model.zero_grad()
        loss = (model(inputs) - wanted).square().mean()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.01
