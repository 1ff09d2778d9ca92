"""The systems of courses and articles on recurrent layers in image segmentation, as they work; see docs/textbook.md."""
