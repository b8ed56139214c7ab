from tests.executors.fault_matrix import BEGIN, END, PAGE, rows


def test_the_fault_matrix_of_the_docs_is_what_happens(serve):
    written = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    measured = rows(serve())
    assert [line for line in written.splitlines() if line.startswith("| ")][1:] == measured, (
        "run: python tests/executors/fault_matrix.py"
    )
