"""Where events come from: each engine yields `EventBatch`es and never sees a sink."""
