"""Galleries on a server: PostgreSQL with pgvector, and Milvus."""
