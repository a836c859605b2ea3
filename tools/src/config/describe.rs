//! The configuration as understood.
