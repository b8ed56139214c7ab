"""Make, reset and step an environment that needs no data and no extra."""

import platform

import gymnasium as gym

import w4s_gym  # noqa: F401  (registers the ids)

env = gym.make("W4S-GSMSymbolic-v0", validation_size=4)
_, info = env.reset(seed=0)
_, reward, terminated, truncated, _ = env.step(env.action_space.sample())
env.close()
assert info["state"]["best"] > 0, info["state"]
print(f"Python {platform.python_version()}: stepped, reward {reward}, ended {terminated or truncated}")
