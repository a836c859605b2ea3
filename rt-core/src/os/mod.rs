//! The operating system half.
