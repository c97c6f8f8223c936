"""The keys and words that are known and not available in this version; ``*`` stands for any name."""

LATER_KEYS = [
    ("cluster",),
    ("keys",),
    ("tls",),
    ("limits", "connections_per_address"),
    ("backends", "*", "context"),
    ("backends", "*", "health"),
    ("backends", "*", "tokenizer"),
    ("tiers", "*", "heartbeat"),
    ("tiers", "*", "reasoning"),
    ("tiers", "*", "retry", "hedge"),
    ("tiers", "*", "variants"),
]

LATER_DIALECTS = ["auto", "sglang", "ollama", "lmstudio", "tgi", "trtllm", "lmdeploy", "transformers"]
