"""The areas of the product: each module has its pages, its actions and the rules of its state."""
