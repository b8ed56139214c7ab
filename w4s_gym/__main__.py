"""`python -m w4s_gym` is the command `w4s-gym`."""

from w4s_gym.cli import main

if __name__ == "__main__":
    main()
