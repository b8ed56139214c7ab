"""The tiny meta-agent: its grammar, its corpus, and (slow) what it writes after the warm start."""

import math
import pkgutil
import re
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path
from random import Random

import pytest
from transformers import LlamaConfig

from w4s_gym.action import parse_action
from w4s_gym.algos.policies.tiny import corpus, model, warmstart
from w4s_gym.algos.policies.tiny.corpus import BENCHMARKS, draw_messages, draw_rows
from w4s_gym.algos.policies.tiny.grammar import Proposal, draw_proposal
from w4s_gym.algos.policies.tiny.warmstart import WarmStartConfig
from w4s_gym.benchmark import benchmark_names
from w4s_gym.sandbox import Sandbox

PHRASE = re.compile(r"Idea: (.*)\.")


def first_technique(action):
    found = PHRASE.match(action)
    return found.group(1).split(", ")[0] if found else "(none)"


async def answer_call(method, arguments):
    """A host that answers every call of a workflow."""
    n = arguments.get("num_of_response", 1)
    if method == "call_llm":
        return ["The answer is 12"] * n
    if method == "call_json_format_llm":
        return [dict.fromkeys(arguments["return_dict_keys"], "12")] * n
    return {"result": True, "feedback": ""} if method == "exec_test" else 12


def runnable(workflows):
    """Whether each workflow answers in the sandbox, on a plain item and on a code item."""
    import asyncio

    sandbox = Sandbox()

    async def run(workflow, entry_point):
        outcome = await sandbox.run_workflow(workflow, "What?", entry_point=entry_point, handler=answer_call)
        return outcome.status == "ok" and bool(outcome.value["answer"])

    async def run_all():
        return await asyncio.gather(*(run(w, e) for w in workflows for e in (None, "f")))

    try:
        results = asyncio.run(run_all())
    finally:
        sandbox.close()
    return [a and b for a, b in zip(results[::2], results[1::2], strict=True)]


def test_every_drawn_workflow_runs():
    random = Random(1)
    proposals = [draw_proposal(random) for _ in range(60)]
    assert all(runnable([p.workflow for p in proposals]))
    assert all(parse_action(p.action).workflow.strip() == p.workflow.strip() for p in proposals)


def test_the_grammar_is_varied_and_knows_every_method_of_the_agent():
    random = Random(2)
    proposals = [draw_proposal(random) for _ in range(600)]
    assert len({p.technique for p in proposals}) > 300
    text = "\n".join(p.workflow for p in proposals)
    for method in (
        "call_llm", "call_json_format_llm", "execute_code", "exec_test", "test_on_public_test",
        "extract_answer_str", "extract_code_block",
    ):  # fmt: skip
        assert f"agent.{method}(" in text


def test_what_is_written_does_not_depend_on_the_prompt():
    """Mutual information of benchmark name and first technique, against what shuffling the names gives."""
    pairs = []
    for row in draw_rows(4000, 5):
        found = re.match(r"task (\w+)", row.messages[0]["content"])
        if found:
            pairs.append((found.group(1), first_technique(row.action)))

    def information(pairs):
        joint, left, right = Counter(pairs), Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
        n = len(pairs)
        return sum(c / n * math.log(c * n / (left[a] * right[b])) for (a, b), c in joint.items())

    names, techniques = zip(*pairs, strict=True)
    shuffled = []
    for i in range(40):
        mixed = list(names)
        Random(i).shuffle(mixed)
        shuffled.append(information(list(zip(mixed, techniques, strict=True))))
    assert information(pairs) < max(shuffled)


def test_the_corpus_is_a_function_of_its_seed():
    assert draw_rows(20, 3) == draw_rows(20, 3) != draw_rows(20, 4)
    assert draw_rows(20, 3) == draw_rows(40, 3)[:20]


def test_prompts_name_every_benchmark_of_the_package():
    import w4s_gym.envs

    modules = {module.name for module in pkgutil.iter_modules(w4s_gym.envs.__path__)}
    own = {name for name in benchmark_names() if name.lower() in {module.replace("_", "") for module in modules}}
    assert own and own <= set(BENCHMARKS)


def test_prompts_cover_first_turns_later_turns_and_repairs():
    random = Random(0)
    chats = [draw_messages(random) for _ in range(300)]
    assert {len(chat) for chat in chats} == {1, 3, 5}
    last = Counter(
        "repair" if chat[-1]["content"].startswith("error") else chat[-1]["content"].split()[0] for chat in chats
    )
    assert set(last) == {"repair", "result", "task", "improve"}


def test_the_key_of_the_cache_follows_what_decides_the_weights_and_not_the_text_of_sources(monkeypatch):
    def no_file(path):
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr(Path, "read_bytes", no_file)
    config = WarmStartConfig()
    plain = warmstart._fingerprint(config)
    assert warmstart._fingerprint(WarmStartConfig()) == plain
    keys = {plain, *(warmstart._fingerprint(replace(config, **{f.name: 2})) for f in fields(config))}
    changes = {
        "the tokenizer": (model, "VOCABULARY", 1024),
        "the chat template": (model, "_CHAT_TEMPLATE", "{{ messages }}"),
        "the architecture": (warmstart, "model_config", lambda *a, **k: LlamaConfig(hidden_size=64)),
        "the schedule": (warmstart, "_rate", lambda done: 1 - done),
        "the procedure": (warmstart, "_RECIPE", -1),
        "the grammar": (corpus, "draw_proposal", lambda random: Proposal("x", "def solver(agent, task): ...")),
        "the prompts": (corpus, "opening_messages", lambda state, style: [{"role": "user", "content": "other"}]),
        "the libraries": (warmstart, "version", lambda package: "0"),
    }
    for where, name, value in changes.values():
        with monkeypatch.context() as patch:
            patch.setattr(where, name, value)
            keys.add(warmstart._fingerprint(config))
    assert len(keys) == 1 + len(fields(config)) + len(changes)


@pytest.mark.slow
def test_the_warm_started_meta_agent_writes_varied_workflows_that_run():
    from w4s_gym.algos import make_policy

    policy = make_policy("tiny")
    random = Random(987)
    chats = [chat for chat in (draw_messages(random) for _ in range(300)) if chat[0]["content"] != "improve"][:100]
    actions = [samples[0].text for samples in policy.sample(chats, 1, seed=1)]
    workflows = [parse_action(action).workflow or "" for action in actions]
    assert sum(runnable(workflows)) >= 90
    techniques = Counter(first_technique(action) for action in actions)
    entropy = -sum(c / 100 * math.log(c / 100) for c in techniques.values())
    assert entropy > 2.0  # 20 techniques can come first; uniform would be 3.0
    assert len(set(workflows)) > 85
