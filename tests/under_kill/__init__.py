"""Several nodes on one database that are killed with SIGKILL and started again while people and programs work."""
