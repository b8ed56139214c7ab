"""Other people's trainers on these environments; each module needs its own partner library only."""
