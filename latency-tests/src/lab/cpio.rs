//! The archive that a kernel unpacks as its first root: the "new ASCII" form of cpio.

use std::io::{self, Write};

/// Kind and permissions of a folder.
const FOLDER: u32 = 0o040_755;
/// Kind and permissions of a program.
const PROGRAM: u32 = 0o100_755;
/// Name of the entry that ends an archive.
const END: &str = "TRAILER!!!";

/// An archive that is being written.
#[derive(Debug)]
pub(super) struct Archive<W> {
    to: W,
    entries: u32,
}

impl<W: Write> Archive<W> {
    pub(super) const fn new(to: W) -> Self {
        Self { to, entries: 0 }
    }

    /// Adds a folder; the one above it comes first.
    pub(super) fn folder(&mut self, name: &str) -> io::Result<()> {
        self.entry(name, FOLDER, &[])
    }

    /// Adds a file that may be run.
    pub(super) fn program(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.entry(name, PROGRAM, content)
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.entry(END, 0, &[])?;
        self.to.flush()?;
        Ok(self.to)
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        let too_large = |_| io::Error::from(io::ErrorKind::FileTooLarge);
        let size = u32::try_from(content.len()).map_err(too_large)?;
        let name_size = u32::try_from(name.len() + 1).map_err(too_large)?;
        // An inode's number tells hard links; each entry is a file of its own.
        self.entries += 1;
        let links = if mode == FOLDER { 2 } else { 1 };
        let fields =
            [self.entries, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0].map(hex).concat();
        write!(self.to, "070701{fields}{name}\0")?;
        self.pad(6 + fields.len() + name.len() + 1)?;
        self.to.write_all(content)?;
        self.pad(content.len())
    }

    /// Name and content each end at a multiple of four octets.
    fn pad(&mut self, octets: usize) -> io::Result<()> {
        self.to.write_all(&[0; 3][..octets.wrapping_neg() % 4])
    }
}

fn hex(field: u32) -> String {
    format!("{field:08x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_the_octets_that_the_kernel_reads() {
        let mut archive = Archive::new(Vec::new());
        archive.folder("a").unwrap();
        archive.program("a/b", b"hello").unwrap();
        let octets = archive.finish().unwrap();
        let text = String::from_utf8(octets).unwrap();
        let zero = "00000000";
        let folder = format!(
            "07070100000001000041ed{zero}{zero}00000002{zero}{zero}{zero}{zero}{zero}{zero}\
             00000002{zero}a\0"
        );
        assert_eq!(&text[..112], folder);
        assert_eq!(&text[112..118], "070701");
        assert_eq!(&text[112 + 110..], &format!("a/b\0\0\0hello\0\0\0{}", &text[112 + 124..]));
        assert!(text.contains("TRAILER!!!\0") && text.len().is_multiple_of(4));
    }
}
