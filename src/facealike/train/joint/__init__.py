"""Train the default embedder on the embeddings of several teachers."""
