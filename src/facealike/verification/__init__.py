"""Compare two photos: do they show one person?"""
