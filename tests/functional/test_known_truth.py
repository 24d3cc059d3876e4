"""A short version of benchmarks/known_truth.py: what is there is found, what is not is not, and yes-bias is recovered."""

from __future__ import annotations

from benchmarks.known_truth import bias_run, null_run, planted_run


def test_two_language_models_of_one_profile_hardly_ever_differ() -> None:
    runs = [null_run((seed, 80)) for seed in range(3)]
    tables = ("approval_differences", "approval_agreement", "llm_differences", "llm_distances")
    assert sum(run[table] for run in runs for table in tables) <= 2  # 12 chances of at most 5 %: more than 2 in one of 50 runs


def test_a_planted_difference_of_40_points_is_found_under_both_prompts_and_nothing_else() -> None:
    run = planted_run((1, 1000, 0.4))
    assert run["found"] == [True, True]
    assert run["false"] == 0
    assert sum(run["coverage"]["difference"]) >= 8  # of 10 intervals of 95 %


def test_a_declared_yes_bias_is_estimated_and_taken_out_of_the_balanced_rate() -> None:
    run = bias_run((2, 300, 0.3))
    assert all(0.24 < value < 0.36 for value in run["yes_bias"])
    assert all(0.42 < value < 0.58 for value in run["balanced_rate"])
