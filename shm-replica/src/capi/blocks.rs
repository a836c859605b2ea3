//! Blocks as a program describes them, and what is wrong with them.

use std::ffi::{c_char, c_int, c_void};
use std::slice;

use rt_core::limits::SCHEMA_BLOCKS_MAX;

use super::call::loose;
use super::code::{BMPL_E_ARGUMENT, BMPL_E_LIMIT, BMPL_E_SCHEMA};
use super::detail::{Code, Detail};
use super::text;
use super::types::CBlock;
use crate::schema::{Block, ENCODED_OCTETS_MAX, Kind, SchemaBuilder, lint};

/// A block of the caller's, checked but for what a schema asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Described<'a> {
    pub(super) block: Block<'a>,
    pub(super) address: *mut c_void,
}

/// The blocks at `blocks`.
///
/// # Safety
/// If it is neither null nor misaligned, `count` blocks are there, and their names and they stay
/// for `'a`.
pub(super) unsafe fn described<'a>(
    blocks: *const CBlock,
    count: u32,
    says: &mut Detail,
) -> Result<Vec<Described<'a>>, Code> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count == 0 {
        return Ok(Vec::new());
    }
    if count > SCHEMA_BLOCKS_MAX {
        let text = format_args!("{count} blocks: a region has {SCHEMA_BLOCKS_MAX} at most");
        return Err(says.fault(BMPL_E_LIMIT, text));
    }
    if blocks.is_null() || !blocks.is_aligned() {
        return Err(says.fault(BMPL_E_ARGUMENT, format_args!("blocks is null or misaligned")));
    }
    // SAFETY: aligned, and as promised by the caller so many are there.
    let blocks = unsafe { slice::from_raw_parts(blocks, count) };
    let mut found = Vec::with_capacity(count);
    for block in blocks {
        // SAFETY: as promised by the caller.
        let name = unsafe { text::required(block.name, "a block's name", says) }?;
        let kind = u8::try_from(block.kind).ok().and_then(Kind::from_number);
        let Some(kind) = kind else {
            let text = format_args!(
                "block `{}`: {} is no kind that this library knows; use a BMPL_KIND_",
                name.escape_debug(),
                block.kind
            );
            return Err(says.fault(BMPL_E_SCHEMA, text));
        };
        let block_found = Block { name, kind, count: block.count };
        found.push(Described { block: block_found, address: block.address });
    }
    Ok(found)
}

/// Looks for what is allowed in a region, or could be meant, and is trouble later: pointers, opaque
/// octets that may hide them, names that differ in case alone. Writes a line for each into `lines`
/// (`size` octets, always ended; may be null), as many as fit.
///
/// Phase:  any; needs no handle
/// RT:     no
/// Thread: any
/// Errors: the number of findings, zero for none; BMPL_E_ARGUMENT, BMPL_E_LIMIT, BMPL_E_NAME,
///         BMPL_E_SCHEMA for blocks that cannot be (bmpl_last_detail(NULL, ...) says why)
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bmpl_lint(
    blocks: *const CBlock,
    block_count: u32,
    lines: *mut c_char,
    size: usize,
) -> c_int {
    loose(|says| {
        // SAFETY: as the caller of this function promises by calling it.
        let blocks = unsafe { described(blocks, block_count, says) }?;
        let mut octets = vec![0; ENCODED_OCTETS_MAX];
        let mut builder = SchemaBuilder::for_lint(&mut octets);
        for described in &blocks {
            let pushed = builder.push(described.block);
            pushed.map_err(|wrong| says.fault(BMPL_E_SCHEMA, format_args!("{wrong}")))?;
        }
        let none = |wrong| says.fault(BMPL_E_SCHEMA, format_args!("{wrong}"));
        let schema = builder.finish().map_err(none)?;
        let found: Vec<String> = lint(&schema).map(|finding| format!("{finding}\n")).collect();
        // SAFETY: as the caller of this function promises by calling it.
        unsafe { text::put(&found.concat(), lines, size) };
        Ok(c_int::try_from(found.len()).unwrap_or(c_int::MAX))
    })
}
