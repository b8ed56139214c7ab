from w4s_gym.study import CompareConfig, Comparison
from w4s_gym.study.learning import learning_table


def test_a_search_that_counts_no_candidates_has_a_report_and_no_table_of_proposals(tmp_path):
    config = CompareConfig(algos=("adas",), seeds=1, budget=10, iterations=1, validation_size=2, test_size=2, workers=0)
    results = Comparison(config).run(tmp_path / "run", quiet=True)
    assert "runnable" in results.of("adas")[0].result["curve"][0]
    assert learning_table(results) is None
    assert "| ADAS |" in results.table and "(simulated)" in results.table
