"""Train an embedder on the embeddings of one teacher, without names."""
