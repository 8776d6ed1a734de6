"""Lightning parts that the embedder trainers share: base module, callbacks, trainer."""
