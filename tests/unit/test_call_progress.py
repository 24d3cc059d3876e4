"""How fast a lane is said to be, and how long the rest takes: against runs whose end is known."""

from __future__ import annotations

import random

import pytest

from bclust.calls.progress import Speed, spread_out


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("per_batch", "per_character"), [(10.0, 0.0), (0.0, 0.004), (5.0, 0.002)])
def test_the_time_left_of_batches_of_like_length_holds_from_a_tenth_of_the_run_on(
    seed: int, per_batch: float, per_character: float
) -> None:
    draw = random.Random(seed)
    lengths = sorted(int(draw.lognormvariate(6, 0.6)) for _ in range(960))
    batches = spread_out([lengths[i : i + 16] for i in range(0, 960, 16)])
    seconds = [(per_batch + per_character * sum(batch)) * draw.uniform(0.9, 1.1) for batch in batches]
    seconds[0] += 30  # for loading the model
    speed, now = Speed(spread=True), 0.0
    speed.begin(now)
    for i, took in enumerate(seconds, start=1):
        now += took
        speed.settled(now, 16, 160)
        left, said = sum(seconds[i:]), speed.left_s(now, 16 * (len(seconds) - i))
        if 0.1 * len(seconds) <= i < 0.95 * len(seconds):
            assert said == pytest.approx(left, rel=0.3)
            assert speed.left_s(now + 2, 16 * (len(seconds) - i)) == pytest.approx(said - 2)
    assert speed.left_s(now, 0) == pytest.approx(0)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 100])
def test_what_is_spread_out_is_all_there(n: int) -> None:
    assert sorted(spread_out(list(range(n)))) == list(range(n))
    assert n < 10 or abs(sum(spread_out(list(range(n)))[: n // 10]) / (n // 10) - (n - 1) / 2) < n / 6


def test_a_slow_lane_has_a_speed_although_nothing_was_answered_for_a_while() -> None:
    speed = Speed()
    speed.begin(0.0)
    assert (speed.per_second(5.0), speed.left_s(5.0, 10)) == ((0.0, 0.0), None)
    for i in range(1, 21):
        speed.settled(60.0 * i, 1, 300)
    calls, tokens = speed.per_second(60.0 * 20 + 30)
    assert calls == pytest.approx(1 / 60, rel=0.1)
    assert tokens == pytest.approx(5, rel=0.1)
    assert speed.left_s(60.0 * 20, 10) == pytest.approx(600, rel=0.1)


def test_a_lane_that_slows_down_is_said_to(seed: int = 3) -> None:
    speed, now = Speed(), 0.0
    speed.begin(now)
    for i in range(400):
        now += 0.01 if i < 300 else 1.0
        speed.settled(now, 1)
    assert speed.per_second(now)[0] == pytest.approx(1.0, rel=0.15)
