"""Reports to read: HTML, Markdown, pictures."""
