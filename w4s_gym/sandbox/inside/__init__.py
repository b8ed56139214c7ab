"""Code that runs inside the confined processes.

Nothing here imports the rest of the package: the zygote loads this directory alone, under the name `w4s_inside`, so
that neither the package nor its data can be imported by a workflow.
"""
