//! A browser without a window: what it measures of a page, and how a page looks in it.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use latency_tests::os::clock;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::Deserialize;
use tiny_skia::Pixmap;

const BROWSER: &str = "/usr/bin/chromium";
/// One call of the browser, in seconds; it needs two seconds on a machine that does nothing else.
const LIMIT_S: u64 = 120;

/// What a page is shown on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Style {
    Light,
    Dark,
    /// Paper, emulated: what the style sheet says of print holds, and it is as wide as A4 is
    /// between the margins.
    Print,
}

/// Where a chart is in a page.
#[derive(Deserialize, Debug)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) shapes: usize,
}

/// What `measure.js` found.
#[derive(Deserialize, Debug)]
pub(crate) struct Measured {
    pub(crate) cut: Vec<String>,
    pub(crate) overlapping: Vec<String>,
    pub(crate) outside: Vec<String>,
    pub(crate) contrast: Vec<String>,
    pub(crate) figures: Vec<Figure>,
    pub(crate) dark: bool,
    pub(crate) least_contrast: f64,
    pub(crate) title: String,
    pub(crate) font: bool,
    pub(crate) width: f64,
    pub(crate) scroll_width: f64,
    pub(crate) height: f64,
    pub(crate) outer_resources: Vec<String>,
}

/// A browser with a folder of its own.
pub(crate) struct Browser {
    home: PathBuf,
}

impl Browser {
    /// None, and a line says so: there is none here.
    pub(crate) fn find(test: &str) -> Option<Self> {
        if !Path::new(BROWSER).exists() {
            println!("SKIP: {test}: chromium is not installed");
            return None;
        }
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("latency_page").join(test);
        let _ = fs::remove_dir_all(&home);
        fs::create_dir_all(&home).unwrap();
        Some(Self { home })
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    fn page(&self, name: &str, html: &str, style: Style, script: bool) -> PathBuf {
        let mut html = match style {
            Style::Print => {
                html.replace("@media print", "@media all").replace("@media screen", "@media print")
            }
            Style::Light | Style::Dark => html.to_owned(),
        };
        if script {
            let script = concat!("<script>", include_str!("measure.js"), "</script></body>");
            html = html.replace("</body>", script);
        }
        let path = self.file(&format!("{name}.html"));
        fs::write(&path, html).unwrap();
        path
    }

    /// What a reader would meet with in the page at a width.
    pub(crate) fn measure(&self, html: &str, style: Style, width: u32) -> Measured {
        let page = self.page("measured", html, style, true);
        let size = format!("--window-size={width},1000");
        let arguments = ["--dump-dom".to_owned(), size];
        let dom = self.run(&page, style, &arguments);
        let (_, from) = dom.split_once("<pre id=\"measured\">").expect("it was measured");
        let (json, _) = from.split_once("</pre>").unwrap();
        serde_json::from_str(json).unwrap()
    }

    /// How all of the page looks.
    pub(crate) fn picture(&self, name: &str, html: &str, style: Style, size: [f64; 2]) -> Pixmap {
        let page = self.page(name, html, style, false);
        let picture = self.file(&format!("{name}.png"));
        let [width, height] = size;
        let arguments = [
            format!("--screenshot={}", picture.display()),
            format!("--window-size={width:.0},{height:.0}"),
        ];
        self.run(&page, style, &arguments);
        Pixmap::decode_png(&fs::read(&picture).unwrap()).unwrap()
    }

    /// The page as a file for a printer.
    pub(crate) fn pdf(&self, name: &str, html: &str) -> Vec<u8> {
        let page = self.page(name, html, Style::Light, false);
        let pdf = self.file(&format!("{name}.pdf"));
        let argument = format!("--print-to-pdf={}", pdf.display());
        self.run(&page, Style::Light, &[argument, "--no-pdf-header-footer".to_owned()]);
        fs::read(&pdf).unwrap()
    }

    fn run(&self, page: &Path, style: Style, arguments: &[String]) -> String {
        let [out, err] = ["stdout", "stderr"].map(|it| self.file(it));
        let scheme = if style == Style::Dark { 0 } else { 1 };
        let mut child = Command::new(BROWSER)
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"])
            .args(["--no-first-run", "--disable-extensions", "--disable-background-networking"])
            .args(["--disable-dev-shm-usage", "--virtual-time-budget=10000"])
            .arg(format!("--blink-settings=preferredColorScheme={scheme}"))
            .arg(format!("--user-data-dir={}", self.file("profile").display()))
            .args(arguments)
            .arg(format!("file://{}", page.display()))
            .env("HOME", &self.home)
            .env("XDG_RUNTIME_DIR", &self.home)
            .stdin(Stdio::null())
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&err).unwrap())
            .process_group(0)
            .spawn()
            .unwrap();
        let group = Pid::from_raw(child.id().try_into().unwrap());
        let begin = clock::now();
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break Some(status),
                None if clock::now().since(begin).as_millis() > LIMIT_S * 1_000 => break None,
                None => sleep(Duration::from_millis(20)),
            }
        };
        if status.is_none() {
            // Its helpers are in the group that it was started with.
            let _ = killpg(group, Signal::SIGKILL);
            let _ = child.wait();
        }
        let said = || fs::read_to_string(&err).unwrap_or_default();
        let status = status.unwrap_or_else(|| panic!("the browser hangs: {}", said()));
        assert!(status.success(), "{status}: {}", said());
        String::from_utf8_lossy(&fs::read(&out).unwrap()).into_owned()
    }
}
