"""How the simulated executor answers: a psychometric model of a language model at work (see docs/simulation.md).

`profile` holds the numbers, `noise` the counter-based randomness, `slots` and `reading` what a request asks for,
`answers` and `mutants` the right and the systematically wrong answers of an item, `items` its difficulty,
`respondent` the decisions, `writer` the text and `cost` tokens, dollars and seconds.
"""
