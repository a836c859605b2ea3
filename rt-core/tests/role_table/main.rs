//! The role machine as a table: each state, in the situations that matter, and all that can happen
//! in it. The table and the pictures in `docs` are made from the machine itself:
//! `BUMPLESS_WRITE=1 cargo test -p rt-core --test role_table` writes them again.

#![allow(clippy::unwrap_used, reason = "tests and their helpers")]

mod effect;
mod events;
mod flows;
mod forgetful;
mod pair;
mod rules;
mod situations;
mod table;
mod walk;
