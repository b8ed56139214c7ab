import json

import pytest

from w4s_gym.algos import make_policy
from w4s_gym.algos.policies.hf import HFConfig, HFPolicy
from w4s_gym.algos.policies.settings import trained_folder
from w4s_gym.errors import ConfigError

WRITES = HFConfig(temperature=0.9, min_p=0.05, max_new_tokens=10, prompt_style="guided")
CHAT = [[{"role": "user", "content": "a"}]]


@pytest.mark.parametrize("lora_rank", [0, 2])
def test_a_trained_policy_is_loaded_as_it_was_trained(random_llm, tmp_path, lora_rank):
    options = {"temperature": 0.9, "min_p": 0.05, "max_new_tokens": 10, "prompt_style": "guided"}
    policy = make_policy(f"hf:{random_llm}", lora_rank=lora_rank, lora_targets=("q_proj",), rows_per_pass=3, **options)
    with __import__("torch").no_grad():
        for parameter in policy.model.parameters():
            if parameter.requires_grad:
                parameter += 0.3  # it has learned something
    policy.save(tmp_path / "state" / "policy")
    again = make_policy(f"hf:{trained_folder(tmp_path)}", device="cpu")
    assert again.prompt_style == "guided" and again.temperature == 0.9 and not again.tiny
    assert again.config.lora_rank == lora_rank and again.config.rows_per_pass == 64  # which is the machine's
    assert again.sample(CHAT, 4, seed=1) == policy.sample(CHAT, 4, seed=1)
    assert make_policy(f"hf:{trained_folder(tmp_path)}", temperature=0.1).temperature == 0.1


def test_the_tiny_meta_agent_stays_the_tiny_one_for_its_learners(random_llm, tmp_path):
    policy = HFPolicy(random_llm, config=WRITES)
    policy.tiny = True
    policy.save(tmp_path)
    assert make_policy(f"hf:{tmp_path}").tiny


@pytest.mark.parametrize("place", ["", "policy", "state/policy"])
def test_the_folder_of_weights_is_found_from_those_above(tmp_path, place):
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    (tmp_path / place / "policy.json").write_text("{}")
    assert trained_folder(tmp_path) == tmp_path / place


def test_other_folders_and_damaged_files_are_refused(random_llm, tmp_path):
    with pytest.raises(ConfigError, match="w4s-gym train"):
        trained_folder(tmp_path)
    (tmp_path / "policy.json").write_text(json.dumps({"options": {}}))
    with pytest.raises(ConfigError, match="damaged"):
        make_policy(f"hf:{tmp_path}")
