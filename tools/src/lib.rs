//! Everything that runs: the daemon, the operator command and the test networks. Glue only: a
//! protocol decision found here is in the wrong crate.
