"""The standard ways to turn runs into intervals of validity for caf."""
