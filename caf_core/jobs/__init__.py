"""The job model, how jobs are cut and carried out, and what is known about them."""
