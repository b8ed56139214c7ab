"""The commands of `w4s-gym`, one module each: a dataclass whose fields are the options, and its method `run`."""
