"""A trainable policy on any causal language model of transformers: full weights or LoRA, one class for all sizes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import (
    AutoTokenizer,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

from w4s_gym.algos.codec import PLAIN_CHAT_TEMPLATE, Codec, end_of_turn
from w4s_gym.algos.policies.base import Sample
from w4s_gym.algos.policies.devices import pick_device, pick_dtype
from w4s_gym.algos.policies.reply_form import STOP, ReplyForm, check_form, completed, first_words
from w4s_gym.algos.policies.settings import read_settings, write_settings
from w4s_gym.algos.policies.weights import (
    ADAPTER_CONFIG,
    base_of,
    check_base,
    copy_adapters,
    copy_weights,
    merged,
    quiet_bars,
    read_model,
    weights_hash,
    write_base,
)
from w4s_gym.algos.seeding import derive_seed
from w4s_gym.errors import ConfigError
from w4s_gym.messages import Message
from w4s_gym.paths import user_path
from w4s_gym.prompts import PromptStyle

_OF_THE_MACHINE = ("dtype", "device", "sampler", "rows_per_pass")
"""Options that say nothing about what is written."""
_STATE_SPACE = ("falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h")
_BEHIND_KERNELS = ["conv1d", "out_proj"]
"""Layers whose weights the kernels of state-space models read past any adapter, so that peft refuses them."""


@dataclass(frozen=True)
class HFConfig:
    """Options of a policy on a transformers model."""

    temperature: float = 0.5
    """Sampling temperature; 0 takes the most likely token."""
    top_p: float = 1.0
    """Nucleus: the smallest set of tokens with this probability is sampled from."""
    min_p: float = 0.0
    """Tokens with less than this share of the likeliest one's probability are left out."""
    max_new_tokens: int = 4096
    prompt_style: PromptStyle = "full"
    """Which observation it wants from the environment."""
    reply_form: ReplyForm = "free"
    """`code`: a reply is one Python block whose first words are set and whose closing fence ends it (small models)."""
    lora_rank: int = 0
    """Rank of the trained LoRA adapters; 0 trains all weights."""
    lora_alpha: int = 16
    lora_targets: tuple[str, ...] | Literal["all-linear"] = "all-linear"
    """Names of the layers that get adapters, for instance `("q_proj", "v_proj")`."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the weights. `auto`: bfloat16 on a GPU that has it, float32 otherwise (a CPU trains through autocast)."""
    device: str = "auto"
    """`auto`: the first GPU, else the CPU."""
    sampler: str = "auto"
    """Who samples: `transformers`; `llama.cpp` (needs LoRA and a GGUF file as the base); the base URL of a vLLM server
    (needs LoRA). `auto`: llama.cpp where it can on a CPU, else transformers."""
    rows_per_pass: int = 64
    """Samples that are generated together; more are cut into several passes."""
    threads: int = 0
    """Threads of a CPU, to train and (llama.cpp) to sample; 0 keeps torch's setting. One thread too many on a busy
    machine makes everything many times slower."""
    texts: str | None = None
    """Folder that keeps what a server wrote (samplers other than `transformers`), by weights, prompt and seed: a run
    that is made again after an interruption samples nothing twice."""

    def __post_init__(self) -> None:
        """Reject values that cannot be used."""
        if self.temperature < 0 or not 0 < self.top_p <= 1 or self.max_new_tokens < 1 or self.rows_per_pass < 1:
            raise ConfigError(
                "expected temperature >= 0, 0 < top_p <= 1, max_new_tokens >= 1 and rows_per_pass >= 1; "
                f"got {self.temperature}, {self.top_p}, {self.max_new_tokens} and {self.rows_per_pass}"
            )
        if not 0 <= self.min_p <= 1:
            raise ConfigError(f"expected 0 <= min_p <= 1; got {self.min_p}")
        if self.threads < 0:
            raise ConfigError(f"expected threads >= 0; got {self.threads}")
        check_form(self.reply_form)


class HFPolicy:
    """Samples from and exposes for training a causal language model.

    Each sample has a random stream of its own, made of the seed, the conversation and the sample's number, so what is
    sampled beside it does not change it (up to rounding of the batched matrix products).
    """

    tiny = False

    def __init__(self, source: str | Path, name: str = "", config: HFConfig | None = None) -> None:
        """Load a model and its tokenizer.

        Args:
            source: name on the Hugging Face hub, or a folder; also one of saved adapters, which are taken up: as they
                are with the `lora_rank` they were trained with, and merged into the weights with 0.
            name: name in tables (default: `hf:<source>`).
            config: options.

        Raises:
            ConfigError: the model cannot be loaded, or the options do not fit it.
        """
        self.name = name or f"hf:{source}"
        self.config = config or HFConfig()
        if self.config.threads:
            torch.set_num_threads(self.config.threads)
        self.prompt_style = self.config.prompt_style
        self.temperature = self.config.temperature
        self.device = torch.device(pick_device(self.config.device))
        dtype = pick_dtype(self.config.dtype, self.device)
        place = str(user_path(source)) if str(source).startswith("~") else str(source)
        settings = read_settings(place)
        if settings is not None:
            self.tiny = settings[0]
        adapters = Path(place) if (Path(place) / ADAPTER_CONFIG).exists() else None
        base_place = base_of(adapters) if adapters else place
        try:
            has_tokenizer = adapters is None or (adapters / "tokenizer_config.json").exists()
            self.tokenizer: Any = AutoTokenizer.from_pretrained(place if has_tokenizer else base_place)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"expected a causal language model of transformers by name or folder; could not load {str(source)!r}: "
                f"{error}"
            ) from error
        base = read_model(base_place, dtype)
        if self.tokenizer.chat_template is None:
            warnings.warn(f"{self.name}: the tokenizer has no chat template; using `role:` lines", stacklevel=2)
            self.tokenizer.chat_template = PLAIN_CHAT_TEMPLATE
        if self.tokenizer.eos_token_id is None:
            raise ConfigError(f"{self.name}: expected a tokenizer with an end-of-sequence token")
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.codec = Codec(self.tokenizer, end_of_turn(self.tokenizer))
        self.context = _context(base.config.get_text_config())
        """Most tokens that the model reads and writes; None if its architecture sets no limit."""
        self._ends = _end_tokens(base, {self.tokenizer.eos_token_id, self.codec.end_token})
        self._base_hash = weights_hash(base) if self.config.lora_rank or adapters else ""
        if adapters:
            check_base(adapters, base_place, self._base_hash)
        if adapters and not self.config.lora_rank:
            base = merged(base, adapters)
        self.model: Any = self._with_adapters(base, base_place).to(self.device)
        if adapters and self.config.lora_rank:
            copy_adapters(self.model, adapters)
        self.model.eval()

    def sample(self, conversations: Sequence[Sequence[Message]], m: int, seed: int) -> list[list[Sample]]:
        """Write `m` texts for each conversation (see `Policy.sample`).

        Raises:
            ConfigError: a conversation leaves no room in the model's context.
        """
        prompts = self._prompts(conversations)
        jobs: list[tuple[list[int], int]] = []
        seen: dict[tuple[int, ...], int] = {}
        for prompt in prompts:
            # The same conversation twice in one call means two independent sets of samples.
            occurrence = seen[tuple(prompt)] = seen.get(tuple(prompt), -1) + 1
            identity = " ".join(map(str, prompt))
            jobs += [(prompt, derive_seed(seed, identity, occurrence, i)) for i in range(m)]
        order = sorted(range(len(jobs)), key=lambda i: len(jobs[i][0]))
        samples: dict[int, Sample] = {}
        for start in range(0, len(order), self.config.rows_per_pass):
            part = order[start : start + self.config.rows_per_pass]
            samples.update(zip(part, self._generate([jobs[i] for i in part]), strict=True))
        return [[samples[i * m + j] for j in range(m)] for i in range(len(prompts))]

    def save(self, folder: Path) -> None:
        """Write weights (only the adapters of a LoRA policy), tokenizer, and how it samples."""
        folder.mkdir(parents=True, exist_ok=True)
        with quiet_bars():
            self.model.save_pretrained(folder)
        if self.config.lora_rank:
            write_base(folder, self.name, self._base_hash)
        self.tokenizer.save_pretrained(folder)
        options = {name: value for name, value in asdict(self.config).items() if name not in _OF_THE_MACHINE}
        write_settings(folder, self.tiny, options)

    def load(self, folder: Path) -> None:
        """Read what `save` wrote into this policy; the optimizer may keep pointing at the same parameters.

        Raises:
            ConfigError: the folder holds no weights, or weights of another model.
        """
        if self.config.lora_rank:
            check_base(folder, self.name, self._base_hash)
            copy_adapters(self.model, folder)
        else:
            copy_weights(self.model, folder)

    def _prompts(self, conversations: Sequence[Sequence[Message]]) -> list[list[int]]:
        """Tokens of the conversations; refuses those that leave no room to write."""
        begun = self.codec.target(first_words(self.config.reply_form), truncated=True)
        prompts = [[*self.codec.prompt(conversation), *begun] for conversation in conversations]
        for prompt in prompts:
            if self.context is not None and len(prompt) + self.config.max_new_tokens > self.context:
                raise ConfigError(
                    f"{self.name}: a conversation of {len(prompt)} tokens and max_new_tokens="
                    f"{self.config.max_new_tokens} pass the model's context of {self.context}; lower max_new_tokens, "
                    "use prompt_style='compact' or a shorter window"
                )
        return prompts

    def _with_adapters(self, base: Any, place: str) -> Any:
        if not self.config.lora_rank:
            return base
        from peft import LoraConfig, get_peft_model

        targets = self.config.lora_targets
        everywhere = targets == "all-linear"
        options = LoraConfig(
            r=self.config.lora_rank,
            lora_alpha=self.config.lora_alpha,
            target_modules=targets if isinstance(targets, str) else list(targets),
            exclude_modules=_BEHIND_KERNELS if everywhere and base.config.model_type in _STATE_SPACE else None,
            task_type="CAUSAL_LM",
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # of the adapters' first weights
            try:
                model: Any = get_peft_model(base, options)
            except ValueError as error:
                raise ConfigError(
                    f"{self.name}: peft puts no adapters on lora_targets={targets!r}: {error}. Name layers that it can "
                    "take, for instance lora_targets=('q_proj', 'v_proj'), or train all weights with lora_rank=0"
                ) from error
        # Saved adapters name their base, wherever they are opened from.
        model.peft_config["default"].base_model_name_or_path = (
            str(Path(place).resolve()) if Path(place).exists() else place
        )
        return model

    @torch.no_grad()
    def _generate(self, jobs: Sequence[tuple[list[int], int]]) -> list[Sample]:
        """Generate one sample per (prompt, seed)."""
        width = max(len(prompt) for prompt, _ in jobs)
        pad = self.tokenizer.pad_token_id
        ids = torch.full((len(jobs), width), pad, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for i, (prompt, _) in enumerate(jobs):
            ids[i, width - len(prompt) :] = torch.tensor(prompt)
            mask[i, width - len(prompt) :] = 1
        processors = LogitsProcessorList()
        if self.config.temperature > 0:
            processors.append(TemperatureLogitsWarper(self.config.temperature))
            if self.config.top_p < 1:
                processors.append(TopPLogitsWarper(self.config.top_p))
            if self.config.min_p > 0:
                processors.append(MinPLogitsWarper(self.config.min_p))
            processors.append(_GumbelNoise([seed for _, seed in jobs]))
        self.model.eval()
        out = self.model.generate(
            input_ids=ids.to(self.device),
            attention_mask=mask.to(self.device),
            logits_processor=processors,
            generation_config=GenerationConfig(
                do_sample=False,  # the noise makes the most likely token a sample
                max_new_tokens=self.config.max_new_tokens,
                pad_token_id=pad,
                eos_token_id=self._ends,
                stop_strings=[STOP] if self.config.reply_form == "code" else None,
            ),
            tokenizer=self.tokenizer,
        )[:, width:].tolist()
        samples = []
        for (prompt, _), tokens in zip(jobs, out, strict=True):
            end = next((i for i, token in enumerate(tokens) if token in self._ends), None)
            written = tokens if end is None else tokens[:end]
            text = self.tokenizer.decode(written, skip_special_tokens=True)
            reply, complete = completed(self.config.reply_form, text)
            samples.append(Sample(reply, end is None and not complete, len(prompt), len(written) + (end is not None)))
        return samples


class _GumbelNoise(LogitsProcessor):
    """Adds Gumbel noise, so that the largest logit is a sample of the softmax; one random stream per row.

    The noise is drawn on the CPU: a seed means the same noise on every device.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        noise = torch.empty(scores.shape, dtype=torch.float32)
        for row, generator in zip(noise, self._generators, strict=True):
            row.exponential_(generator=generator)
        return scores - noise.log().to(scores)


def _context(config: Any) -> int | None:
    """Most tokens of a sequence, by the names that families of models have for it; recurrent ones have none."""
    for name in ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "n_ctx"):
        value = getattr(config, name, None)
        if isinstance(value, int):
            return value
    return None


def _end_tokens(model: Any, ends: set[int]) -> list[int]:
    """Tokens that end a turn: the tokenizer's and the template's, and those of the model's own generation settings."""
    configured = model.generation_config.eos_token_id
    more = configured if isinstance(configured, list) else [configured]
    return sorted({*ends, *(token for token in more if token is not None)})
