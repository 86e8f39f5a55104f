"""Apps in server processes of their own, and what happens to them."""
