"""Studies: designers of workflows compared under the same budget, from training to tables."""
