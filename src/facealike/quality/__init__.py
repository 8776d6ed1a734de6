"""Face image quality: how suitable a face is for comparison."""
