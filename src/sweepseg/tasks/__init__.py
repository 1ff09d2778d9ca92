"""What differs between binary, multiclass and multilabel segmentation."""
