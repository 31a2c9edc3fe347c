"""Models: what `env.AI` calls, by built-in models or over an OpenAI-compatible endpoint, within a budget of tokens."""
