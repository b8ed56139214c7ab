"""What all commands share: options from a dataclass and a YAML file, and errors in one sentence."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro
from tyro.constructors import PrimitiveConstructorSpec

from w4s_gym.config_file import read_config
from w4s_gym.errors import ConfigError, W4SError
from w4s_gym.options import json_object
from w4s_gym.paths import expand_arguments
from w4s_gym.terminal import tolerate_terminals

C = TypeVar("C")

EXTRAS = {
    "train": ("torch", "transformers", "trl", "peft", "accelerate"),
    "experiments": ("matplotlib", "yaml"),
    "openai": ("openai", "tenacity", "dotenv", "genai_prices"),
    "local": ("xllamacpp", "gguf", "huggingface_hub"),
    "openvino": ("openvino_genai",),
    "hub": ("datasets",),
    "math": ("math_verify",),
    "wandb": ("wandb",),
    "trackio": ("trackio",),
    "minari": ("minari", "pyarrow"),
}
"""Extra of the package -> modules that it brings."""


def _read_options(texts: list[str]) -> dict[str, Any]:
    try:
        return json_object("options", texts[0])
    except ConfigError as error:
        raise ValueError(str(error)) from error  # what the command line shows beside the name of the option


Options = Annotated[
    dict[str, Any],
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="JSON",
        instance_from_str=_read_options,
        is_instance=lambda value: isinstance(value, dict),
        str_from_instance=lambda value: [json.dumps(value)],
    ),
]
"""Options by name: a dict in programs, a JSON object on the command line and in the run folder."""


def parse(
    kind: type[C],
    description: str | None,
    default: C | None = None,
    arguments: Sequence[str] | None = None,
    program: str | None = None,
) -> C:
    """Read the command line; wrong options end the process with a message.

    Args:
        kind: a dataclass whose fields become options.
        description: shown by `--help`.
        default: replaces the defaults of `kind`; `--config <YAML file>` in front replaces both.
        arguments: the command line; that of the process if None.
        program: what the command is called in `--help`.

    Returns:
        The configuration. If `kind` has a field `given`, it holds the names of the fields that the file and the command
        line set.
    """
    tolerate_terminals()
    given = expand_arguments(sys.argv[1:] if arguments is None else arguments)
    try:
        if given[:1] == ["--config"]:
            if len(given) < 2:
                raise ConfigError("expected a file after --config")
            default, given = read_config(kind, Path(given[1])), given[2:]
        shown = tyro.MISSING_NONPROP if default is None else default
        config = tyro.cli(kind, args=given, prog=program, description=description, default=shown)
        if is_dataclass(config) and any(f.name == "given" for f in fields(config)):
            before = getattr(default, "given", None) or frozenset()
            config = replace(config, given=before | _named(given, [f.name for f in fields(config)]))  # type: ignore[type-var]
        return config
    except ConfigError as error:
        sys.exit(f"error: {error}")


def _named(arguments: Sequence[str], names: Sequence[str]) -> frozenset[str]:
    """Return the fields that options name: `--run-dir x`, `--run-dir=x`, `--no-racing`."""
    options = {text[2:].partition("=")[0].replace("-", "_") for text in arguments if text.startswith("--")}
    return frozenset(name for name in names if name in options or f"no_{name}" in options)


def guarded(command: Callable[[], int]) -> int:
    """Run a command; what goes wrong on purpose, Ctrl-C and packages that lack become one sentence.

    Returns:
        The exit code: that of the command, 2 for bad input, 130 for Ctrl-C.
    """
    try:
        return command()
    except ModuleNotFoundError as error:
        lacking = missing_extra(error)
        if lacking is None:
            raise
        print(f"error: {lacking}", file=sys.stderr)
        return 2
    except W4SError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `| head` has read enough
        sys.stderr.close()
        return 0


def missing_extra(error: ModuleNotFoundError) -> str | None:
    """Say how to install what lacks; None for a module that no extra brings."""
    module = (error.name or "").partition(".")[0]
    extra = next((name for name, modules in EXTRAS.items() if module in modules), None)
    if extra is None:
        return None
    return f"this needs the package {module}; install it with `pip install 'w4s-gym[{extra}]'`"
