"""Who am I: rank, GPUs, signals, heartbeat. The only place that reads rank variables."""
