"""One set of verbs for every SQL database: async functions over the open transaction of a driver."""
