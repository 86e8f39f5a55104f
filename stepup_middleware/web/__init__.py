"""What people see: answers, pages, assets and the routes under the prefix."""
