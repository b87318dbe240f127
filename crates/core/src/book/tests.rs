//! Claims about single rules of the book. Whole lives are in `tests/`.
