"""Reading images and masks, writing results; nothing is silently narrowed or half written."""
