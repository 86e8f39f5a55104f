"""Where prompts, tokens, factors, policies and the audit log live: one contract, several stores."""
