"""From photos to embeddings."""
