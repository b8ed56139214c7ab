"""Train a meta-agent: online (play, learn, repeat), or offline on trajectories that any run wrote.

    python experiments/train.py --algo rlao --out runs/rlao
    python experiments/train.py --algo untrained --iterations 20 --out runs/played      # only play, and keep the rows
    python experiments/train.py --algo sft --rows runs/played/rows.jsonl --out runs/sft
    python experiments/train.py --config experiments/configs/qwen2.5-coder-7b-lora.yaml --out runs/qwen

Online runs write a checkpoint after each iteration and go on from it when they are started again with the same folder.
The same as `w4s-gym train`.
"""

from __future__ import annotations

import sys

from w4s_gym.command_line import guarded, parse
from w4s_gym.commands.train import TrainConfig


def main() -> None:
    """Train; errors made on purpose become one line, Ctrl-C ends quietly."""
    config = parse(TrainConfig, __doc__)
    code = guarded(config.run)
    if code:
        sys.exit(code)


if __name__ == "__main__":
    main()
