"""``caf doctor``: facts about a backend at this site, and what follows from them."""
