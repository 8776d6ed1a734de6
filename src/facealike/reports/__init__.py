"""Results as pages to read: tables, HTML, Markdown."""
