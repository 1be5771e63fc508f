"""What `sightline init` writes where the papers' defaults would ask for another machine or another time scale."""

from __future__ import annotations

SMALL: dict[str, object] = {"d_model": 256, "num_layers": 4, "num_heads": 4, "d_ff": 1024}
PRETRAINING: dict[str, object] = {"training": {"max_updates": 6000, "warmup": 300, "schedule": "cosine"}}
FINE_TUNING: dict[str, object] = {
    "training": {"max_epochs": 3, "learning_rate": 3e-4, "warmup": 100, "tokens_per_batch": 2048}
}
