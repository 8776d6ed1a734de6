"""Examine a folder of people for faults: copies, wrong names, people who are one or two, poor photos."""
