//! Values of a block, as text.

use core::fmt::{self, Write};

use super::{BlockView, Kind};

/// Writes the values of a block: numbers as numbers, more than one in brackets; a text in quotes,
/// with all that is not printable escaped; a time as IEC 61131-3 writes it; opaque octets in hex.
///
/// `octets` are those of the block in an image, or any part of them: whatever they hold, and
/// however many there are, they are shown. Octets at the end that make no whole element are shown
/// in hex behind `…`. The text has no end of line in it.
///
/// # Errors
/// `out` took no more.
pub fn write_values(block: &BlockView<'_>, octets: &[u8], out: &mut impl Write) -> fmt::Result {
    match block.kind {
        Kind::Octets => hex(octets, out),
        Kind::Text => text(octets, out),
        Kind::U8 => numbers(block, octets, out, plain(u8::from_ne_bytes)),
        Kind::U16 => numbers(block, octets, out, plain(u16::from_ne_bytes)),
        Kind::U32 => numbers(block, octets, out, plain(u32::from_ne_bytes)),
        Kind::U64 => numbers(block, octets, out, plain(u64::from_ne_bytes)),
        Kind::I8 => numbers(block, octets, out, plain(i8::from_ne_bytes)),
        Kind::I16 => numbers(block, octets, out, plain(i16::from_ne_bytes)),
        Kind::I32 => numbers(block, octets, out, plain(i32::from_ne_bytes)),
        Kind::I64 => numbers(block, octets, out, plain(i64::from_ne_bytes)),
        Kind::F32 => numbers(block, octets, out, plain(f32::from_ne_bytes)),
        Kind::F64 => numbers(block, octets, out, plain(f64::from_ne_bytes)),
        Kind::Bool => numbers(block, octets, out, |&[octet]: &[u8; 1], out| match octet {
            0 => out.write_str("false"),
            1 => out.write_str("true"),
            // Neither: shown as it is.
            other => write!(out, "{other:#04x}"),
        }),
        Kind::Time => numbers(block, octets, out, |&e, out| time(i64::from_ne_bytes(e), out)),
        Kind::Pointer => {
            numbers(block, octets, out, |&e, out| write!(out, "{:#018x}", u64::from_ne_bytes(e)))
        }
    }
}

/// How a number is written: as short as reads back to the same, and a float with an exponent where
/// it is far from one.
fn plain<const N: usize, T: fmt::Debug, O: Write>(
    read: impl Fn([u8; N]) -> T,
) -> impl Fn(&[u8; N], &mut O) -> fmt::Result {
    move |&element, out| write!(out, "{:?}", read(element))
}

/// Elements of `N` octets, each by `write`.
fn numbers<const N: usize, O: Write>(
    block: &BlockView<'_>,
    octets: &[u8],
    out: &mut O,
    write: impl Fn(&[u8; N], &mut O) -> fmt::Result,
) -> fmt::Result {
    let (elements, rest) = octets.as_chunks::<N>();
    let is_array = block.count > 1;
    if is_array {
        out.write_char('[')?;
    }
    for (index, element) in elements.iter().enumerate() {
        if index > 0 {
            out.write_str(", ")?;
        }
        write(element, out)?;
    }
    if !rest.is_empty() {
        out.write_str(if elements.is_empty() { "…" } else { ", …" })?;
        hex(rest, out)?;
    }
    if is_array { out.write_char(']') } else { Ok(()) }
}

/// Two digits for each octet, a space after each eighth.
fn hex(octets: &[u8], out: &mut impl Write) -> fmt::Result {
    for (index, octet) in octets.iter().enumerate() {
        if index > 0 && index.is_multiple_of(8) {
            out.write_char(' ')?;
        }
        write!(out, "{octet:02x}")?;
    }
    Ok(())
}

/// Up to the zeros that fill it up. What is no UTF-8 is shown octet by octet.
fn text(octets: &[u8], out: &mut impl Write) -> fmt::Result {
    let length = octets.iter().rposition(|&octet| octet != 0).map_or(0, |last| last + 1);
    out.write_char('"')?;
    for chunk in octets[..length].utf8_chunks() {
        write!(out, "{}", chunk.valid().escape_debug())?;
        for octet in chunk.invalid() {
            write!(out, "\\x{octet:02x}")?;
        }
    }
    out.write_char('"')
}

/// A span in the notation of IEC 61131-3: `LTIME#1h2m3s4ms5us6ns`, parts that are zero left out.
fn time(ns: i64, out: &mut impl Write) -> fmt::Result {
    const UNITS: [(u64, &str); 7] = [
        (86_400_000_000_000, "d"),
        (3_600_000_000_000, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
        (1, "ns"),
    ];
    out.write_str(if ns < 0 { "LTIME#-" } else { "LTIME#" })?;
    if ns == 0 {
        return out.write_str("0s");
    }
    let mut rest = ns.unsigned_abs();
    for (unit, name) in UNITS {
        if rest >= unit {
            write!(out, "{}{name}", rest / unit)?;
        }
        rest %= unit;
    }
    Ok(())
}
