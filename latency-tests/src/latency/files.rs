//! The files that a result goes into.
//!
//! They are opened before anything is measured, so that a day's run is not lost to a folder that is
//! not there; and each takes its name when it is whole, so that no reader sees half of one. What is
//! no ordinary file (a pipe, a terminal) is written to as it is. What costs nothing to make again
//! is [`put`] at once.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};
use tools::exit::Failure;

use super::options::Outputs;
use super::out::{hdr, histogram_text, json, junit, page, picture};
use super::report::Report;

/// What can be made of a result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Json,
    /// cyclictest's table, of rows below so many µs.
    Histogram(usize),
    Hdr,
    Junit,
    Html,
    Png,
}

/// Names of standard output. The links are not followed: to whatever file it goes, the summary goes
/// elsewhere.
const STDOUT: [&str; 4] = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];

/// What to do where a file cannot be written.
pub const WRITABLE: &str = "name a file in a folder that can be written to";

/// A place for one of them.
#[derive(Debug)]
enum Place {
    Stdout,
    /// It is renamed when it is whole.
    New(NamedTempFile),
    /// A pipe, a terminal.
    Special(File),
}

#[derive(Debug)]
struct Output {
    form: Form,
    path: PathBuf,
    place: Place,
}

/// The files of one result.
#[derive(Debug)]
pub struct Files {
    outputs: Vec<Output>,
}

impl Files {
    /// Opens all that was asked for, and page and picture of `named` where nobody spoke of them.
    ///
    /// # Errors
    /// Usage: a file that cannot be made, with the option that names it.
    pub fn open(asked: &Outputs, named: Option<&str>) -> Result<Self, Failure> {
        let rows = asked.histogram.map(|rows| usize::try_from(rows).unwrap_or(usize::MAX));
        let table = rows.map(|_| asked.histfile.clone().unwrap_or_else(|| PathBuf::from("-")));
        let by_itself = |ending: &str| {
            let named = named.filter(|_| !asked.no_report)?;
            Some(PathBuf::from(format!("{named}.{ending}")))
        };
        let all = [
            ("--json", Form::Json, asked.json.clone()),
            ("--histfile", Form::Histogram(rows.unwrap_or(0)), table),
            ("--hdr", Form::Hdr, asked.hdr.clone()),
            ("--junit", Form::Junit, asked.junit.clone()),
            ("--html", Form::Html, asked.html.clone().or_else(|| by_itself("html"))),
            ("--png", Form::Png, asked.png.clone().or_else(|| by_itself("png"))),
        ];
        let wanted: Vec<_> = all
            .into_iter()
            .filter_map(|(option, form, path)| Some((option, form, path?)))
            .collect();
        for (number, (option, _, path)) in wanted.iter().enumerate() {
            if let Some((first, ..)) = wanted[..number].iter().find(|it| it.2 == *path)
                && !is_stdout(path)
            {
                let what = format!("{first} and {option} both go to {}", path.display());
                return Err(Failure::usage(what, "name a file for each"));
            }
        }
        let mut on_stdout = wanted.iter().filter(|(.., path)| is_stdout(path));
        if let (Some((first, ..)), Some((second, ..))) = (on_stdout.next(), on_stdout.next()) {
            let what = format!("{first} and {second} both go to standard output");
            return Err(Failure::usage(what, "name files"));
        }
        let mut outputs = Vec::new();
        for (option, form, path) in wanted {
            match Place::at(&path) {
                Ok(place) => outputs.push(Output { form, path, place }),
                // Nobody asked for it: no reason not to measure.
                Err(_) if form.is_by_itself(asked) => {}
                Err(error) => {
                    let what = format!("{option}: {}: {error}", path.display());
                    return Err(Failure::usage(what, WRITABLE));
                }
            }
        }
        Ok(Self { outputs })
    }

    /// Whether one of them is standard output: what is for people goes elsewhere then.
    #[must_use]
    pub fn have_stdout(&self) -> bool {
        self.outputs.iter().any(|it| matches!(it.place, Place::Stdout))
    }

    /// Writes all; the names of those that are files now.
    ///
    /// # Errors
    /// One or more could not be written; the others are.
    pub fn write(self, report: &Report) -> Result<Vec<PathBuf>, Failure> {
        let (mut written, mut failed) = (Vec::new(), Vec::new());
        for output in self.outputs {
            let Output { form, path, place } = output;
            let made = form.of(report).and_then(|octets| place.write(&octets, &path));
            match made {
                Ok(true) => written.push(path),
                Ok(false) => {}
                Err(error) => failed.push(format!("{}: {error}", path.display())),
            }
        }
        if failed.is_empty() {
            return Ok(written);
        }
        Err(Failure::failed(failed.join("\n"), "the result is lost there"))
    }
}

impl Form {
    /// Whether it is made although nobody named a file for it.
    const fn is_by_itself(self, asked: &Outputs) -> bool {
        match self {
            Self::Html => asked.html.is_none(),
            Self::Png => asked.png.is_none(),
            _ => false,
        }
    }

    fn of(self, report: &Report) -> io::Result<Vec<u8>> {
        let text = match self {
            Self::Png => return picture::png(report).map_err(io::Error::other),
            Self::Json => json::write(report),
            Self::Hdr => hdr::write(report).map_err(io::Error::other)?,
            Self::Junit => junit::write(report),
            Self::Html => page::html(report),
            Self::Histogram(rows) => {
                let mut text = String::new();
                let all: Vec<_> = report.series().map(|(_, series)| series).collect();
                histogram_text::write(&all, rows, &mut text).map_err(io::Error::other)?;
                text
            }
        };
        Ok(text.into_bytes())
    }
}

impl Place {
    fn at(path: &Path) -> io::Result<Self> {
        if is_stdout(path) {
            return Ok(Self::Stdout);
        }
        // What a link stands for is written, and the link stays one.
        let whole = fs::canonicalize(path);
        let path = whole.as_deref().unwrap_or(path);
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => Err(io::Error::other("it is a folder")),
            Ok(found) if !found.is_file() => {
                Ok(Self::Special(OpenOptions::new().write(true).open(path)?))
            }
            _ => {
                let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
                let mut builder = Builder::new();
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                // Others may read a result, as any file that a program writes.
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
                let builder = builder.permissions(mode);
                let prefix = format!(".{name}.");
                let file = builder
                    .prefix(&prefix)
                    .tempfile_in(folder.unwrap_or_else(|| Path::new(".")))?;
                Ok(Self::New(file))
            }
        }
    }

    /// Whether there is a file now.
    fn write(self, octets: &[u8], path: &Path) -> io::Result<bool> {
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                match stdout.write_all(octets).and_then(|()| stdout.flush()) {
                    // A reader that has seen enough.
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
                    other => other.map(|()| false),
                }
            }
            Self::Special(mut file) => file.write_all(octets).map(|()| false),
            Self::New(mut file) => {
                file.write_all(octets)?;
                file.as_file().sync_all()?;
                let whole = fs::canonicalize(path);
                file.persist(whole.as_deref().unwrap_or(path))
                    .map(|_| true)
                    .map_err(|error| error.error)
            }
        }
    }
}

/// Writes one file, as those of a result are; whether there is a file now.
///
/// # Errors
/// What the system says of the path.
pub fn put(path: &Path, octets: &[u8]) -> io::Result<bool> {
    Place::at(path)?.write(octets, path)
}

/// Whether a path names standard output.
#[must_use]
pub fn is_stdout(path: &Path) -> bool {
    STDOUT.iter().any(|it| path.as_os_str() == *it)
}

/// Whether somebody looks on.
#[must_use]
pub fn has_terminal() -> bool {
    io::stdout().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_asked_for_is_left_out_where_nothing_can_be_written() {
        let named = Some("/proc/none/page");
        let files = Files::open(&Outputs::default(), named).map(|it| it.outputs.len());
        assert!(matches!(files, Ok(0)), "{files:?}");
        let asked = Outputs { html: Some("/proc/none/page.html".into()), ..Outputs::default() };
        assert!(Files::open(&asked, named).is_err());
    }
}
