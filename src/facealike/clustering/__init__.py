"""Group the faces of many photos by person."""
