"""Schedules, and the optimiser of two parts."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from model_assist.training.make_tiny_stage import MUON_GAIN, Mixed, Stage

STAGE = Stage("s", steps=100, lr=1.0, span=200, cool=20, warmup=10)


def test_longer_training_takes_the_same_steps_until_it_cools() -> None:
    longer = replace(STAGE, steps=150)
    assert [STAGE.factor(i) for i in range(80)] == [longer.factor(i) for i in range(80)]
    assert STAGE.factor(90) < longer.factor(90)
    assert STAGE.factor(0) == pytest.approx(0.1)
    assert STAGE.factor(99) < 0.06
    assert max(STAGE.factor(i) for i in range(100)) <= 1


def make() -> tuple[nn.Module, Mixed]:
    module = nn.ModuleDict({"layers": nn.ModuleList([nn.Linear(4, 4)]), "read_out": nn.Linear(4, 3)})
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(torch.linspace(-1, 1, weight.numel()).view_as(weight))
    return module, Mixed(dict(module.named_parameters()), lr=0.1, weight_decay=0.0)


def step(module: nn.Module, optimizer: Mixed) -> None:
    for weight in module.parameters():
        weight.grad = weight.detach().sin()
    optimizer.step()


def test_matrices_inside_layers_are_muons() -> None:
    module, optimizer = make()
    held = {type(part).__name__: part for part in optimizer.parts}
    assert [p.shape for g in held["Muon"].param_groups for p in g["params"]] == [(4, 4)]
    assert sum(len(g["params"]) for g in held["AdamW"].param_groups) == 3
    assert {g["lr"] for g in held["Muon"].param_groups} == {0.1 * MUON_GAIN}
    before = [p.detach().clone() for p in module.parameters()]
    step(module, optimizer)
    assert not any(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


def test_state_survives_saving() -> None:
    straight, first = make()
    step(straight, first)
    step(straight, first)
    broken, second = make()
    step(broken, second)
    resumed, third = make()
    resumed.load_state_dict(broken.state_dict())
    third.load_state_dict(second.state_dict())
    step(resumed, third)
    for a, b in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)
    assert first.param_groups[0]["lr"] == third.param_groups[0]["lr"]
