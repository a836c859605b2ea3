//! Numbered traffic (being written).
